//! A clock that stands still until a test moves it, predictable randomness, and futures run to their end.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gibbon_pdk::{Clock, Random, SendFuture};

/// 2024-02-29T13:37:42.123Z: a leap day, in the middle of every period.
pub const START_MS: u64 = 1_709_213_862_123;

/// Wall clock and monotonic clock in one; sleeping moves it.
#[derive(Debug)]
pub struct FakeClock {
    start_ns: u64,
    elapsed_ns: AtomicU64,
}

impl Default for FakeClock {
    fn default() -> Self {
        FakeClock { start_ns: START_MS * 1_000_000, elapsed_ns: AtomicU64::new(0) }
    }
}

impl FakeClock {
    pub fn advance(&self, by: Duration) {
        self.elapsed_ns.fetch_add(by.as_nanos() as u64, Ordering::SeqCst);
    }

    /// Moves to a later moment, in milliseconds since the epoch.
    pub fn set_ms(&self, ms: u64) {
        self.elapsed_ns.store(ms * 1_000_000 - self.start_ns, Ordering::SeqCst);
    }

    pub fn now_ms(&self) -> u64 {
        self.wall_ns() / 1_000_000
    }
}

impl Clock for FakeClock {
    fn wall_ns(&self) -> u64 {
        self.start_ns + self.elapsed_ns.load(Ordering::SeqCst)
    }

    fn monotonic_ns(&self) -> u64 {
        1 + self.elapsed_ns.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> SendFuture<'static, ()> {
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }
}

/// Bytes that count up: different at each call, the same in each run.
#[derive(Debug, Default)]
pub struct FakeRandom(AtomicU64);

impl Random for FakeRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = (self.0.fetch_add(1, Ordering::SeqCst) % 251) as u8;
        }
    }
}

/// Runs a future that waits for nothing outside of the rig.
///
/// # Panics
/// When it still waits after many polls: nothing in the rig would ever wake it.
pub fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the future waits for something that will not happen");
}
