//! Figures of requests, added up on the node and sent now and then.
//!
//! The first request after a delivery puts a mark into a queue that holds it back for the interval; its delivery sends what
//! there is by then. So a node without traffic sends nothing, and one that stops sends its last figures.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::{
    Build, Clock, Deliver, Exchange, LatencyFigures, Queue, QueueEntry, QueueSettings, ResponseSource, SendFuture,
};
use uuid::Uuid;

use super::config::MetricsConfig;
use super::handler::Endpoint;
use crate::otlp::{self, Distribution, TimeSpan, Value};

/// Series of each kind: consumers and methods are chosen by strangers. What is beyond is not counted.
const SERIES: usize = 20_000;
/// Seconds.
const LATENCIES: [f64; 13] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Bytes.
const SIZES: [f64; 7] = [100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8];

/// What one configuration counts.
pub struct Metrics {
    requests: bool,
    latencies: bool,
    sizes: bool,
    consumers: bool,
    figures: Arc<Figures>,
    queue: Arc<dyn Queue>,
    /// Whether a mark is in the queue.
    waiting: Arc<AtomicBool>,
}

/// The figures of a configuration; they outlive its plans.
struct Figures {
    start_ns: u64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    resource: Vec<u8>,
    places: HashMap<Place, Names>,
    requests: HashMap<(Place, Request), u64>,
    latencies: HashMap<Place, [Histogram<14>; 3]>,
    sizes: HashMap<(Place, Option<Box<str>>), [Histogram<8>; 2]>,
}

/// A route and the service it led to.
type Place = (Uuid, Option<Uuid>);

/// As they are called now.
#[derive(Clone, Default, PartialEq)]
struct Names {
    service: Box<str>,
    route: Box<str>,
    workspace: Box<str>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Request {
    consumer: Option<Box<str>>,
    method: Box<str>,
    status: u16,
    from_upstream: bool,
}

#[derive(Clone, Copy)]
struct Histogram<const N: usize> {
    counts: [u64; N],
    sum: f64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Histogram { counts: [0; N], sum: 0.0 }
    }
}

impl<const N: usize> Histogram<N> {
    fn add(&mut self, bounds: &[f64], value: f64) {
        let at = bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += value;
    }

    fn shown<'a>(&'a self, bounds: &'a [f64]) -> Distribution<'a> {
        Distribution { count: self.counts.iter().sum(), sum: self.sum, bounds, counts: &self.counts }
    }
}

/// The series of a key, unless it is new and there are too many.
fn series<K: std::hash::Hash + Eq, V: Default>(of: &mut HashMap<K, V>, key: K) -> Option<&mut V> {
    if of.len() >= SERIES && !of.contains_key(&key) {
        return None;
    }
    Some(of.entry(key).or_default())
}

impl Metrics {
    pub fn open(config: &MetricsConfig, endpoint: Endpoint, build: &Build<'_>) -> Self {
        let start_ns = build.clock.wall_ns();
        let figures = build.shared(&format!("opentelemetry/metrics/{}", build.plugin_id), || Figures {
            start_ns,
            kept: Mutex::default(),
        });
        let waiting: Arc<AtomicBool> = Arc::default();
        let pushing = Pushing {
            endpoint,
            clock: Arc::clone(&build.clock),
            figures: Arc::clone(&figures),
            waiting: Arc::clone(&waiting),
        };
        let settings = QueueSettings {
            max_batch_size: 2,
            max_coalescing_delay: Duration::try_from_secs_f64(config.push_interval).unwrap_or_default(),
            max_entries: 2,
            ..QueueSettings::default()
        };
        let queue = build.queues.open(&format!("{}:metrics", build.plugin_id), settings, Arc::new(pushing));
        Metrics {
            requests: config.enable_request_metrics,
            latencies: config.enable_latency_metrics,
            sizes: config.enable_bandwidth_metrics,
            consumers: config.enable_consumer_attribute,
            figures,
            queue,
            waiting,
        }
    }

