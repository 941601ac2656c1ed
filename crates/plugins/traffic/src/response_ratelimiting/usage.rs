//! What was used so far, and what an answer adds to it, for each named limit.

use std::sync::Arc;

use gibbon_limit::{Decision, FixedWindows, Limits, Period};
use gibbon_pdk::{Build, BuildError};

use super::config::{Config, Policy};
use crate::counters::{Change, CounterError, Keys, LaterCounts, LocalKey, Outside, Who, node_windows};

/// A limit with the name that upstreams use.
pub struct Named {
    pub name: String,
    pub limits: Limits,
}

/// Where counts lie.
pub enum Counting {
    Local(Arc<FixedWindows>),
    Shared(Outside, LaterCounts),
}

/// The counts of one exchange, from its access phase on.
pub struct Usage {
    /// The moment that all phases count by: an answer belongs to the period in which its request came.
    pub now_ms: u64,
    /// State of each limit, in the order of the configuration.
    pub decisions: Vec<Decision>,
    /// Cost of the answer for each limit.
    pub costs: Vec<u64>,
    keys: WhoseKeys,
}

/// How the counts of the one that the exchange counts for are found.
pub enum WhoseKeys {
    Local(Vec<LocalKey>),
    Shared(String),
}

impl Usage {
    pub fn new(now_ms: u64, decisions: Vec<Decision>, keys: WhoseKeys) -> Self {
        let costs = vec![0; decisions.len()];
        Usage { now_ms, decisions, costs, keys }
    }
}

impl Counting {
    /// # Errors
    /// `cluster` without a datastore.
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let plugin = super::PART.name;
        Ok(match config.policy {
            Policy::Local => Counting::Local(node_windows(plugin, build)),
            Policy::Cluster if !build.store.is_present() => {
                let cause = "policy 'cluster' needs a datastore, and this node has none".to_owned();
                return Err(BuildError { plugin: plugin.to_owned(), cause });
            }
            Policy::Cluster => {
                let outside = Outside::Store(Arc::clone(&build.store));
                let later = LaterCounts::new(outside.clone(), &gibbon_pdk::KvSettings::default(), build);
                Counting::Shared(outside, later)
            }
            Policy::Redis => {
                let settings = config.redis.settings(plugin)?;
                let outside = Outside::Kv((build.open_kv)(&settings));
                let later = LaterCounts::new(outside.clone(), &settings, build);
                Counting::Shared(outside, later)
            }
        })
    }

    /// Adds the costs of an answer.
    pub fn count(&self, named: &[Named], usage: &Usage) {
        for (at, (named, cost)) in named.iter().zip(&usage.costs).enumerate().filter(|(_, (_, cost))| **cost > 0) {
            match (self, &usage.keys) {
                (Counting::Local(windows), WhoseKeys::Local(keys)) => {
                    if let Some(key) = keys.get(at) {
                        windows.add(key, &named.limits, *cost, usage.now_ms);
                    }
                }
                (Counting::Shared(_, later), WhoseKeys::Shared(key)) => {
                    let by = i64::try_from(*cost).unwrap_or(i64::MAX);
                    Change::each(key, &named.name, &named.limits, usage.now_ms, by).iter().for_each(|c| later.add(c));
                }
                _ => {}
            }
        }
    }
}

/// What is used according to this node's own counts.
pub fn here(windows: &FixedWindows, named: &[Named], keys: &Keys, who: &Who<'_>, now_ms: u64) -> Usage {
    let own: Vec<LocalKey> = named.iter().map(|named| keys.local(who, &named.name)).collect();
    let look = |(named, key): (&Named, &LocalKey)| windows.usage(key, &named.limits, now_ms);
    let decisions = named.iter().zip(&own).map(look).collect();
    Usage::new(now_ms, decisions, WhoseKeys::Local(own))
}

/// What is used according to counts that all nodes share.
///
/// # Errors
/// When they cannot be reached.
pub async fn outside(outside: &Outside, named: &[Named], key: String, now_ms: u64) -> Result<Usage, CounterError> {
    let each = |named: &Named| Change::each(&key, &named.name, &named.limits, now_ms, 0);
    let changes: Vec<Change> = named.iter().flat_map(each).collect();
    let mut counts = outside.read(&changes).await?.into_iter();
    let mut decide = |named: &Named| {
        let used: Vec<(Period, i64)> = named.limits.iter().map(|(period, _)| period).zip(&mut counts).collect();
        let of = |period: Period| used.iter().find(|(p, _)| *p == period).map_or(0, |(_, n)| (*n).max(0) as u64);
        Decision::of(&named.limits, of, now_ms)
    };
    let decisions = named.iter().map(&mut decide).collect();
    Ok(Usage::new(now_ms, decisions, WhoseKeys::Shared(key)))
}
