//! The `queue` record that queueing plugins share, and the older fields it replaced.

use std::time::Duration;

use gibbon_pdk::QueueSettings;
use gibbon_schema::Schema;

/// How entries wait for their delivery.
#[derive(Schema, Debug, Clone)]
pub struct Queue {
    /// Entries delivered together at most.
    #[schema(default = 1, between(1, 1000000))]
    pub max_batch_size: usize,
    /// Seconds that the first entry of a batch waits for others.
    #[schema(default = 1, between(0, 3600))]
    pub max_coalescing_delay: f64,
    /// Entries that may wait; the oldest are dropped for new ones.
    #[schema(default = 10000, between(1, 1000000))]
    pub max_entries: usize,
    /// Bytes that may wait.
    pub max_bytes: Option<usize>,
    /// Seconds after which a batch that cannot be delivered is given up.
    #[schema(default = 60)]
    pub max_retry_time: f64,
    /// Seconds until the first retry; each further one waits twice as long.
    #[schema(default = 0.01, between(0.001, 1000000))]
    pub initial_retry_delay: f64,
    /// Seconds between two retries at most.
    #[schema(default = 60, between(0.001, 1000000))]
    pub max_retry_delay: f64,
    /// 1 delivers in order; -1 delivers every entry at once by itself.
    #[schema(default = 1, one_of(-1, 1))]
    pub concurrency_limit: i64,
}

impl Queue {
    /// As the port wants it. The older fields win where they differ from what they once defaulted to.
    pub fn settings(&self, old_size: Option<(i64, i64)>, old_delay: Option<(f64, f64)>) -> QueueSettings {
        let size =
            old_size.filter(|(given, default)| given != default).and_then(|(given, _)| usize::try_from(given).ok());
        let delay = old_delay.filter(|(given, default)| given != default).map(|(given, _)| given);
        QueueSettings {
            max_batch_size: size.unwrap_or(self.max_batch_size).max(1),
            max_coalescing_delay: seconds(delay.unwrap_or(self.max_coalescing_delay)),
            max_entries: self.max_entries,
            max_bytes: self.max_bytes,
            max_retry_time: seconds(self.max_retry_time),
            initial_retry_delay: seconds(self.initial_retry_delay),
            max_retry_delay: seconds(self.max_retry_delay),
            sequential: self.concurrency_limit == 1,
        }
    }
}

fn seconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number).unwrap_or_default()
}

/// Milliseconds of a configuration.
pub fn milliseconds(number: f64) -> Duration {
    Duration::try_from_secs_f64(number / 1000.0).unwrap_or_default()
}

/// For log lines that go out at once and are not tried again: in Kong a task each, here one that takes
/// what has come meanwhile.
pub fn at_once() -> QueueSettings {
    QueueSettings {
        max_batch_size: 100,
        max_coalescing_delay: Duration::ZERO,
        max_retry_time: Duration::ZERO,
        initial_retry_delay: Duration::from_millis(1),
        max_retry_delay: Duration::from_millis(1),
        ..QueueSettings::default()
    }
}
