//! The node's figures: counters that plugins and ports add to, what the engine itself counts, and the
//! text that `/metrics` answers.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use gibbon_pdk::{Exporter, Exposition, FamilyKind, Metrics, NodeFacts, escape_label};
use serde_json::Value;

/// Shards of the counters: more than workers are common, so that hardly two threads share one.
const SHARDS: usize = 32;
/// Distinct sets of labels per shard; a label that an attacker chooses must not fill the memory.
const LABEL_SETS: usize = 10_000;

/// What the engine counts, as a document.
pub type Snapshot = Box<dyn Fn() -> Value + Send + Sync>;

type Key = (&'static str, String);

/// One cache line and more of its own.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<BTreeMap<Key, u64>>);

/// The figures of this node.
pub struct NodeMetrics {
    facts: Arc<NodeFacts>,
    snapshot: Snapshot,
    shards: [Shard; SHARDS],
    exporters: Mutex<Vec<Weak<dyn Exporter>>>,
}

impl NodeMetrics {
    #[must_use]
    pub fn new(facts: Arc<NodeFacts>, snapshot: Snapshot) -> Self {
        NodeMetrics { facts, snapshot, shards: Default::default(), exporters: Mutex::default() }
    }

    /// Everything, in Prometheus' text format: the node's own figures first, then the exporters'.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut out = Exposition::default();
        let engine = (self.snapshot)();
        self.node(&mut out, &engine);
        self.counters(&mut out);
        let mut exporters = self.exporters.lock().unwrap_or_else(PoisonError::into_inner);
        exporters.retain(|exporter| exporter.strong_count() > 0);
        let living: Vec<Arc<dyn Exporter>> = exporters.iter().filter_map(Weak::upgrade).collect();
        drop(exporters);
        for exporter in living {
            exporter.export(&mut out, &engine);
        }
        out.into_text()
    }

    /// Names, labels and order are Kong's, for the sake of dashboards.
    fn node(&self, out: &mut Exposition, engine: &Value) {
        let id = self.facts.id.to_string();
        let number = |value: Option<&Value>| value.and_then(Value::as_f64).unwrap_or(0.0);
        out.family("kong_datastore_reachable", "Datastore reachable from Kong, 0 is unreachable", FamilyKind::Gauge);
        let reachable = engine.get("datastore_reachable").and_then(Value::as_bool).unwrap_or(true);
        out.sample("kong_datastore_reachable", &[], f64::from(u8::from(reachable)));
        self.memory(out, engine, &id);
        let family = "kong_nginx_connections_total";
        out.family(family, "Number of connections by subsystem", FamilyKind::Gauge);
        for state in ["accepted", "active", "handled", "reading", "total", "waiting", "writing"] {
            let counted = engine.get("connections").and_then(|all| all.get(state));
            out.sample(family, &[("node_id", &id), ("subsystem", "http"), ("state", state)], number(counted));
        }
        out.family("kong_nginx_metric_errors_total", "Number of metric errors", FamilyKind::Counter);
        out.sample("kong_nginx_metric_errors_total", &[], 0.0);
        out.family("kong_nginx_requests_total", "Total number of requests", FamilyKind::Gauge);
        let labels = [("node_id", id.as_str()), ("subsystem", "http")];
        out.sample("kong_nginx_requests_total", &labels, number(engine.get("requests")));
        out.family("kong_nginx_timers", "Number of background tasks", FamilyKind::Gauge);
        for state in ["pending", "running"] {
            let counted = engine.get("timers").and_then(|all| all.get(state));
            out.sample("kong_nginx_timers", &[("state", state)], number(counted));
        }
        out.family("kong_node_info", "Node metadata", FamilyKind::Gauge);
        out.sample("kong_node_info", &[("node_id", &id), ("version", &self.facts.kong_version)], 1.0);
    }

    /// The dictionaries of Lua and, as all workers share one process, its memory.
    fn memory(&self, out: &mut Exposition, engine: &Value, id: &str) {
        let number = |value: Option<&Value>| value.and_then(Value::as_f64).unwrap_or(0.0);
        let dictionaries = || engine.get("dictionaries").and_then(Value::as_object).into_iter().flatten();
        let labels = |name| [("node_id", id), ("shared_dict", name), ("kong_subsystem", "http")];
        let family = "kong_memory_lua_shared_dict_bytes";
        out.family(family, "Allocated slabs in bytes in a shared_dict", FamilyKind::Gauge);
        for (name, sizes) in dictionaries() {
            let used = number(sizes.get("capacity")) - number(sizes.get("free_space"));
            out.sample(family, &labels(name.as_str()), used);
        }
        let family = "kong_memory_lua_shared_dict_total_bytes";
        out.family(family, "Total capacity in bytes of a shared_dict", FamilyKind::Gauge);
        for (name, sizes) in dictionaries() {
            out.sample(family, &labels(name.as_str()), number(sizes.get("capacity")));
        }
        let family = "kong_memory_workers_lua_vms_bytes";
        out.family(family, "Allocated bytes in worker Lua VM", FamilyKind::Gauge);
        let pid = std::process::id().to_string();
        let labels = [("node_id", id), ("pid", &pid), ("kong_subsystem", "http")];
        out.sample(family, &labels, number(engine.get("resident_bytes")));
    }

    fn counters(&self, out: &mut Exposition) {
        let mut merged: BTreeMap<Key, u64> = BTreeMap::new();
        for shard in &self.shards {
            for (key, count) in &*shard.0.lock().unwrap_or_else(PoisonError::into_inner) {
                *merged.entry(key.clone()).or_default() += count;
            }
        }
        let mut family = "";
        for ((name, labels), count) in &merged {
            if *name != family {
                family = name;
                out.family(name, "Counted on this node", FamilyKind::Counter);
            }
            #[allow(clippy::cast_precision_loss)] // exact up to 2^53
            out.sample_with(name, labels, *count as f64);
        }
    }
}

