//! Windows of any length: fixed, or weighted with the one before so that a client cannot spend two windows' worth
//! around a boundary.

use smallvec::SmallVec;

use crate::table::{Expiring, Table};

/// One limit: so many per so long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WindowLimit {
    /// How many.
    pub limit: f64,
    /// Length of the window in milliseconds, at least 1.
    pub size_ms: u64,
}

/// How a rate is taken from counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// The count of the present window.
    Fixed,
    /// The count of the present window, plus that of the one before as far as it still overlaps the last `size`.
    Sliding,
}

/// One limit after a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RollingUsage {
    /// The limit.
    pub limit: WindowLimit,
    /// The rate, this request included.
    pub rate: f64,
    /// What is left, in whole requests.
    pub remaining: u64,
    /// Seconds until something is free again, at least 1; for fixed windows until the present one ends.
    pub reset_seconds: u64,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct RollingDecision {
    /// Whether no limit is exceeded.
    pub allowed: bool,
    /// All limits, in the order given.
    pub usages: SmallVec<[RollingUsage; 4]>,
}

/// Counters of a node by key. Share one between all workers, and keep it across configurations.
#[derive(Debug)]
pub struct RollingWindows {
    table: Table<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    windows: SmallVec<[Count; 2]>,
    expires_ms: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    size_ms: u64,
    start_ms: u64,
    present: u64,
    previous: u64,
}

impl Expiring for Counts {
    fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms <= now_ms
    }
}

impl RollingWindows {
    /// For at most about `capacity` keys. `seed` should be a secret random number.
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self { table: Table::new(capacity, seed) }
    }

    /// Counts a request of some cost and decides about it: it passes if no rate, this request included, is above its
    /// limit. With `count_refused` it counts even if it does not pass, so that a client that hammers stays out.
    ///
    /// `now_ms` is the wall clock: windows begin at multiples of their size since 1970, on all nodes alike.
    pub fn admit(
        &self,
        key: &[u8],
        limits: &[WindowLimit],
        kind: WindowKind,
        cost: u64,
        count_refused: bool,
        now_ms: u64,
    ) -> RollingDecision {
        let work = |counts: &mut Counts| counts.admit(limits, kind, cost, count_refused, now_ms);
        let free = || RollingDecision { allowed: true, usages: SmallVec::new() };
        self.table.update(key, now_ms, Counts::default, work).unwrap_or_else(free)
    }

    /// Adds to the present windows what was not known before, or takes back what was counted too much (not below
    /// nothing).
    pub fn settle(&self, key: &[u8], limits: &[WindowLimit], by: i64, now_ms: u64) {
        let work = |counts: &mut Counts| {
            for limit in limits {
                let count = counts.at(limit.size_ms.max(1), now_ms);
                count.present = count.present.saturating_add_signed(by);
            }
        };
        self.table.update(key, now_ms, Counts::default, work);
    }

    /// Looks without counting.
    pub fn usage(&self, key: &[u8], limits: &[WindowLimit], kind: WindowKind, now_ms: u64) -> RollingDecision {
        let look = |counts: &Counts| {
            let mut copy = Counts { windows: counts.windows.clone(), expires_ms: counts.expires_ms };
            copy.admit(limits, kind, 0, false, now_ms)
        };
        self.table.read(key, look).unwrap_or_else(|| Counts::default().admit(limits, kind, 0, false, now_ms))
    }

    /// Keys that were thrown out for lack of room while they still counted: a metric worth an alarm.
    pub fn evictions(&self) -> u64 {
        self.table.evictions()
    }

    /// Number of keys held.
    pub fn keys(&self) -> usize {
        self.table.len()
    }
}

impl Counts {
    fn admit(
        &mut self,
        limits: &[WindowLimit],
        kind: WindowKind,
        cost: u64,
        count_refused: bool,
        now_ms: u64,
    ) -> RollingDecision {
        let mut usages = SmallVec::new();
        let mut allowed = true;
        for limit in limits {
            let count = self.at(limit.size_ms.max(1), now_ms);
            let rate = count.rate(kind, now_ms) + cost as f64;
            let over = rate > limit.limit;
            allowed &= !over;
            let wait_ms = match kind {
                WindowKind::Sliding if over => count.wait_ms(limit.limit, cost, now_ms),
                _ => count.size_ms - count.elapsed_ms(now_ms),
            };
            usages.push(RollingUsage {
                limit: *limit,
                rate,
                remaining: (limit.limit - rate).max(0.0) as u64,
                reset_seconds: wait_ms.div_ceil(1_000).max(1),
            });
        }
        if cost > 0 && (allowed || count_refused) {
            for limit in limits {
                let count = self.at(limit.size_ms.max(1), now_ms);
                count.present = count.present.saturating_add(cost);
            }
        }
        // What remains of windows that no limit mentions any more.
        self.windows.retain(|count| limits.iter().any(|limit| limit.size_ms.max(1) == count.size_ms));
        RollingDecision { allowed, usages }
    }

