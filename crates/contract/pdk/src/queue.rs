//! Bounded queues between the log phase and the outside world: batching, retry, capacity, drop with
//! a metric. A full queue or a hanging receiver never slows an exchange. The engine runs them on the
//! control runtime; a plugin says how a batch is delivered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::SendFuture;

/// Kong's `queue` record.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSettings {
    /// 1..=1_000_000 entries per delivery.
    pub max_batch_size: usize,
    pub max_coalescing_delay: Duration,
    /// Entries waiting; the oldest are dropped above it.
    pub max_entries: usize,
    /// Bytes waiting, if limited.
    pub max_bytes: Option<usize>,
    pub max_retry_time: Duration,
    pub initial_retry_delay: Duration,
    pub max_retry_delay: Duration,
    /// `false` delivers every entry at once in a task of its own (`concurrency_limit = -1`).
    pub sequential: bool,
}

impl Default for QueueSettings {
    fn default() -> Self {
        QueueSettings {
            max_batch_size: 1,
            max_coalescing_delay: Duration::from_secs(1),
            max_entries: 10_000,
            max_bytes: None,
            max_retry_time: Duration::from_secs(60),
            initial_retry_delay: Duration::from_millis(10),
            max_retry_delay: Duration::from_secs(60),
            sequential: true,
        }
    }
}

/// One serialised entry.
pub type QueueEntry = Bytes;

/// How a plugin delivers a batch.
pub trait Deliver: Send + Sync + 'static {
    /// Delivers all entries or says why not; the queue then tries again with the same entries.
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>>;
}

/// The sending end.
pub trait Queue: Send + Sync {
    /// Never waits.
    fn push(&self, entry: QueueEntry);
}

/// Where queues come from. A queue outlives a plan while its name stays the same.
pub trait Queues {
    fn open(&self, name: &str, settings: QueueSettings, deliver: Arc<dyn Deliver>) -> Arc<dyn Queue>;
}
