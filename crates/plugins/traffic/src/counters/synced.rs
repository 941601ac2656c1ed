//! Counts on this node that are reconciled with a shared counter now and then (`sync_rate`): a request waits only
//! the first time that this node sees its key in a period.
//!
//! Between two reconciliations nodes do not see each other's requests, so a limit may be exceeded by what the others
//! admitted meanwhile; that is the price of not waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use gibbon_limit::{Decision, Limits, Period};
use gibbon_pdk::{Build, Clock, Deliver, KvSettings, Queue, QueueEntry, QueueSettings, SendFuture};

use super::outside::{Change, CounterError, Outside};

/// Keys held at once. When it is full and nothing has expired, new keys are counted at the server alone.
const CAPACITY: usize = 200_000;
/// Counts per round trip.
const BATCH: usize = 500;

/// One count.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    start_ms: u64,
    /// What the server said last.
    shared: i64,
    /// Admitted here since, and not yet told.
    pending: i64,
    /// Being told right now.
    in_flight: i64,
}

/// Counts of one key, by period.
#[derive(Clone, Debug, Default)]
struct Counts {
    periods: HashMap<Period, Count>,
    queued: bool,
}

type Table = HashMap<String, Counts>;

/// Counts of one configuration.
pub struct Synced {
    table: Mutex<Table>,
    outside: Outside,
    queue: OnceLock<Arc<dyn Queue>>,
    dirty: Mutex<Vec<String>>,
    clock: Arc<dyn Clock>,
}

impl Synced {
    /// Reconciles every `rate`, while there is something to tell. `server` tells servers apart: with another one the
    /// counts begin anew.
    pub fn new(outside: Outside, server: &KvSettings, rate: Duration, build: &Build<'_>) -> Arc<Self> {
        let key = format!("synced/{}", super::instance(build, server));
        let fresh = || Synced {
            table: Mutex::default(),
            outside: outside.clone(),
            queue: OnceLock::new(),
            dirty: Mutex::default(),
            clock: Arc::clone(&build.clock),
        };
        let synced = build.shared(&key, fresh);
        // A queue that holds one entry back for as long as the rate is the timer: no timer runs while nothing happens.
        let settings = QueueSettings {
            max_batch_size: 1_000_000,
            max_coalescing_delay: rate,
            max_entries: 16,
            ..QueueSettings::default()
        };
        let queue = build.queues.open(&key, settings, Arc::new(Reconcile(Arc::downgrade(&synced))));
        let _ = synced.queue.set(queue);
        synced
    }

    /// Decides by what this node knows, and counts. `None` if it knows nothing of the key in a limited period yet:
    /// [`learn`](Self::learn) first.
    pub fn admit(&self, key: &str, limits: &Limits, now_ms: u64) -> Option<Decision> {
        let mut table = self.table();
        let counts = table.get_mut(key)?;
        let known = |period: Period| counts.periods.get(&period).is_some_and(|c| c.start_ms == period.start_ms(now_ms));
        if !limits.iter().all(|(period, _)| known(period)) {
            return None;
        }
        let used = |period: Period| {
            counts.periods.get(&period).map_or(0, |c| c.shared.saturating_add(c.pending + c.in_flight).max(0) as u64)
        };
        let decision = Decision::of(limits, used, now_ms);
        if decision.is_allowed() {
            for (period, _) in limits.iter() {
                if let Some(count) = counts.periods.get_mut(&period) {
                    count.pending += 1;
                }
            }
            if !std::mem::replace(&mut counts.queued, true) {
                self.tell_later(key);
            }
        }
        Some(decision)
    }

    /// Asks the server for the counts of a key.
    pub async fn learn(&self, key: &str, limits: &Limits, now_ms: u64) -> Result<(), CounterError> {
        let changes = Change::each(key, "", limits, now_ms, 0);
        let values = self.outside.read(&changes).await?;
        let mut table = self.table();
        if table.len() >= CAPACITY && !table.contains_key(key) {
            table.retain(|_, counts| counts.queued || counts.is_current(now_ms));
            if table.len() >= CAPACITY {
                return Ok(());
            }
        }
        let counts = table.entry(key.to_owned()).or_default();
        for ((period, _), shared) in limits.iter().zip(values) {
            let start_ms = period.start_ms(now_ms);
            let count = counts.periods.entry(period).or_default();
            if count.start_ms != start_ms {
                *count = Count { start_ms, shared, ..Count::default() };
            }
        }
        Ok(())
    }

