//! A weighted turn order: each entry comes up as often as its weight says, as evenly spread as possible.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Most points a wheel may have. Weights whose reduced sum is larger are scaled down, so that one upstream with
/// coprime weights up to 65535 cannot take megabytes per node.
const MAX_POINTS: usize = 1 << 16;

/// A precomputed round of turns. The same weights give the same wheel on every node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    turns: Box<[u32]>,
}

impl Wheel {
    /// Builds the round for `weights`; entry `i` of the slice is called `i` in the turns. Weight 0 gets no turn.
    ///
    /// The size is the sum of the weights divided by their greatest common divisor, at most about 65,536.
    pub fn new(weights: &[u32]) -> Self {
        let weights = bounded(&reduced(weights));
        let total: usize = weights.iter().map(|weight| *weight as usize).sum();
        // An entry of weight w wants its turns at (k + 1/2) / w of the round; taking the earliest first spreads all.
        let mut due: BinaryHeap<Due> = weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0)
            .map(|(entry, weight)| Due { turn: 0, weight: u64::from(*weight), entry: entry as u32 })
            .collect();
        let mut turns = Vec::with_capacity(total);
        while turns.len() < total {
            let Some(mut next) = due.pop() else { break };
            turns.push(next.entry);
            next.turn += 1;
            if next.turn < next.weight {
                due.push(next);
            }
        }
        Self { turns: turns.into() }
    }

    /// Number of turns in a round; 0 when all weights are 0.
    pub fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whether nobody ever gets a turn.
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whose turn it is at a position, which is taken modulo the round.
    pub fn at(&self, position: usize) -> Option<usize> {
        let position = position.checked_rem(self.turns.len())?;
        self.turns.get(position).map(|entry| *entry as usize)
    }
}

#[derive(PartialEq, Eq)]
struct Due {
    turn: u64,
    weight: u64,
    entry: u32,
}

impl Ord for Due {
    /// Greater means due earlier (a `BinaryHeap` pops the greatest); ties go to the first entry.
    fn cmp(&self, other: &Self) -> Ordering {
        let mine = (2 * self.turn + 1) * other.weight;
        let theirs = (2 * other.turn + 1) * self.weight;
        theirs.cmp(&mine).then_with(|| other.entry.cmp(&self.entry))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn reduced(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().fold(0, |divisor, weight| gcd(divisor, *weight)).max(1);
    weights.iter().map(|weight| weight / divisor).collect()
}

fn bounded(weights: &[u32]) -> Vec<u32> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if total <= MAX_POINTS as u64 {
        return weights.to_vec();
    }
    let scaled = |weight: u32| (u64::from(weight) * MAX_POINTS as u64 / total) as u32;
    // Nobody with a weight is scaled away, so the result may exceed the bound by the number of entries.
    weights.iter().map(|weight| if *weight == 0 { 0 } else { scaled(*weight).max(1) }).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(weights: &[u32]) -> Vec<usize> {
        let wheel = Wheel::new(weights);
        (0..wheel.len()).map(|position| wheel.at(position).unwrap()).collect()
    }

    #[test]
    fn weights_are_reduced_by_their_greatest_common_divisor() {
        assert_eq!(round(&[100, 50, 0]), [0, 1, 0]);
        assert_eq!(round(&[100, 100]), [0, 1]);
    }

    #[test]
    fn turns_are_spread_not_bunched() {
        assert_eq!(round(&[3, 1]), [0, 0, 1, 0]);
    }

    #[test]
    fn without_weight_nobody_has_a_turn() {
        assert!(Wheel::new(&[0, 0]).is_empty());
        assert!(Wheel::new(&[]).is_empty());
        assert_eq!(Wheel::new(&[]).at(3), None);
    }

    #[test]
    fn coprime_giants_are_bounded_and_nobody_is_lost() {
        let wheel = Wheel::new(&[65_535, 65_534, 65_533, 1]);
        assert!(wheel.len() <= MAX_POINTS + 4, "{}", wheel.len());
        assert!((0..wheel.len()).any(|position| wheel.at(position) == Some(3)));
    }

    proptest! {
        #[test]
        fn everybody_gets_exactly_the_share_of_the_weight(weights in prop::collection::vec(0_u32..200, 1..12)) {
            let reduced = reduced(&weights);
            let round = round(&weights);
            for (entry, weight) in reduced.iter().enumerate() {
                prop_assert_eq!(round.iter().filter(|turn| **turn == entry).count(), *weight as usize);
            }
        }

        #[test]
        fn at_no_point_is_anybody_ahead_or_behind_by_more_than_a_turn_per_peer(
            weights in prop::collection::vec(1_u32..50, 2..6),
        ) {
            let round = round(&weights);
            let total = round.len() as f64;
            let reduced = reduced(&weights);
            let mut seen = vec![0_f64; weights.len()];
            for (position, turn) in round.iter().enumerate() {
                seen[*turn] += 1.0;
                for (entry, weight) in reduced.iter().enumerate() {
                    let fair = f64::from(*weight) * (position as f64 + 1.0) / total;
                    prop_assert!((seen[entry] - fair).abs() <= weights.len() as f64);
                }
            }
        }
    }
}
