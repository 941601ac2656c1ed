//! Latencies in logarithmic buckets: 64 per power of two, so a percentile is within 1.6 % of the truth at any size.

/// Buckets per power of two.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

/// Counts of durations in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, nanoseconds: u64) {
        let index = bucket(nanoseconds);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, 0);
        }
        if let Some(slot) = self.buckets.get_mut(index) {
            *slot += 1;
        }
        self.count += 1;
        self.sum += u128::from(nanoseconds);
        self.max = self.max.max(nanoseconds);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The largest.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, 0 if nothing was counted.
    #[must_use]
    pub fn mean(&self) -> u64 {
        u64::try_from(self.sum.checked_div(u128::from(self.count)).unwrap_or_default()).unwrap_or(u64::MAX)
    }

    /// The duration that this share (0 to 1) of all counted ones did not exceed.
    #[must_use]
    pub fn percentile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest(index).min(self.max);
            }
        }
        self.max
    }
}

/// Values below STEPS have a bucket each; above, the top bits after the leading one choose the step.
fn bucket(value: u64) -> usize {
    let leading = 63 - (value | 1).leading_zeros();
    let index = match leading.checked_sub(STEP_BITS) {
        None | Some(0) => value,
        Some(shift) => (value >> shift) + u64::from(shift) * STEPS,
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value that falls into a bucket.
fn highest(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * STEPS {
        return index;
    }
    let shift = index / STEPS - 1;
    let top = index % STEPS + STEPS;
    ((top + 1) << shift) - 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_whose_top_is_at_most_a_sixty_fourth_above() {
        let mut value = 0_u64;
        while value < 1 << 60 {
            let top = highest(bucket(value));
            assert!(top >= value && top - value <= value / 64, "{value} -> {top}");
            value += value / 97 + 1;
        }
    }

    #[test]
    fn buckets_follow_one_another_without_gap() {
        for index in 0..3000 {
            assert_eq!(bucket(highest(index)), index);
            assert_eq!(bucket(highest(index) + 1), index + 1);
        }
    }

    #[test]
    fn percentiles_of_a_uniform_series() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|n| histogram.record(n));
        for (share, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let found = histogram.percentile(share) as f64;
            assert!((found / exact - 1.0).abs() < 0.016, "{share}: {found}");
        }
        assert_eq!((histogram.percentile(1.0), histogram.mean()), (100_000, 50_000));
    }
}
