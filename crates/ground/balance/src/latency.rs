//! Latency averages and the power of two choices.

use crate::hash::mix;

/// After this many seconds without a request an average has lost 63 % of its weight.
const DECAY_SECONDS: f64 = 10.0;

/// Exponentially weighted moving average of response times whose weights follow elapsed time, not request counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ewma {
    seconds: f64,
    touched_ms: u64,
}

impl Ewma {
    pub fn new(seconds: f64, now_ms: u64) -> Self {
        Self { seconds, touched_ms: now_ms }
    }

    /// The average as it would be if a request of no duration ended now: what is idle becomes attractive again.
    pub fn decayed(&self, now_ms: u64) -> f64 {
        self.blend(0.0, now_ms)
    }

    pub fn observe(&mut self, seconds: f64, now_ms: u64) {
        self.seconds = self.blend(seconds, now_ms);
        self.touched_ms = self.touched_ms.max(now_ms);
    }

    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    fn blend(&self, seconds: f64, now_ms: u64) -> f64 {
        let elapsed = now_ms.saturating_sub(self.touched_ms) as f64 / 1_000.0;
        let kept = (-elapsed / DECAY_SECONDS).exp();
        self.seconds * kept + seconds * (1.0 - kept)
    }
}

/// Two different positions below `count` (the same one twice if there is only one).
pub(crate) fn two_choices(count: usize, seed: u64) -> (usize, usize) {
    if count < 2 {
        return (0, 0);
    }
    let below = |seed: u64, bound: usize| (mix(seed) % bound as u64) as usize;
    let first = below(seed, count);
    let other = below(seed.wrapping_add(1), count - 1);
    (first, if other >= first { other + 1 } else { other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_ten_seconds_a_sample_counts_for_63_percent() {
        let mut average = Ewma::new(1.0, 0);
        average.observe(0.0, 10_000);
        assert!((average.seconds() - (-1.0_f64).exp()).abs() < 1e-9);
    }

    #[test]
    fn samples_at_the_same_instant_change_nothing() {
        let mut average = Ewma::new(1.0, 5);
        average.observe(9.0, 5);
        assert!((average.seconds() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_clock_that_steps_back_is_no_elapsed_time() {
        let mut average = Ewma::new(1.0, 5_000);
        average.observe(9.0, 1_000);
        assert!((average.seconds() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_two_choices_differ_and_reach_everybody() {
        let mut seen = [false; 5];
        for seed in 0..200 {
            let (first, second) = two_choices(5, seed);
            assert_ne!(first, second);
            seen.iter_mut().enumerate().filter(|(n, _)| *n == first || *n == second).for_each(|(_, s)| *s = true);
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(two_choices(1, 9), (0, 0));
    }
}