    /// Counts an exchange; what matched no route is not counted.
    pub fn count(&self, x: &Exchange, resource: &[u8]) {
        let Some(matched) = &x.matched else { return };
        let place = (matched.route.id, matched.service.as_ref().map(|service| service.id));
        let consumer = || {
            let consumer = x.consumer.as_ref().filter(|_| self.consumers)?;
            Some(consumer.username.as_deref().or(consumer.custom_id.as_deref()).unwrap_or_default().into())
        };
        let mut kept = self.figures.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        if kept.resource != resource {
            kept.resource = resource.to_vec();
        }
        let names = Names {
            service: matched.service.as_ref().map_or("", |service| crate::names::name_or_host(service)).into(),
            route: matched.route.name.as_deref().unwrap_or(&matched.route.id_text).into(),
            workspace: x.workspace_name().into(),
        };
        match series(&mut kept.places, place) {
            None => return,
            Some(known) if *known != names => *known = names,
            Some(_) => {}
        }
        if self.requests {
            let request = Request {
                consumer: consumer(),
                method: x.request.method.as_str().into(),
                status: x.response.status,
                from_upstream: x.response_source == ResponseSource::Service,
            };
            if let Some(count) = series(&mut kept.requests, (place, request)) {
                *count += 1;
            }
        }
        if self.latencies
            && let Some([total, internal, upstream]) = series(&mut kept.latencies, place)
        {
            let figures = LatencyFigures::of(x);
            let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
            total.add(&LATENCIES, seconds(figures.request));
            internal.add(&LATENCIES, seconds(figures.kong));
            if let Some(proxy) = figures.proxy {
                upstream.add(&LATENCIES, seconds(proxy));
            }
        }
        if self.sizes
            && let Some([received, sent]) = series(&mut kept.sizes, (place, consumer()))
        {
            received.add(&SIZES, x.request_bytes as f64);
            sent.add(&SIZES, x.response_bytes as f64);
        }
        if !self.waiting.swap(true, Ordering::Relaxed) {
            self.queue.push(Bytes::from_static(b"mark"));
        }
    }
}

impl Names {
    fn attributes(&self) -> Attributes<'_> {
        vec![
            ("kong.service.name", Value::Text(&self.service)),
            ("kong.route.name", Value::Text(&self.route)),
            ("kong.workspace.name", Value::Text(&self.workspace)),
        ]
    }
}

impl Kept {
    /// The metrics that have values, each encoded.
    fn encode(&self, over: TimeSpan) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if !self.requests.is_empty() {
            let points: Vec<_> = self.requests.iter().map(|(key, count)| (self.of_request(key), *count)).collect();
            let points = points.iter().map(|(attributes, count)| (attributes.as_slice(), *count));
            out.push(otlp::sum("http.server.request.count", "{request}", over, points));
        }
        for (at, name) in ["kong.latency.total", "kong.latency.internal", "kong.latency.upstream"].iter().enumerate() {
            let points: Vec<_> = self
                .latencies
                .iter()
                .filter_map(|(place, all)| Some((self.of_place(place, None), all.get(at)?.shown(&LATENCIES))))
                .filter(|(_, values)| values.count > 0)
                .collect();
            push_histogram(&mut out, name, "s", over, points);
        }
        for (at, name) in ["http.server.request.size", "http.server.response.size"].iter().enumerate() {
            let points: Vec<_> = self
                .sizes
                .iter()
                .filter_map(|((place, consumer), both)| {
                    Some((self.of_place(place, consumer.as_deref()), both.get(at)?.shown(&SIZES)))
                })
                .collect();
            push_histogram(&mut out, name, "By", over, points);
        }
        out
    }

    fn of_place<'a>(&'a self, place: &Place, consumer: Option<&'a str>) -> Attributes<'a> {
        let mut all = self.places.get(place).map(Names::attributes).unwrap_or_default();
        all.extend(consumer.map(|name| ("kong.auth.consumer.name", Value::Text(name))));
        all
    }

    fn of_request<'a>(&'a self, (place, request): &'a (Place, Request)) -> Attributes<'a> {
        let mut all = self.of_place(place, request.consumer.as_deref());
        let source = if request.from_upstream { "upstream" } else { "kong" };
        all.push(("kong.response.source", Value::Text(source)));
        all.push(("http.request.method", Value::Text(&request.method)));
        all.push(("kong.response.status_code", Value::Int(i64::from(request.status))));
        all
    }
}

type Attributes<'a> = Vec<(&'static str, Value<'a>)>;

fn push_histogram(
    out: &mut Vec<Vec<u8>>,
    name: &str,
    unit: &str,
    over: TimeSpan,
    points: Vec<(Attributes<'_>, Distribution<'_>)>,
) {
    if !points.is_empty() {
        out.push(otlp::histogram(name, unit, over, &points));
    }
}

/// The far end of the queue: the figures as they are when a mark is delivered.
struct Pushing {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
    waiting: Arc<AtomicBool>,
}

impl Deliver for Pushing {
    fn deliver<'a>(&'a self, _: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        // Before the figures are read, so that what is counted from now on has a mark of its own.
        self.waiting.store(false, Ordering::Relaxed);
        let over = TimeSpan { start_ns: self.figures.start_ns, end_ns: self.clock.wall_ns() };
        let (resource, metrics) = {
            let kept = self.figures.kept.lock().unwrap_or_else(PoisonError::into_inner);
            (kept.resource.clone(), kept.encode(over))
        };
        Box::pin(async move {
            if metrics.is_empty() {
                return Ok(());
            }
            self.endpoint.send(otlp::export(metrics.iter().map(|metric| (&*resource, &**metric)))).await
        })
    }
}
