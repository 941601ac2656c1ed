//! The spans of one exchange: one for the whole, one per try, and what the engine recorded.

use gibbon_message::Version;
use gibbon_pdk::{Attribute, Exchange, Host, Instrumentations, SpanId, SpanKind as Recorded, TraceContext, Try};

use crate::ids::span_id;
use crate::otlp::{Event, Span, SpanKind, Value};

/// Encodes them, the one of the whole first.
pub fn encode(x: &Exchange, context: &TraceContext, host: &Host) -> Vec<Vec<u8>> {
    let ids: Vec<SpanId> = x.trace.spans().iter().map(|_| span_id(&*host.random)).collect();
    let mut out = Vec::with_capacity(1 + ids.len() + x.tries.len());
    out.push(root(x, context));
    for (span, id) in x.trace.spans().iter().zip(&ids) {
        let parent = span.parent.and_then(|number| ids.get(usize::from(number))).copied();
        let work = Work {
            id: *id,
            parent: parent.unwrap_or(context.root),
            start_ns: x.wall_ns_at(span.start_ns),
            end_ns: x.wall_ns_at(if span.end_ns == 0 { x.latencies.end } else { span.end_ns }),
        };
        out.push(recorded(x, &span.kind, &work, context));
    }
    if host.node.tracing.instrumentations.intersects(Instrumentations::BALANCER) {
        tries(x, context, host, &mut out);
    }
    out
}

fn root(x: &Exchange, context: &TraceContext) -> Vec<u8> {
    let (host, scheme) = (x.host(), x.client.scheme.as_str());
    let url = format!("{scheme}://{host}{}", String::from_utf8_lossy(&x.request.target));
    let (client, peer) = (x.client.ip.to_string(), x.client.peer_ip.to_string());
    let id = x.id.to_string();
    let path = first_path(x);
    let attributes = [
        ("http.method", Value::Text(x.request.method.as_str())),
        ("http.url", Value::Text(&url)),
        ("http.host", Value::Text(&host)),
        ("http.scheme", Value::Text(scheme)),
        ("http.flavor", Value::Text(flavor(x.request.version))),
        ("http.client_ip", Value::Text(&client)),
        ("net.peer.ip", Value::Text(&peer)),
        ("kong.request.id", Value::Text(&id)),
        ("http.status_code", Value::Int(i64::from(x.response.status))),
        ("http.route", Value::Text(&path)),
    ];
    Span {
        trace: &context.trace,
        id: context.root,
        parent: context.parent,
        name: "kong",
        kind: SpanKind::Server,
        start_ns: x.started_ns,
        end_ns: x.wall_ns_at(x.latencies.end),
        attributes: &attributes,
        exception: None,
        events: &[],
        failed: false,
    }
    .encode()
}

fn flavor(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        _ => "2.0",
    }
}

/// The first of the route's paths.
fn first_path(x: &Exchange) -> String {
    let paths = x.route().map(|route| route.document.value());
    paths.and_then(|route| Some(route.get("paths")?.get(0)?.as_str()?.to_owned())).unwrap_or_default()
}

/// Where a span hangs and how long it took.
struct Work {
    id: SpanId,
    parent: SpanId,
    start_ns: u64,
    end_ns: u64,
}

impl Work {
    fn span<'a>(&self, context: &'a TraceContext, name: &'a str, kind: SpanKind) -> Span<'a> {
        Span {
            trace: &context.trace,
            id: self.id,
            parent: Some(self.parent),
            name,
            kind,
            start_ns: self.start_ns,
            end_ns: self.end_ns,
            attributes: &[],
            exception: None,
            events: &[],
            failed: false,
        }
    }
}

fn value(attribute: &Attribute) -> Value<'_> {
    match attribute {
        &Attribute::Int(number) => Value::Int(number),
        &Attribute::Number(number) => Value::Double(number),
        &Attribute::Flag(flag) => Value::Flag(flag),
        Attribute::Text(text) => Value::Text(text),
        Attribute::Texts(texts) => Value::Texts(texts),
    }
}

