//! Token buckets, kept as one number: the time at which the bucket would be empty of debt (the generic cell rate
//! algorithm). Serves bandwidth and delays as well as refusals.

use crate::table::{Expiring, Table};

const NANOS: f64 = 1e9;

/// So many tokens a second, and how many may be saved up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens that come in per second; greater than 0.
    pub per_second: f64,
    /// Most tokens the bucket holds.
    pub burst: f64,
}

impl Rate {
    fn nanos(&self, tokens: f64) -> u64 {
        // A conversion to an integer saturates, so a rate of 0 means waiting for ever and not a panic.
        (tokens * NANOS / self.per_second) as u64
    }
}

/// What became of a request for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The tokens are yours.
    Now,
    /// They are yours after so many nanoseconds; the bucket is in debt until then.
    After(u64),
    /// They would be there only after so many nanoseconds, which is longer than allowed. Nothing was taken.
    Refused(u64),
}

/// One bucket, full at the beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// When all tokens taken so far will have been replaced.
    settled_ns: u64,
}

impl Bucket {
    /// Takes tokens, or promises them within `max_wait_ns`.
    ///
    /// More than a burst at once is possible only by waiting. `now_ns` is a clock that only moves forward.
    pub fn take(&mut self, rate: &Rate, tokens: f64, now_ns: u64, max_wait_ns: u64) -> Taken {
        let settled = self.settled_ns.max(now_ns).saturating_add(rate.nanos(tokens));
        let ready = settled.saturating_sub(rate.nanos(rate.burst));
        match ready.saturating_sub(now_ns) {
            wait if wait > max_wait_ns => Taken::Refused(wait),
            wait => {
                self.settled_ns = settled;
                if wait == 0 { Taken::Now } else { Taken::After(wait) }
            }
        }
    }

    /// Tokens in the bucket; negative while it is in debt.
    pub fn level(&self, rate: &Rate, now_ns: u64) -> f64 {
        rate.burst - self.settled_ns.saturating_sub(now_ns) as f64 / NANOS * rate.per_second
    }
}

impl Expiring for Bucket {
    /// A full bucket is the same as none.
    fn is_expired(&self, now_ns: u64) -> bool {
        self.settled_ns <= now_ns
    }
}

/// Buckets of a node by key. Share one between all workers.
#[derive(Debug)]
pub struct TokenBuckets {
    table: Table<Bucket>,
}

impl TokenBuckets {
    /// For at most about `capacity` keys. `seed` should be a secret random number.
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self { table: Table::new(capacity, seed) }
    }

    /// See [`Bucket::take`].
    pub fn take(&self, key: &[u8], rate: &Rate, tokens: f64, now_ns: u64, max_wait_ns: u64) -> Taken {
        let take = |bucket: &mut Bucket| bucket.take(rate, tokens, now_ns, max_wait_ns);
        self.table.update(key, now_ns, Bucket::default, take).unwrap_or(Taken::Now)
    }

    /// See [`Bucket::level`].
    pub fn level(&self, key: &[u8], rate: &Rate, now_ns: u64) -> f64 {
        self.table.read(key, |bucket| bucket.level(rate, now_ns)).unwrap_or(rate.burst)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const TEN_A_SECOND: Rate = Rate { per_second: 10.0, burst: 5.0 };

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let mut bucket = Bucket::default();
        let now = 100 * SECOND;
        let taken: Vec<_> = (0..6).map(|_| bucket.take(&TEN_A_SECOND, 1.0, now, 0)).collect();
        assert_eq!(taken.iter().filter(|taken| **taken == Taken::Now).count(), 5);
        assert_eq!(taken.last(), Some(&Taken::Refused(SECOND / 10)));
        assert_eq!(bucket.take(&TEN_A_SECOND, 1.0, now + SECOND / 10, 0), Taken::Now);
        assert_eq!(bucket.take(&TEN_A_SECOND, 1.0, now + SECOND / 10, 0), Taken::Refused(SECOND / 10));
    }

    #[test]
    fn those_who_may_wait_are_spaced_evenly() {
        let mut bucket = Bucket::default();
        let waits: Vec<_> = (0..9)
            .map(|_| match bucket.take(&TEN_A_SECOND, 1.0, SECOND, 3 * SECOND / 10) {
                Taken::Now => Some(0),
                Taken::After(wait) => Some(wait * 10 / SECOND),
                Taken::Refused(_) => None,
            })
            .collect();
        assert_eq!(waits, [Some(0), Some(0), Some(0), Some(0), Some(0), Some(1), Some(2), Some(3), None]);
        assert!((bucket.level(&TEN_A_SECOND, SECOND) + 3.0).abs() < 1e-6);
    }

    #[test]
    fn more_than_the_bucket_holds_is_possible_only_by_waiting() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(&TEN_A_SECOND, 15.0, 0, 0), Taken::Refused(SECOND));
        assert_eq!(bucket.take(&TEN_A_SECOND, 15.0, 0, SECOND), Taken::After(SECOND));
    }

    #[test]
    fn a_rate_of_nothing_never_lets_anything_pass() {
        let mut bucket = Bucket::default();
        let never = Rate { per_second: 0.0, burst: 0.0 };
        assert!(matches!(bucket.take(&never, 1.0, 0, SECOND), Taken::Refused(_)));
    }

    #[test]
    fn four_threads_take_exactly_what_is_there() {
        let buckets = TokenBuckets::new(100, 3);
        let rate = Rate { per_second: 1.0, burst: 1_000.0 };
        let take = || (0..500).filter(|_| buckets.take(b"k", &rate, 1.0, SECOND, 0) == Taken::Now).count();
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 1_000);
        assert!(buckets.level(b"k", &rate, SECOND).abs() < 1e-6);
        assert!((buckets.level(b"other", &rate, SECOND) - 1_000.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn no_stretch_of_time_yields_more_than_burst_plus_rate(
            steps in prop::collection::vec(0_u64..300_000_000, 1..200),
        ) {
            let mut bucket = Bucket::default();
            let start = 5 * SECOND;
            let mut now = start;
            let mut taken = 0_f64;
            for step in steps {
                now += step;
                if bucket.take(&TEN_A_SECOND, 1.0, now, 0) == Taken::Now {
                    taken += 1.0;
                }
                let most = TEN_A_SECOND.burst + TEN_A_SECOND.per_second * (now - start) as f64 / NANOS;
                prop_assert!(taken <= most + 1e-6);
            }
        }
    }
}
