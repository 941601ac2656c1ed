//! The figures, in shards that hardly ever two threads share, added up when they are read.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use gibbon_pdk::{
    Consumer, Exporter, Exposition, FamilyKind, LatencyFigures, ResponseSource, Route, Service, escape_label,
};
use serde_json::Value;
use uuid::Uuid;

use super::models::ModelFigures;
use crate::names::name_or_host;

const SHARDS: usize = 32;
/// Series per shard and family: a million consumers must not fill the memory; what is beyond counts as one.
const SERIES: usize = 20_000;
const WORKSPACE: &str = "default";

const KONG_BUCKETS: [u64; 17] = [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000];
const UPSTREAM_BUCKETS: [u64; 13] = [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10_000, 30_000, 60_000];

/// All figures of a node.
#[derive(Default)]
pub struct Figures {
    pub upstream_health: AtomicBool,
    pub models: ModelFigures,
    shards: [Slot; SHARDS],
}

/// One shard on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Slot(Mutex<Shard>);

/// A route and the service it led to.
pub struct Series<'a> {
    route: &'a Arc<Route>,
    service: Option<&'a Arc<Service>>,
}

type Pair = (Uuid, Uuid);

#[derive(Default)]
pub struct Shard {
    /// Names of the pairs below; made anew when a plan brings another route or service.
    labels: HashMap<Pair, Labels>,
    latencies: HashMap<Pair, Latencies>,
    requests: HashMap<(Pair, Uuid, u16, &'static str), u64>,
    bandwidth: HashMap<(Pair, Uuid), (u64, u64)>,
    consumers: HashMap<Uuid, Box<str>>,
}

struct Labels {
    route: Arc<Route>,
    service: Option<Arc<Service>>,
    text: Box<str>,
}

#[derive(Default, Clone)]
pub struct Latencies {
    kong: Histogram<17>,
    upstream: Histogram<13>,
    request: Histogram<13>,
}

/// Counts per bucket; what is beyond all bounds is in the count alone.
#[derive(Clone)]
pub struct Histogram<const N: usize> {
    buckets: [u64; N],
    pub count: u64,
    sum: u64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Histogram { buckets: [0; N], count: 0, sum: 0 }
    }
}

impl<const N: usize> Histogram<N> {
    pub fn add(&mut self, bounds: &[u64; N], value: u64) {
        self.count += 1;
        self.sum += value;
        if let Some((_, bucket)) = bounds.iter().zip(&mut self.buckets).find(|(bound, _)| value <= **bound) {
            *bucket += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
    }

    pub fn write(&self, out: &mut Exposition, name: &str, labels: &str, bounds: &[u64; N]) {
        let mut up_to = 0;
        for (bound, count) in bounds.iter().zip(&self.buckets) {
            up_to += count;
            out.sample_with(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), number(up_to));
        }
        out.sample_with(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), number(self.count));
        out.sample_with(&format!("{name}_count"), labels, number(self.count));
        out.sample_with(&format!("{name}_sum"), labels, number(self.sum));
    }
}

impl Latencies {
    pub fn add(&mut self, figures: &LatencyFigures) {
        self.kong.add(&KONG_BUCKETS, figures.kong);
        if let Some(proxy) = figures.proxy {
            self.upstream.add(&UPSTREAM_BUCKETS, proxy);
        }
        self.request.add(&UPSTREAM_BUCKETS, figures.request);
    }

    fn merge(&mut self, other: &Self) {
        self.kong.merge(&other.kong);
        self.upstream.merge(&other.upstream);
        self.request.merge(&other.request);
    }
}

impl<'a> Series<'a> {
    pub fn of(route: &'a Arc<Route>, service: Option<&'a Arc<Service>>) -> Self {
        Series { route, service }
    }

    fn pair(&self) -> Pair {
        (self.route.id, self.service.map_or(Uuid::nil(), |service| service.id))
    }

    fn labels(&self) -> Labels {
        let mut text = String::from("service=\"");
        escape_label(&mut text, self.service.map_or("", |service| name_or_host(service)));
        text.push_str("\",route=\"");
        escape_label(&mut text, self.route.name.as_deref().unwrap_or(&self.route.id_text));
        text.push('"');
        Labels { route: Arc::clone(self.route), service: self.service.cloned(), text: text.into() }
    }
}

impl Shard {
    /// The pair, with its names known.
    fn named(&mut self, series: &Series<'_>) -> Pair {
        let pair = series.pair();
        let same = |known: &Labels| {
            Arc::ptr_eq(&known.route, series.route)
                && known.service.as_ref().map(Arc::as_ptr) == series.service.map(Arc::as_ptr)
        };
        if !self.labels.get(&pair).is_some_and(same) {
            self.labels.insert(pair, series.labels());
        }
        pair
    }

    /// Nil without a consumer.
    fn consumer(&mut self, consumer: Option<&Consumer>) -> Uuid {
        let Some(consumer) = consumer else { return Uuid::nil() };
        if self.consumers.len() >= SERIES && !self.consumers.contains_key(&consumer.id) {
            return Uuid::nil();
        }
        let name = || consumer.username.clone().or_else(|| consumer.custom_id.clone()).unwrap_or_default();
        self.consumers.entry(consumer.id).or_insert_with(name);
        consumer.id
    }

    pub fn latencies(&mut self, series: &Series<'_>) -> &mut Latencies {
        let pair = self.named(series);
        self.latencies.entry(pair).or_default()
    }