fn recorded(x: &Exchange, kind: &Recorded, work: &Work, context: &TraceContext) -> Vec<u8> {
    match kind {
        Recorded::Router => work.span(context, "kong.router", SpanKind::Internal).encode(),
        Recorded::Plugin { phase, name } => {
            let name = format!("kong.{}.plugin.{name}", phase.name());
            work.span(context, &name, SpanKind::Internal).encode()
        }
        Recorded::Dns { host, port, outcome } => {
            let ip = outcome.as_ref().map(ToString::to_string).unwrap_or_default();
            let mut attributes =
                vec![("dns.record.domain", Value::Text(host)), ("dns.record.port", Value::Double(f64::from(*port)))];
            if outcome.is_ok() {
                attributes.push(("dns.record.ip", Value::Text(&ip)));
            }
            let span = work.span(context, "kong.dns", SpanKind::Client);
            let exception = outcome.as_ref().err().map(|cause| &**cause);
            Span { attributes: &attributes, exception, failed: outcome.is_err(), ..span }.encode()
        }
        Recorded::Outcall(call) => {
            let mut attributes = vec![
                ("http.url", Value::Text(&call.url)),
                ("http.method", Value::Text(&call.method)),
                ("http.flavor", Value::Text("1.1")),
            ];
            if let Ok(status) = &call.outcome {
                attributes.push(("http.status_code", Value::Int(i64::from(*status))));
            }
            let span = work.span(context, "kong.internal.request", SpanKind::Client);
            let exception = call.outcome.as_ref().err().map(|cause| &**cause);
            Span { attributes: &attributes, exception, ..span }.encode()
        }
        Recorded::Described(described) => {
            let attributes: Vec<_> = described.attributes.iter().map(|(name, a)| (&**name, value(a))).collect();
            let events: Vec<Event<'_>> = described
                .events
                .iter()
                .map(|event| Event {
                    name: &event.name,
                    time_ns: x.wall_ns_at(event.time_ns),
                    attributes: event.attributes.iter().map(|(name, a)| (&**name, value(a))).collect(),
                })
                .collect();
            let span = work.span(context, &described.name, SpanKind::Client);
            Span { attributes: &attributes, events: &events, failed: described.failed, ..span }.encode()
        }
    }
}

/// One span per try. The try that went well has the id that the upstream was told.
fn tries(x: &Exchange, context: &TraceContext, host: &Host, out: &mut Vec<Vec<u8>>) {
    let end = x.wall_ns_at(x.latencies.end);
    for (at, one) in x.tries.iter().enumerate() {
        let next = x.tries.get(at + 1).map_or(end, |next| next.balancer_start_ns);
        let told = context.balancer.filter(|_| at + 1 == x.tries.len() && one.state.is_none());
        let work = Work {
            id: told.unwrap_or_else(|| span_id(&*host.random)),
            parent: context.root,
            start_ns: one.balancer_start_ns,
            end_ns: next,
        };
        out.push(attempt(x, at, one, &work, context));
    }
}

fn attempt(x: &Exchange, at: usize, one: &Try, work: &Work, context: &TraceContext) -> Vec<u8> {
    let ip = one.ip.to_string();
    let mut attributes = vec![
        ("try_count", Value::Double((at + 1) as f64)),
        ("net.peer.ip", Value::Text(&ip)),
        ("net.peer.port", Value::Double(f64::from(one.port))),
    ];
    if let Some(name) = &x.trace.peer_name {
        attributes.push(("net.peer.name", Value::Text(name)));
    }
    if let Some(code) = one.code.filter(|_| one.state.is_some()) {
        attributes.push(("http.status_code", Value::Int(i64::from(code))));
    }
    let span = work.span(context, "kong.balancer", SpanKind::Client);
    Span { attributes: &attributes, failed: one.state.is_some(), ..span }.encode()
}
