//! Counting behind the answer: what it costs is known as it leaves, where nothing can wait.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_pdk::{Build, Deliver, KvSettings, Queue, QueueEntry, QueueSettings, SendFuture};

use super::outside::{Change, Outside};

/// Counts of shared counters that are made in the background, in batches.
pub struct LaterCounts(Arc<dyn Queue>);

impl LaterCounts {
    /// The queue of this configuration. It is bounded: with the server gone for long, the oldest counts are lost.
    pub fn new(outside: Outside, server: &KvSettings, build: &Build<'_>) -> Self {
        let settings = QueueSettings {
            max_batch_size: 500,
            max_coalescing_delay: Duration::from_millis(10),
            max_entries: 100_000,
            ..QueueSettings::default()
        };
        let name = format!("counts/{}", super::instance(build, server));
        LaterCounts(build.queues.open(&name, settings, Arc::new(Counting(outside))))
    }

    pub fn add(&self, change: &Change) {
        self.0.push(encode(change));
    }
}

struct Counting(Outside);

impl Deliver for Counting {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let changes: Vec<Change> = batch.iter().filter_map(decode).collect();
            self.0.add(&changes).await.map(drop).map_err(|error| error.to_string())
        })
    }
}

/// `by ttl key`; the key comes last because it may hold anything.
fn encode(change: &Change) -> QueueEntry {
    Bytes::from(format!("{} {} {}", change.by, change.ttl.as_secs(), change.key))
}

fn decode(entry: &QueueEntry) -> Option<Change> {
    let mut parts = std::str::from_utf8(entry).ok()?.splitn(3, ' ');
    let by = parts.next()?.parse().ok()?;
    let ttl = Duration::from_secs(parts.next()?.parse().ok()?);
    Some(Change { key: parts.next()?.to_owned(), by, ttl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_survives_the_queue() {
        let change = Change { key: "a b: c".to_owned(), by: -3, ttl: Duration::from_secs(60) };
        assert_eq!(decode(&encode(&change)), Some(change));
    }
}
