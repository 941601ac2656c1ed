//! The node's clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gibbon_pdk::{Clock, SendFuture};

/// The system's wall clock and a monotonic clock that starts at 1 (0 means "not yet" in an exchange).
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall_ns(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64 + 1
    }

    fn sleep(&self, duration: Duration) -> SendFuture<'static, ()> {
        // Inside of the block: the timer belongs to the runtime that polls, not to the one that asks.
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}