    /// Decides at the server, for a key that this node has no room for.
    pub async fn admit_outside(&self, key: &str, limits: &Limits, now_ms: u64) -> Result<Decision, CounterError> {
        let changes = Change::each(key, "", limits, now_ms, 1);
        let values = self.outside.add(&changes).await?;
        let counts: Vec<(Period, i64)> = limits.iter().map(|(period, _)| period).zip(values).collect();
        let used = |period: Period| counts.iter().find(|(p, _)| *p == period).map_or(0, |(_, n)| (n - 1).max(0) as u64);
        Ok(Decision::of(limits, used, now_ms))
    }

    fn tell_later(&self, key: &str) {
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        dirty.push(key.to_owned());
        if dirty.len() == 1 {
            self.wind();
        }
    }

    /// Has `reconcile` called after the rate.
    fn wind(&self) {
        if let Some(queue) = self.queue.get() {
            queue.push(Bytes::from_static(b"sync"));
        }
    }

    /// Tells the server what was admitted here and takes over what it knows. What fails is tried again with the next.
    async fn reconcile(&self) {
        let keys = std::mem::take(&mut *self.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        for (at, batch) in keys.chunks(BATCH).enumerate() {
            let told = self.take_pending(batch);
            let changes: Vec<Change> = told.iter().map(|told| told.change.clone()).collect();
            match self.outside.add(&changes).await {
                Ok(totals) => self.settle(&told, Some(&totals)),
                Err(error) => {
                    tracing::error!("counts could not be reconciled: {error}");
                    self.settle(&told, None);
                    self.requeue(keys.get(at * BATCH..).unwrap_or_default());
                    return;
                }
            }
        }
    }

    fn take_pending(&self, keys: &[String]) -> Vec<Told> {
        let now_ms = self.clock.wall_ns() / 1_000_000;
        let mut table = self.table();
        let mut told = Vec::new();
        for key in keys {
            let Some(counts) = table.get_mut(key) else { continue };
            counts.queued = false;
            for (period, count) in &mut counts.periods {
                // A period that is over interests nobody any more.
                if count.pending > 0 && count.start_ms == period.start_ms(now_ms) {
                    count.in_flight = std::mem::take(&mut count.pending);
                    let change = Change::new(key, "", *period, now_ms, count.in_flight);
                    told.push(Told { key: key.clone(), period: *period, start_ms: count.start_ms, change });
                }
            }
        }
        told
    }

    fn settle(&self, told: &[Told], totals: Option<&[i64]>) {
        let mut table = self.table();
        for (at, told) in told.iter().enumerate() {
            let count = table.get_mut(&told.key).and_then(|counts| counts.periods.get_mut(&told.period));
            let Some(count) = count.filter(|count| count.start_ms == told.start_ms) else { continue };
            match totals {
                Some(totals) => {
                    count.shared = totals.get(at).copied().unwrap_or(count.shared + count.in_flight);
                }
                None => count.pending += count.in_flight,
            }
            count.in_flight = 0;
        }
    }

    fn requeue(&self, keys: &[String]) {
        let mut table = self.table();
        let mut left = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(counts) = table.get_mut(key)
                && !std::mem::replace(&mut counts.queued, true)
            {
                left.push(key.clone());
            }
        }
        drop(table);
        let mut dirty = self.dirty.lock().unwrap_or_else(PoisonError::into_inner);
        if dirty.is_empty() && !left.is_empty() {
            self.wind();
        }
        dirty.append(&mut left);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the server is being told.
struct Told {
    key: String,
    period: Period,
    start_ms: u64,
    change: Change,
}

impl Counts {
    fn is_current(&self, now_ms: u64) -> bool {
        self.periods.iter().any(|(period, count)| count.start_ms == period.start_ms(now_ms))
    }
}

/// Weak, since the counts hold the queue.
struct Reconcile(Weak<Synced>);

impl Deliver for Reconcile {
    fn deliver<'a>(&'a self, _: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if let Some(synced) = self.0.upgrade() {
                synced.reconcile().await;
            }
            Ok(())
        })
    }
}