    pub fn requests(
        &mut self,
        series: &Series<'_>,
        consumer: Option<&Consumer>,
        status: u16,
        source: ResponseSource,
    ) -> &mut u64 {
        let (pair, consumer) = (self.named(series), self.consumer(consumer));
        let source = if source == ResponseSource::Service { "service" } else { "kong" };
        self.requests.entry((pair, consumer, status, source)).or_default()
    }

    /// Bytes in and out.
    pub fn bandwidth(&mut self, series: &Series<'_>, consumer: Option<&Consumer>) -> &mut (u64, u64) {
        let (pair, consumer) = (self.named(series), self.consumer(consumer));
        self.bandwidth.entry((pair, consumer)).or_default()
    }
}

/// Shards added up, by labels.
#[derive(Default)]
struct Sums {
    latencies: BTreeMap<String, Latencies>,
    requests: BTreeMap<String, u64>,
    bandwidth: BTreeMap<String, u64>,
}

impl Sums {
    fn add(&mut self, shard: &Shard) {
        let label = |pair: &Pair| shard.labels.get(pair).map_or("", |labels| &*labels.text);
        let consumer = |id: &Uuid| {
            let mut text = String::new();
            escape_label(&mut text, shard.consumers.get(id).map_or("", |name| name));
            text
        };
        for (pair, figures) in &shard.latencies {
            let labels = format!("{},workspace=\"{WORKSPACE}\"", label(pair));
            self.latencies.entry(labels).or_default().merge(figures);
        }
        for ((pair, who, status, source), count) in &shard.requests {
            let mut labels = String::new();
            // Writing to a String cannot fail.
            let _ = write!(
                labels,
                "{},code=\"{status}\",source=\"{source}\",workspace=\"{WORKSPACE}\",consumer=\"{}\"",
                label(pair),
                consumer(who)
            );
            *self.requests.entry(labels).or_default() += count;
        }
        for ((pair, who), (received, sent)) in &shard.bandwidth {
            for (direction, bytes) in [("egress", sent), ("ingress", received)] {
                let labels = format!(
                    "{},direction=\"{direction}\",workspace=\"{WORKSPACE}\",consumer=\"{}\"",
                    label(pair),
                    consumer(who)
                );
                *self.bandwidth.entry(labels).or_default() += bytes;
            }
        }
    }
}

impl Figures {
    /// The calling thread's shard.
    pub fn own_shard(&self) -> MutexGuard<'_, Shard> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        let [first, ..] = &self.shards;
        let slot = self.shards.get(OWN.get() % SHARDS).unwrap_or(first);
        slot.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exporter for Figures {
    fn export(&self, out: &mut Exposition, engine: &Value) {
        let mut sums = Sums::default();
        for slot in &self.shards {
            sums.add(&slot.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
        self.models.export(out, WORKSPACE);
        let help = "Total bandwidth (ingress/egress) throughput in bytes";
        out.family("kong_bandwidth_bytes", help, FamilyKind::Counter);
        for (labels, bytes) in &sums.bandwidth {
            out.sample_with("kong_bandwidth_bytes", labels, number(*bytes));
        }
        let help = "HTTP status codes per consumer/service/route";
        out.family("kong_http_requests_total", help, FamilyKind::Counter);
        for (labels, count) in &sums.requests {
            out.sample_with("kong_http_requests_total", labels, number(*count));
        }
        let name = "kong_kong_latency_ms";
        out.family(name, "Latency added by the gateway and enabled plugins", FamilyKind::Histogram);
        for (labels, figures) in &sums.latencies {
            figures.kong.write(out, name, labels, &KONG_BUCKETS);
        }
        let name = "kong_request_latency_ms";
        out.family(name, "Total latency incurred during requests", FamilyKind::Histogram);
        for (labels, figures) in &sums.latencies {
            figures.request.write(out, name, labels, &UPSTREAM_BUCKETS);
        }
        let name = "kong_upstream_latency_ms";
        out.family(name, "Latency added by upstream responses", FamilyKind::Histogram);
        for (labels, figures) in sums.latencies.iter().filter(|(_, figures)| figures.upstream.count > 0) {
            figures.upstream.write(out, name, labels, &UPSTREAM_BUCKETS);
        }
        if self.upstream_health.load(Ordering::Relaxed) {
            upstream_health(out, engine);
        }
    }
}

/// One sample per target and state: 1 for the state it is in.
fn upstream_health(out: &mut Exposition, engine: &Value) {
    let family = "kong_upstream_target_health";
    out.family(family, "Health status of targets of upstream", FamilyKind::Gauge);
    let text = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |value: &Value, field: &str| value.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    for upstream in list(engine, "upstreams") {
        let name = text(&upstream, "name");
        for target in list(&upstream, "targets") {
            let mut addresses: Vec<(String, String)> = list(&target, "addresses")
                .iter()
                .map(|address| (text(address, "address"), text(address, "health").to_lowercase()))
                .collect();
            if addresses.is_empty() {
                addresses.push((String::new(), "dns_error".to_owned()));
            }
            for (address, health) in &addresses {
                for state in ["healthchecks_off", "healthy", "unhealthy", "dns_error"] {
                    let labels = [
                        ("upstream", name.as_str()),
                        ("target", &text(&target, "target")),
                        ("address", address),
                        ("state", state),
                        ("subsystem", "http"),
                    ];
                    out.sample(family, &labels, f64::from(u8::from(health == state)));
                }
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // exact up to 2^53
pub fn number(count: u64) -> f64 {
    count as f64
}
