//! The health of one address: state and four counters in one atomic word, so that a threshold is the node's and
//! not each worker's, without a lock on the request path.

use std::sync::atomic::{AtomicU64, Ordering};

use super::checks::Count;

const STATE_SHIFT: u32 = 32;
const SUCCESS_SHIFT: u32 = 24;
const HTTP_SHIFT: u32 = 16;
const TCP_SHIFT: u32 = 8;
const TIMEOUT_SHIFT: u32 = 0;
const SUCCESS_MASK: u64 = 0xff << SUCCESS_SHIFT;
const FAILURE_MASK: u64 = 0x00ff_ffff;

/// The two inner states remember that counting towards the other side has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Healthy = 0,
    MostlyHealthy = 1,
    MostlyUnhealthy = 2,
    Unhealthy = 3,
}

impl State {
    fn of(word: u64) -> Self {
        match word >> STATE_SHIFT {
            0 => Self::Healthy,
            1 => Self::MostlyHealthy,
            2 => Self::MostlyUnhealthy,
            _ => Self::Unhealthy,
        }
    }

    fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy | Self::MostlyHealthy)
    }
}

/// Shared by all workers and by successive configurations.
#[derive(Debug, Default)]
pub(super) struct Cell {
    word: AtomicU64,
    /// When it last became available, for the warm-up; 0 if it always was.
    recovered_ms: AtomicU64,
    /// When the registry first saw nobody using it; 0 while in use.
    unused_since_ms: AtomicU64,
}

impl Cell {
    pub fn is_healthy(&self) -> bool {
        State::of(self.word.load(Ordering::Relaxed)).is_healthy()
    }

    /// Counts one event. `Some(healthy)` if it carried the address over a threshold.
    ///
    /// A success clears the failure counters and the other way round, but only if its own counter is switched on:
    /// with `successes` 0 failures add up however many requests succeed in between.
    pub fn count(&self, count: Count, now_ms: u64) -> Option<bool> {
        let (healthy, shift, limit) = match count {
            Count::Success(limit) => (true, SUCCESS_SHIFT, limit),
            Count::Http(limit) => (false, HTTP_SHIFT, limit),
            Count::Tcp(limit) => (false, TCP_SHIFT, limit),
            Count::Timeout(limit) => (false, TIMEOUT_SHIFT, limit),
        };
        if limit == 0 {
            return None;
        }
        let change = |word| counted(word, healthy, shift, limit);
        let before = self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, change).ok()?;
        let after = counted(before, healthy, shift, limit).unwrap_or(before);
        self.crossed(before, after, now_ms)
    }

    /// Sets the state by hand and forgets all counts. `Some` if availability changed.
    pub fn force(&self, healthy: bool, now_ms: u64) -> Option<bool> {
        let state = if healthy { State::Healthy } else { State::Unhealthy };
        let after = (state as u64) << STATE_SHIFT;
        let before = self.word.swap(after, Ordering::AcqRel);
        self.crossed(before, after, now_ms)
    }

    /// Starts the warm-up of an address that was added to a running upstream.
    pub fn start_warming(&self, now_ms: u64) {
        self.recovered_ms.store(now_ms, Ordering::Relaxed);
    }

    pub fn recovered_ms(&self) -> u64 {
        self.recovered_ms.load(Ordering::Relaxed)
    }

    pub fn mark_used(&self) {
        self.unused_since_ms.store(0, Ordering::Relaxed);
    }

    /// How long nobody has used it; starts counting on the first call.
    pub fn unused_for_ms(&self, now_ms: u64) -> u64 {
        match self.unused_since_ms.load(Ordering::Relaxed) {
            0 => {
                self.unused_since_ms.store(now_ms.max(1), Ordering::Relaxed);
                0
            }
            since => now_ms.saturating_sub(since),
        }
    }

    fn crossed(&self, before: u64, after: u64, now_ms: u64) -> Option<bool> {
        let (before, after) = (State::of(before).is_healthy(), State::of(after).is_healthy());
        if before == after {
            return None;
        }
        if after {
            self.recovered_ms.store(now_ms, Ordering::Relaxed);
        }
        Some(after)
    }
}