    fn at(&mut self, size_ms: u64, now_ms: u64) -> &mut Count {
        let position = match self.windows.iter().position(|count| count.size_ms == size_ms) {
            Some(position) => position,
            None => {
                self.windows.push(Count { size_ms, ..Count::default() });
                self.windows.len() - 1
            }
        };
        // The second window after this one no longer feels it.
        self.expires_ms = self.expires_ms.max(now_ms.saturating_add(size_ms.saturating_mul(2)));
        // The position was just found or made.
        #[allow(clippy::indexing_slicing)]
        let count = &mut self.windows[position];
        count.move_to(now_ms);
        count
    }
}

impl Count {
    fn move_to(&mut self, now_ms: u64) {
        let start_ms = now_ms - now_ms % self.size_ms;
        // As in fixed windows: a clock that is a moment behind counts in the window the others are in.
        let slightly_behind = start_ms < self.start_ms && self.start_ms - start_ms <= self.size_ms;
        if start_ms == self.start_ms || slightly_behind {
            return;
        }
        let follows = self.start_ms + self.size_ms == start_ms;
        self.previous = if follows { self.present } else { 0 };
        self.present = 0;
        self.start_ms = start_ms;
    }

    fn elapsed_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.start_ms).min(self.size_ms)
    }

    fn rate(&self, kind: WindowKind, now_ms: u64) -> f64 {
        let overlap = match kind {
            WindowKind::Fixed => 0.0,
            WindowKind::Sliding => 1.0 - self.elapsed_ms(now_ms) as f64 / self.size_ms as f64,
        };
        self.present as f64 + self.previous as f64 * overlap
    }

    /// Milliseconds until a request of this cost would pass a sliding window, if nothing else comes.
    fn wait_ms(&self, limit: f64, cost: u64, now_ms: u64) -> u64 {
        let size = self.size_ms as f64;
        // Time into a window after which `count` of the window before has slid out far enough to leave `room`.
        let slides_out = |count: u64, room: f64| size * (1.0 - (room / count as f64).clamp(0.0, 1.0));
        let elapsed = self.elapsed_ms(now_ms) as f64;
        let room = limit - cost as f64;
        let wait = if self.present as f64 <= room {
            slides_out(self.previous, room - self.present as f64) - elapsed
        } else {
            size - elapsed + slides_out(self.present, room)
        };
        wait.max(0.0).ceil() as u64
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A multiple of ten seconds.
    const NOW: u64 = 1_709_213_860_000;

    fn windows() -> RollingWindows {
        RollingWindows::new(1_000, 42)
    }

    fn per_ten_seconds(limit: f64) -> [WindowLimit; 1] {
        [WindowLimit { limit, size_ms: 10_000 }]
    }

    fn admitted(windows: &RollingWindows, limits: &[WindowLimit], kind: WindowKind, now: u64, tries: usize) -> usize {
        (0..tries).filter(|_| windows.admit(b"k", limits, kind, 1, false, now).allowed).count()
    }

    #[test]
    fn a_fixed_window_forgets_at_its_boundary() {
        let (windows, limits) = (windows(), per_ten_seconds(5.0));
        assert_eq!(admitted(&windows, &limits, WindowKind::Fixed, NOW + 9_000, 9), 5);
        assert_eq!(admitted(&windows, &limits, WindowKind::Fixed, NOW + 10_000, 9), 5);
    }

    #[test]
    fn a_sliding_window_weighs_the_one_before() {
        let (windows, limits) = (windows(), per_ten_seconds(10.0));
        assert_eq!(admitted(&windows, &limits, WindowKind::Sliding, NOW + 9_000, 20), 10);
        assert_eq!(admitted(&windows, &limits, WindowKind::Sliding, NOW + 10_000, 20), 0);
        // Half of the ten still count.
        assert_eq!(admitted(&windows, &limits, WindowKind::Sliding, NOW + 15_000, 20), 5);
        // Two windows later nothing of the first counts.
        assert_eq!(admitted(&windows, &limits, WindowKind::Sliding, NOW + 40_000, 20), 10);
    }

    #[test]
    fn refused_requests_count_only_if_they_are_meant_to() {
        let limits = per_ten_seconds(2.0);
        for (count_refused, in_next_window) in [(false, true), (true, false)] {
            let windows = windows();
            for _ in 0..20 {
                windows.admit(b"k", &limits, WindowKind::Sliding, 1, count_refused, NOW + 9_000);
            }
            let later = windows.admit(b"k", &limits, WindowKind::Sliding, 1, count_refused, NOW + 15_000);
            assert_eq!(later.allowed, in_next_window);
        }
    }

    #[test]
    fn every_limit_must_be_met_and_each_is_reported() {
        let windows = windows();
        let limits = [WindowLimit { limit: 2.0, size_ms: 1_000 }, WindowLimit { limit: 3.0, size_ms: 60_000 }];
        assert_eq!(admitted(&windows, &limits, WindowKind::Fixed, NOW, 9), 2);
        assert_eq!(admitted(&windows, &limits, WindowKind::Fixed, NOW + 1_000, 9), 1);
        let decision = windows.admit(b"k", &limits, WindowKind::Fixed, 1, false, NOW + 2_500);
        assert!(!decision.allowed);
        assert_eq!(decision.usages[0].remaining, 1);
        assert_eq!(decision.usages[0].reset_seconds, 1);
        assert_eq!(decision.usages[1].remaining, 0);
        // 13:37:40 is forty seconds into its minute.
        assert_eq!(decision.usages[1].reset_seconds, 18);
    }

    #[test]
    fn the_reset_of_a_sliding_window_is_when_a_request_would_pass() {
        let (windows, limits) = (windows(), per_ten_seconds(10.0));
        admitted(&windows, &limits, WindowKind::Sliding, NOW + 9_000, 20);
        let refused = windows.admit(b"k", &limits, WindowKind::Sliding, 1, false, NOW + 9_000);
        // One second to the boundary, and one more until a tenth has slid out.
        assert_eq!(refused.usages[0].reset_seconds, 2);
        assert!(!windows.usage(b"k", &limits, WindowKind::Sliding, NOW + 10_000).usages[0].remaining > 0);
        assert!(windows.admit(b"k", &limits, WindowKind::Sliding, 1, false, NOW + 11_000).allowed);
    }

    #[test]
    fn what_was_counted_too_much_is_taken_back() {
        let (windows, limits) = (windows(), per_ten_seconds(10.0));
        windows.admit(b"k", &limits, WindowKind::Fixed, 8, false, NOW);
        windows.settle(b"k", &limits, -5, NOW);
        assert_eq!(windows.usage(b"k", &limits, WindowKind::Fixed, NOW).usages[0].remaining, 7);
        windows.settle(b"k", &limits, -50, NOW);
        windows.settle(b"k", &limits, 4, NOW);
        assert_eq!(windows.usage(b"k", &limits, WindowKind::Fixed, NOW).usages[0].remaining, 6);
    }

    #[test]
    fn four_threads_admit_exactly_the_limit() {
        let (windows, limits) = (windows(), per_ten_seconds(1_000.0));
        for (kind, at) in [(WindowKind::Fixed, NOW), (WindowKind::Sliding, NOW + 100_000)] {
            let total: usize = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| admitted(&windows, &limits, kind, at, 1_000))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(total, 1_000);
        }
    }

    proptest! {
        #[test]
        fn waiting_out_the_reset_lets_one_pass(
            limit in 1_u32..20,
            steps in prop::collection::vec(0_u64..3_000, 1..100),
        ) {
            let (windows, limits) = (windows(), per_ten_seconds(f64::from(limit)));
            let mut now = NOW;
            for step in steps {
                now += step;
                let decision = windows.admit(b"k", &limits, WindowKind::Sliding, 1, false, now);
                if !decision.allowed {
                    now += decision.usages[0].reset_seconds * 1_000;
                    prop_assert!(windows.admit(b"k", &limits, WindowKind::Sliding, 1, false, now).allowed);
                }
            }
        }
    }
}
