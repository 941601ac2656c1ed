//! The node's clocks.

use std::time::Duration;

use gibbon_pdk::{Clock, SendFuture};
use nix::time::ClockId;

/// The system's wall clock and a monotonic clock that starts at 1 (0 means "not yet" in an exchange).
pub struct SystemClock {
    start: u64,
}

/// Nanoseconds of one of the system's clocks. The standard library's types check what cannot be and carry seconds apart
/// from nanoseconds, which is felt at eight readings per request.
fn read(clock: ClockId) -> u64 {
    clock.now().map_or(0, |now| now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { start: read(ClockId::CLOCK_MONOTONIC) }
    }
}

impl Clock for SystemClock {
    fn wall_ns(&self) -> u64 {
        read(ClockId::CLOCK_REALTIME)
    }

    fn monotonic_ns(&self) -> u64 {
        read(ClockId::CLOCK_MONOTONIC).saturating_sub(self.start) + 1
    }

    fn sleep(&self, duration: Duration) -> SendFuture<'static, ()> {
        // Inside of the block: the timer belongs to the runtime that polls, not to the one that asks.
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}