impl Metrics for NodeMetrics {
    fn add(&self, name: &'static str, labels: &[(&'static str, &str)], by: u64) {
        let mut text = String::new();
        for (at, (label, value)) in labels.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(label);
            text.push_str("=\"");
            escape_label(&mut text, value);
            text.push('"');
        }
        let Some(shard) = self.shards.get(own_shard()) else { return };
        let mut counters = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = counters.len() < LABEL_SETS;
        let key = (name, text);
        match counters.get_mut(&key) {
            Some(count) => *count += by,
            None if room => drop(counters.insert(key, by)),
            None => {}
        }
    }

    fn engine_snapshot(&self) -> Value {
        (self.snapshot)()
    }

    fn register(&self, exporter: Weak<dyn Exporter>) {
        let mut exporters = self.exporters.lock().unwrap_or_else(PoisonError::into_inner);
        exporters.retain(|known| known.strong_count() > 0 && !Weak::ptr_eq(known, &exporter));
        exporters.push(exporter);
    }
}

/// The calling thread's shard.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| match own.get() {
        Some(shard) => shard,
        None => {
            let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            own.set(Some(shard));
            shard
        }
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    struct Families;

    impl Exporter for Families {
        fn export(&self, out: &mut Exposition, engine: &Value) {
            out.sample("seen", &[], engine["requests"].as_f64().unwrap_or(-1.0));
        }
    }

    fn metrics() -> NodeMetrics {
        let facts = NodeFacts { kong_version: "3.10.0".into(), ..NodeFacts::default() };
        NodeMetrics::new(
            Arc::new(facts),
            Box::new(|| serde_json::json!({ "requests": 7, "connections": { "active": 2 } })),
        )
    }

    #[test]
    fn counts_of_all_threads_are_added_up() {
        let metrics = metrics();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| metrics.add("lost_total", &[("queue", "a\"b")], 2));
            }
        });
        metrics.add("lost_total", &[], 1);
        let text = metrics.exposition();
        assert!(text.contains("# TYPE lost_total counter\nlost_total 1\nlost_total{queue=\"a\\\"b\"} 8\n"), "{text}");
    }

    #[test]
    fn the_nodes_own_figures_are_always_there() {
        let text = metrics().exposition();
        for sample in [
            "kong_datastore_reachable 1",
            "kong_nginx_connections_total{node_id=\"00000000-0000-0000-0000-000000000000\",subsystem=\"http\",state=\"active\"} 2",
            "kong_nginx_requests_total{node_id=\"00000000-0000-0000-0000-000000000000\",subsystem=\"http\"} 7",
            "kong_node_info{node_id=\"00000000-0000-0000-0000-000000000000\",version=\"3.10.0\"} 1",
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample} is missing in\n{text}");
        }
    }

    #[test]
    fn an_exporter_is_shown_once_and_as_long_as_somebody_holds_it() {
        let metrics = metrics();
        let exporter: Arc<dyn Exporter> = Arc::new(Families);
        metrics.register(Arc::downgrade(&exporter));
        metrics.register(Arc::downgrade(&exporter));
        assert_eq!(metrics.exposition().matches("seen 7").count(), 1);
        drop(exporter);
        assert!(!metrics.exposition().contains("seen"));
    }
}
