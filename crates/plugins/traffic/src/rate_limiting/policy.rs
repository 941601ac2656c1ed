//! Where counts lie, and how a request is counted there.

use std::sync::Arc;
use std::time::Duration;

use gibbon_limit::{Decision, FixedWindows, Limits, Period};
use gibbon_pdk::{Build, BuildError};

use super::config::{Config, Policy};
use crate::counters::{Change, CounterError, Outside, Synced, node_windows};

/// Where counts lie.
pub enum Counting {
    /// In this node's memory: decided at once.
    Local(Arc<FixedWindows>),
    Shared(Shared),
}

/// Counts that other nodes see too: deciding waits.
pub enum Shared {
    /// Counted with each request. Refused requests are counted too, unless they are `given_back`.
    Exact { outside: Outside, given_back: bool },
    /// Counted here and reconciled now and then.
    Synced(Arc<Synced>),
}

impl Counting {
    /// # Errors
    /// `cluster` without a datastore.
    pub fn new(config: &Config, delays: bool, build: &Build<'_>) -> Result<Self, BuildError> {
        let plugin = super::PART.name;
        Ok(match config.policy {
            Policy::Local => Counting::Local(node_windows(plugin, build)),
            Policy::Cluster if !build.store.is_present() => {
                let cause = "policy 'cluster' needs a datastore, and this node has none".to_owned();
                return Err(BuildError { plugin: plugin.to_owned(), cause });
            }
            Policy::Cluster => {
                let outside = Outside::Store(Arc::clone(&build.store));
                Counting::Shared(Shared::Exact { outside, given_back: true })
            }
            Policy::Redis => {
                let settings = config.redis.settings(plugin)?;
                let outside = Outside::Kv((build.open_kv)(&settings));
                Counting::Shared(if config.sync_rate > 0.0 {
                    let rate = Duration::from_secs_f64(config.sync_rate);
                    Shared::Synced(Synced::new(outside, &settings, rate, build))
                } else {
                    // A request that asks again and again while it is held back must not use up longer periods.
                    Shared::Exact { outside, given_back: delays }
                })
            }
        })
    }
}

impl Shared {
    /// Decides about a request, and counts it.
    ///
    /// # Errors
    /// When the counts cannot be reached.
    pub async fn admit(&self, key: &str, limits: &Limits, now_ms: u64) -> Result<Decision, CounterError> {
        match self {
            Shared::Exact { outside, given_back } => admit_exactly(outside, *given_back, key, limits, now_ms).await,
            Shared::Synced(synced) => {
                if let Some(decision) = synced.admit(key, limits, now_ms) {
                    return Ok(decision);
                }
                synced.learn(key, limits, now_ms).await?;
                match synced.admit(key, limits, now_ms) {
                    Some(decision) => Ok(decision),
                    None => synced.admit_outside(key, limits, now_ms).await,
                }
            }
        }
    }
}

/// Counts first and decides by what the count was before: two nodes can never both take the last place.
async fn admit_exactly(
    outside: &Outside,
    given_back: bool,
    key: &str,
    limits: &Limits,
    now_ms: u64,
) -> Result<Decision, CounterError> {
    let mut changes = Change::each(key, "", limits, now_ms, 1);
    let counts = outside.add(&changes).await?;
    let counts: Vec<(Period, i64)> = limits.iter().map(|(period, _)| period).zip(counts).collect();
    let before = |period: Period| counts.iter().find(|(p, _)| *p == period).map_or(0, |(_, n)| (n - 1).max(0) as u64);
    let decision = Decision::of(limits, before, now_ms);
    if given_back && !decision.is_allowed() {
        for change in &mut changes {
            change.by = -1;
        }
        outside.add(&changes).await?;
    }
    Ok(decision)
}
