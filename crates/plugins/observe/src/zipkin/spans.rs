//! The spans of one exchange in Zipkin's JSON (version 2): the request, its way to the upstream, and each try.

use std::net::IpAddr;

use gibbon_pdk::{Exchange, Host, Protocol, Try};
use serde_json::{Map, Value, json};

use super::config::{Config, Flavor, SpanName};
use super::handler::Traced;
use super::tags;
use crate::digits::hex_text;
use crate::ids::span_id;

/// In the order in which they ended.
pub fn of(x: &Exchange, traced: &Traced, config: &Config, host: &Host) -> Vec<Value> {
    let spans = Spans { x, traced, config, stream: is_stream(x), name: name(x, config) };
    let mut all: Vec<Value> = x
        .tries
        .iter()
        .enumerate()
        .map(|(at, one)| spans.attempt(at, one, &hex_text(&span_id(&*host.random))))
        .collect();
    all.push(spans.proxy());
    all.push(spans.request(host));
    all
}

fn is_stream(x: &Exchange) -> bool {
    let stream = [Protocol::Tcp, Protocol::Tls, Protocol::TlsPassthrough, Protocol::Udp];
    x.route().is_some_and(|route| stream.into_iter().any(|protocol| route.protocols.contains(protocol)))
}

fn name(x: &Exchange, config: &Config) -> String {
    let method = x.request.method.as_str();
    match config.http_span_name {
        _ if is_stream(x) => "stream".to_owned(),
        SpanName::Method => method.to_owned(),
        SpanName::MethodPath => format!("{method} {}", String::from_utf8_lossy(x.request.path())),
    }
}

/// A phase of the exchange, for an annotation each at its begin and end, or for a tag.
struct PhaseSpan {
    letter: char,
    name: &'static str,
    /// In nanoseconds of the monotonic clock; 0 is "not".
    start: u64,
    end: u64,
}

struct Spans<'a> {
    x: &'a Exchange,
    traced: &'a Traced,
    config: &'a Config,
    stream: bool,
    name: String,
}