/// The word after one event, or `None` if the event changes nothing.
fn counted(word: u64, healthy: bool, shift: u32, limit: u8) -> Option<u64> {
    let state = State::of(word);
    let settled = if healthy { State::Healthy } else { State::Unhealthy };
    if state == settled {
        return None;
    }
    let kept = word & if healthy { SUCCESS_MASK } else { FAILURE_MASK };
    let counter = ((kept >> shift) & 0xff).saturating_add(1).min(0xff);
    let counters = kept & !(0xff << shift) | counter << shift;
    let state = if counter >= u64::from(limit) {
        settled
    } else {
        match state {
            State::Healthy => State::MostlyHealthy,
            State::Unhealthy => State::MostlyUnhealthy,
            inner => inner,
        }
    };
    Some(counters | (state as u64) << STATE_SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_as_many_failures_as_the_limit() {
        let cell = Cell::default();
        assert_eq!(cell.count(Count::Tcp(3), 1), None);
        assert_eq!(cell.count(Count::Tcp(3), 1), None);
        assert!(cell.is_healthy());
        assert_eq!(cell.count(Count::Tcp(3), 1), Some(false));
        assert!(!cell.is_healthy());
        assert_eq!(cell.count(Count::Tcp(3), 1), None, "already unhealthy");
    }

    #[test]
    fn failures_of_different_kinds_are_counted_apart() {
        let cell = Cell::default();
        assert_eq!(cell.count(Count::Tcp(2), 1), None);
        assert_eq!(cell.count(Count::Http(2), 1), None);
        assert_eq!(cell.count(Count::Timeout(2), 1), None);
        assert_eq!(cell.count(Count::Http(2), 1), Some(false));
    }

    #[test]
    fn a_success_that_counts_clears_the_failures() {
        let cell = Cell::default();
        assert_eq!(cell.count(Count::Http(2), 1), None);
        assert_eq!(cell.count(Count::Success(2), 1), None);
        assert_eq!(cell.count(Count::Http(2), 1), None);
        assert_eq!(cell.count(Count::Http(2), 1), Some(false));
    }

    #[test]
    fn a_success_that_does_not_count_clears_nothing() {
        let cell = Cell::default();
        assert_eq!(cell.count(Count::Http(2), 1), None);
        assert_eq!(cell.count(Count::Success(0), 1), None);
        assert_eq!(cell.count(Count::Http(2), 1), Some(false));
    }

    #[test]
    fn successes_in_a_row_bring_it_back_and_a_failure_starts_the_row_anew() {
        let cell = Cell::default();
        assert_eq!(cell.force(false, 1), Some(false));
        assert_eq!(cell.count(Count::Success(2), 5), None);
        assert_eq!(cell.count(Count::Tcp(5), 5), None);
        assert_eq!(cell.count(Count::Success(2), 5), None);
        assert_eq!(cell.count(Count::Success(2), 7), Some(true));
        assert_eq!(cell.recovered_ms(), 7);
    }

    #[test]
    fn the_limit_255_can_be_reached() {
        let cell = Cell::default();
        for _ in 0..254 {
            assert_eq!(cell.count(Count::Timeout(255), 1), None);
        }
        assert_eq!(cell.count(Count::Timeout(255), 1), Some(false));
    }

    #[test]
    fn four_workers_share_one_threshold() {
        let cell = Cell::default();
        let crossings: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..50).filter(|_| cell.count(Count::Tcp(200), 1) == Some(false)).count()))
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap_or(0)).sum()
        });
        assert_eq!(crossings, 1, "200 failures over four threads reach the limit exactly once");
        assert!(!cell.is_healthy());
    }
}
