//! Counts of calendar periods, as the plugins that limit use them: on this node, in the datastore, in Redis, or on
//! this node and reconciled with Redis now and then.
//!
//! What is counted, what a limit is and what the client is told are the plugins' business.

mod key;
mod later;
mod outside;
mod synced;

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use gibbon_limit::FixedWindows;
use gibbon_pdk::{Build, KvSettings};
use serde_json::{Map, Value};

pub use key::{Keys, LocalKey, Who};
pub use later::LaterCounts;
pub use outside::{Change, CounterError, Outside};
pub use synced::Synced;

/// Keys that a node counts at once, some 250 bytes each: a million consumers with a count of their own. More push
/// out those that were not used for longest.
const CAPACITY: usize = 1 << 20;

/// The counters of this node that plugins of one name share. They outlive configurations, so that a change of limits
/// does not forget what was used.
pub fn node_windows(plugin: &str, build: &Build<'_>) -> Arc<FixedWindows> {
    build.shared(&format!("{plugin}/windows"), || {
        // A secret seed: whoever knew it could choose header values whose counters collide.
        let mut seed = [0; 8];
        build.random.fill(&mut seed);
        FixedWindows::new(CAPACITY, u64::from_ne_bytes(seed))
    })
}

/// A configuration together with the server it counts at.
fn instance(build: &Build<'_>, server: &KvSettings) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    server.hash(&mut hasher);
    format!("{}/{:x}", build.plugin_id, hasher.finish())
}

const PERIODS: [&str; 6] = ["second", "minute", "hour", "day", "month", "year"];

/// The limit for a longer period may not be lower than that for a shorter one.
///
/// # Errors
/// The first pair for which that is not so.
pub fn check_order(limits: &Map<String, Value>) -> Result<(), String> {
    let limit = |name: &str| limits.get(name).and_then(Value::as_f64);
    for (at, shorter) in PERIODS.iter().enumerate() {
        let Some(low) = limit(shorter) else { continue };
        for longer in PERIODS.iter().skip(at + 1) {
            if let Some(high) = limit(longer).filter(|high| *high < low) {
                return Err(format!(
                    "The limit for {longer}({high:.1}) cannot be lower than the limit for {shorter}({low:.1})"
                ));
            }
        }
    }
    Ok(())
}