impl Spans<'_> {
    /// Microseconds since the epoch.
    fn at(&self, monotonic_ns: u64) -> u64 {
        self.x.wall_ns_at(monotonic_ns) / 1000
    }

    fn end(&self) -> u64 {
        self.x.latencies.end
    }

    fn request(&self, host: &Host) -> Value {
        let x = self.x;
        let mut tags = Map::new();
        tags.insert("lc".into(), "kong".into());
        if !self.stream {
            let version = x.request.version.protocol();
            tags.insert("http.method".into(), x.request.method.as_str().into());
            tags.insert("http.host".into(), x.host().into());
            tags.insert("http.path".into(), String::from_utf8_lossy(x.request.path()).into());
            tags.insert("http.protocol".into(), version.into());
            tags.insert("http.status_code".into(), x.response.status.to_string().into());
        }
        tags.extend(self.config.static_tags.iter().flatten().map(|t| (t.name.clone(), t.value.clone().into())));
        let given = tags::of_request(&x.request.headers, &self.config.tags_header);
        tags.extend(given.map(|(name, value)| (name, value.into())));
        if let Some(consumer) = &x.consumer {
            tags.insert("kong.consumer".into(), consumer.id.to_string().into());
        }
        if let Some(credential) = x.credential.as_ref().filter(|_| self.config.include_credential) {
            tags.insert("kong.credential".into(), credential.id.to_string().into());
        }
        tags.insert("kong.node.id".into(), host.node.id.to_string().into());
        let t = &x.trace.times;
        let rewrite = PhaseSpan { letter: 'r', name: "rewrite", start: x.latencies.start, end: t.rewrite_end };
        let mut span = self.span("SERVER", &self.name, &hex_text(&self.traced.request), self.traced.parent);
        self.times(&mut span, self.at(x.latencies.start), self.at(self.end()));
        let annotations = self.phases(&[rewrite], &mut tags);
        let remote = self.remote(Some((x.client.ip, x.client.port)), None);
        finish(span, annotations, remote, tags)
    }

    fn proxy(&self) -> Value {
        let (x, t) = (self.x, &self.x.trace.times);
        let mut tags = Map::new();
        let service = self.tag_service(&mut tags);
        if let Some(name) = &x.trace.peer_name {
            tags.insert("peer.hostname".into(), (&**name).into());
        }
        let start = [t.access_start, t.header_filter_start, self.end()].into_iter().find(|at| *at != 0).unwrap_or(0);
        let access_end = if x.latencies.access_end == 0 { self.end() } else { x.latencies.access_end };
        let phases = if self.stream {
            vec![PhaseSpan { letter: 'p', name: "preread", start, end: access_end }]
        } else {
            vec![
                PhaseSpan { letter: 'a', name: "access", start, end: access_end },
                PhaseSpan {
                    letter: 'h',
                    name: "header_filter",
                    start: t.header_filter_start,
                    end: t.header_filter_end,
                },
                PhaseSpan { letter: 'b', name: "body_filter", start: t.header_filter_end, end: self.end() },
            ]
        };
        let id = hex_text(&self.traced.proxy);
        let mut span = self.span("CLIENT", &format!("{} (proxy)", self.name), &id, Some(self.traced.request));
        self.times(&mut span, self.at(start), self.at(self.end()));
        let annotations = self.phases(&phases, &mut tags);
        let remote = self.remote(x.tries.last().map(|last| (last.ip, last.port)), service);
        finish(span, annotations, remote, tags)
    }

    fn attempt(&self, at: usize, one: &Try, id: &str) -> Value {
        let mut tags = Map::new();
        tags.insert("kong.balancer.try".into(), (at + 1).to_string().into());
        if let Some(state) = one.state {
            tags.insert("error".into(), "true".into());
            tags.insert("kong.balancer.state".into(), state.into());
            if let Some(code) = one.code {
                tags.insert("http.status_code".into(), code.to_string().into());
            }
        }
        let service = self.tag_service(&mut tags);
        let name = format!("{} (balancer try {})", self.name, at + 1);
        let mut span = self.span("CLIENT", &name, id, Some(self.traced.request));
        let start = one.balancer_start_ns / 1000;
        self.times(&mut span, start, start + one.balancer_latency_ns / 1000);
        finish(span, Vec::new(), self.remote(Some((one.ip, one.port)), service), tags)
    }

    fn span(&self, kind: &str, name: &str, id: &str, parent: Option<gibbon_pdk::SpanId>) -> Map<String, Value> {
        let mut span = Map::new();
        span.insert("traceId".into(), self.traced.trace_text().into());
        span.insert("name".into(), name.into());
        if let Some(parent) = parent {
            span.insert("parentId".into(), hex_text(&parent).into());
        }
        span.insert("id".into(), id.into());
        span.insert("kind".into(), kind.into());
        span.insert("localEndpoint".into(), json!({"serviceName": self.config.local_service_name}));
        span
    }

    fn times(&self, span: &mut Map<String, Value>, start: u64, end: u64) {
        span.insert("timestamp".into(), start.into());
        span.insert("duration".into(), end.saturating_sub(start).into());
    }

    /// Annotations of phases that were reached, unless they become tags.
    fn phases(&self, phases: &[PhaseSpan], tags: &mut Map<String, Value>) -> Vec<Value> {
        let mut annotations = Vec::new();
        for phase in phases.iter().filter(|phase| phase.start != 0 && phase.end != 0) {
            match self.config.phase_duration_flavor {
                Flavor::Annotations => {
                    let letter = phase.letter;
                    annotations.push(json!({"value": format!("k{letter}s"), "timestamp": self.at(phase.start)}));
                    annotations.push(json!({"value": format!("k{letter}f"), "timestamp": self.at(phase.end)}));
                }
                Flavor::Tags => {
                    let ms = self.at(phase.end).saturating_sub(self.at(phase.start)) as f64 / 1000.0;
                    tags.insert(format!("kong.{}.duration_ms", phase.name), ms.to_string().into());
                }
            }
        }
        annotations
    }

    /// Tags the service and the route; the service's name, if it has one.
    fn tag_service(&self, tags: &mut Map<String, Value>) -> Option<String> {
        let service = self.x.service()?;
        tags.insert("kong.service".into(), (&*service.id_text).into());
        if let Some(name) = &service.name {
            tags.insert("kong.service_name".into(), (&**name).into());
        }
        if let Some(route) = self.x.route() {
            tags.insert("kong.route".into(), (&*route.id_text).into());
            if let Some(name) = &route.name {
                tags.insert("kong.route_name".into(), (&**name).into());
            }
        }
        service.name.as_deref().map(str::to_owned)
    }

    fn remote(&self, peer: Option<(IpAddr, u16)>, service: Option<String>) -> Value {
        let name = service.or_else(|| self.config.default_service_name.clone());
        if peer.is_none() && name.is_none() {
            return Value::Null;
        }
        let mut remote = Map::new();
        if let Some(name) = name {
            remote.insert("serviceName".into(), name.into());
        }
        if let Some((ip, port)) = peer {
            remote.insert(if ip.is_ipv4() { "ipv4" } else { "ipv6" }.into(), ip.to_string().into());
            remote.insert("port".into(), port.into());
        }
        remote.into()
    }
}

fn finish(mut span: Map<String, Value>, annotations: Vec<Value>, remote: Value, mut tags: Map<String, Value>) -> Value {
    span.insert("remoteEndpoint".into(), remote);
    // Zipkin refuses tags without text.
    tags.retain(|_, value| value.as_str() != Some(""));
    if !tags.is_empty() {
        span.insert("tags".into(), tags.into());
    }
    if !annotations.is_empty() {
        span.insert("annotations".into(), annotations.into());
    }
    span.into()
}
