//! Counters by name, as the status endpoint shows them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;

/// Counters of one name (`example.com:all`) or of one question about it (`example.com:A`).
pub type NameStatistics = BTreeMap<String, u64>;

/// Counted for every look-up, so without a lock.
#[derive(Debug, Default)]
pub(crate) struct NameCounters {
    pub runs: AtomicU64,
    pub hits: AtomicU64,
    pub stale_hits: AtomicU64,
    pub misses: AtomicU64,
    pub failures: AtomicU64,
    pub renewals: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl NameCounters {
    fn report(&self) -> NameStatistics {
        let counters = [
            ("runs", &self.runs),
            ("hit_lru", &self.hits),
            ("hit_stale", &self.stale_hits),
            ("miss", &self.misses),
            ("fail", &self.failures),
            ("stale", &self.renewals),
        ];
        let value = |(name, counter): (&str, &AtomicU64)| (name.to_owned(), counter.load(Ordering::Relaxed));
        counters.map(value).into_iter().filter(|(_, value)| *value > 0).collect()
    }
}

/// Everything counted. Bounded: with too many names, the counters of the oldest are forgotten.
#[derive(Debug)]
pub(crate) struct Statistics {
    names: Mutex<IndexMap<Box<str>, Arc<NameCounters>>>,
    questions: Mutex<IndexMap<String, NameStatistics>>,
    capacity: usize,
}

impl Statistics {
    pub fn new(capacity: usize) -> Self {
        Self { names: Mutex::default(), questions: Mutex::default(), capacity: capacity.max(1) }
    }

    pub fn of_name(&self, name: &str) -> Arc<NameCounters> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = names.get(name) {
            return counters.clone();
        }
        if names.len() >= self.capacity {
            names.swap_remove_index(0);
        }
        names.entry(name.into()).or_default().clone()
    }

    /// One question to the servers: how long it took, and what came of it (`query_succ`, `query_fail:name error`).
    pub fn question(&self, name: &str, kind: &str, took_ms: u64, outcome: &str) {
        let mut questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{name}:{kind}");
        if questions.len() >= self.capacity && !questions.contains_key(&key) {
            questions.swap_remove_index(0);
        }
        let counters = questions.entry(key).or_default();
        *counters.entry("query".into()).or_default() += 1;
        *counters.entry(outcome.into()).or_default() += 1;
        counters.insert("query_last_time".into(), took_ms);
    }

    pub fn report(&self) -> BTreeMap<String, NameStatistics> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner);
        let names = names.iter().map(|(name, counters)| (format!("{name}:all"), counters.report()));
        names.chain(questions.iter().map(|(name, counters)| (name.clone(), counters.clone()))).collect()
    }
}
