//! The node's clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use gibbon_pdk::Clock;

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
}
