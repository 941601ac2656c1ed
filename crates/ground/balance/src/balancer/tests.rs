//! Each algorithm by its rule, and what all of them have in common.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::tests_support::{balancer, failover, literal};
use super::*;
use crate::{AllAvailable, TargetSpec};

/// Health by hand: which addresses are down, which are warming up, and whether a tier is cut off.
#[derive(Default)]
struct ByHand {
    down: HashSet<u32>,
    shares: HashMap<u32, f32>,
    cut_off: bool,
    generation: Cell<u64>,
}

impl ByHand {
    fn down(addresses: impl IntoIterator<Item = u32>) -> Self {
        Self { down: addresses.into_iter().collect(), ..Self::default() }
    }
}

impl Availability for ByHand {
    fn is_available(&self, address: AddressIndex) -> bool {
        !self.down.contains(&address.0)
    }

    fn share(&self, address: AddressIndex, _now_ms: u64) -> f32 {
        self.shares.get(&address.0).copied().unwrap_or(1.0)
    }

    fn is_healthy(&self, tier: Tier) -> bool {
        !(self.cut_off && tier == Tier::Ordinary)
    }

    fn generation(&self) -> u64 {
        self.generation.get()
    }
}

const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RoundRobin,
    Algorithm::ConsistentHashing,
    Algorithm::LeastConnections,
    Algorithm::Latency,
    Algorithm::StickySessions,
];

fn three() -> [TargetSpec; 3] {
    [literal("10.0.0.1:80", 100), literal("10.0.0.2:80", 50), literal("10.0.0.3:80", 0)]
}

/// Picks and releases at once; the address number of each pick.
fn picks(balancer: &Balancer, worker: &mut WorkerState, health: &impl Availability, count: u64) -> Vec<u32> {
    (0..count)
        .map(|seed| {
            let attempt = Attempt { hash: Some(value_hash(&seed.to_le_bytes())), seed, ..Attempt::default() };
            let pick = balancer.pick(worker, health, &attempt).expect("a peer");
            worker.release(pick.lease, balancer);
            pick.address.0
        })
        .collect()
}

fn tally(picks: &[u32]) -> HashMap<u32, usize> {
    let mut tally = HashMap::new();
    picks.iter().for_each(|pick| *tally.entry(*pick).or_insert(0) += 1);
    tally
}

#[test]
fn round_robin_follows_the_weights_exactly_and_leaves_out_weight_zero() {
    let balancer = balancer(Algorithm::RoundRobin, &three());
    let mut worker = WorkerState::new(1);
    for _ in 0..2 {
        assert_eq!(tally(&picks(&balancer, &mut worker, &AllAvailable, 30)), HashMap::from([(0, 20), (1, 10)]));
    }
}

#[test]
fn the_same_hash_reaches_the_same_address_and_different_hashes_reach_all() {
    let balancer = balancer(
        Algorithm::ConsistentHashing,
        &[literal("10.0.0.1:80", 100), literal("10.0.0.2:80", 100), literal("10.0.0.3:80", 100)],
    );
    let mut worker = WorkerState::new(1);
    let mut of = |value: &str| {
        let attempt = Attempt { hash: Some(value_hash(value.as_bytes())), ..Attempt::default() };
        balancer.pick(&mut worker, &AllAvailable, &attempt).unwrap().address
    };
    assert!((0..8).all(|_| of("alpha") == of("alpha")));
    let all: HashSet<_> = (0..40).map(|n| of(&format!("v{n}"))).collect();
    assert_eq!(all.len(), 3);
}

#[test]
fn without_an_input_everything_hashes_to_one_target() {
    let balancer = balancer(Algorithm::ConsistentHashing, &three());
    let mut worker = WorkerState::new(1);
    let mut of =
        |hash| balancer.pick(&mut worker, &AllAvailable, &Attempt { hash, ..Attempt::default() }).unwrap().address;
    let first = of(None);
    assert!((0..30).all(|_| of(None) == first));
    assert_eq!(of(Some(value_hash(b""))), first);
}

#[test]
fn least_connections_fills_by_weight_and_prefers_what_was_released() {
    let balancer = balancer(Algorithm::LeastConnections, &[literal("10.0.0.1:80", 20), literal("10.0.0.2:80", 10)]);
    let mut worker = WorkerState::new(1);
    let attempt = Attempt::default();
    let mut held: Vec<_> = (0..30).map(|_| balancer.pick(&mut worker, &AllAvailable, &attempt).unwrap()).collect();
    assert_eq!(worker.connections(AddressIndex(0)), 20);
    assert_eq!(worker.connections(AddressIndex(1)), 10);
    let position = held.iter().position(|pick| pick.address == AddressIndex(1)).unwrap();
    worker.release(held.swap_remove(position).lease, &balancer);
    assert_eq!(balancer.pick(&mut worker, &AllAvailable, &attempt).unwrap().address, AddressIndex(1));
}

#[test]
fn idle_addresses_take_turns_under_least_connections() {
    let balancer = balancer(Algorithm::LeastConnections, &[literal("10.0.0.1:80", 1), literal("10.0.0.2:80", 1)]);
    let picks = picks(&balancer, &mut WorkerState::new(1), &AllAvailable, 10);
    assert_eq!(tally(&picks), HashMap::from([(0, 5), (1, 5)]));
}

#[test]
fn connections_survive_a_new_balancer_and_come_back_under_it() {
    let old = balancer(Algorithm::LeastConnections, &[literal("10.0.0.1:80", 1), literal("10.0.0.2:80", 1)]);
    let new = balancer(
        Algorithm::LeastConnections,
        &[literal("10.0.0.0:80", 1), literal("10.0.0.1:80", 1), literal("10.0.0.2:80", 1)],
    );
    let mut worker = WorkerState::new(1);
    let attempt = Attempt::default();
    let first = old.pick(&mut worker, &AllAvailable, &attempt).unwrap();
    let socket = old.address(first.address).unwrap().socket();
    let second = new.pick(&mut worker, &AllAvailable, &attempt).unwrap();
    assert_eq!(new.address(second.address).unwrap().socket(), "10.0.0.0:80".parse().unwrap());
    let kept = AddressIndex(new.addresses().iter().position(|a| a.socket() == socket).unwrap() as u32);
    assert_eq!(worker.connections(kept), 1);
    worker.release(first.lease, &old);
    assert_eq!(worker.connections(kept), 0);
    worker.release(second.lease, &new);
}

#[test]
fn latency_sends_more_to_the_faster() {
    let balancer = balancer(
        Algorithm::Latency,
        &[literal("10.0.0.1:80", 1), literal("10.0.0.2:80", 1), literal("10.0.0.3:80", 1)],
    );
    let mut worker = WorkerState::new(1);
    let mut counts = [0; 3];
    for n in 0..3_000_u64 {
        let attempt = Attempt { now_ms: n * 20, seed: n * 7, ..Attempt::default() };
        let pick = balancer.pick(&mut worker, &AllAvailable, &attempt).unwrap();
        counts[pick.address.slot()] += 1;
        let seconds = [0.010, 0.200, 0.400][pick.address.slot()];
        worker.observe(&pick.lease, seconds, n * 20);
        worker.release(pick.lease, &balancer);
    }
    assert!(counts[0] > counts[1] && counts[0] > counts[2], "{counts:?}");
    assert!(counts[2] > 0, "the slow ones are still looked at: {counts:?}");
}

#[test]
fn a_new_address_starts_at_the_mean_latency() {
    let old = balancer(Algorithm::Latency, &[literal("10.0.0.1:80", 1), literal("10.0.0.2:80", 1)]);
    let new = balancer(
        Algorithm::Latency,
        &[literal("10.0.0.1:80", 1), literal("10.0.0.2:80", 1), literal("10.0.0.3:80", 1)],
    );
    let mut worker = WorkerState::new(1);
    let tried = [AddressIndex(0)];
    let first = old.pick(&mut worker, &AllAvailable, &Attempt { tried: &[AddressIndex(1)], ..Attempt::default() });
    let second = old.pick(&mut worker, &AllAvailable, &Attempt { tried: &tried, ..Attempt::default() });
    worker.observe(&first.unwrap().lease, 0.1, 0);
    worker.observe(&second.unwrap().lease, 0.3, 0);
    new.pick(&mut worker, &AllAvailable, &Attempt::default()).unwrap();
    assert!((worker.decayed_latency(AddressIndex(2), 0) - 0.2).abs() < 1e-9);
}

#[test]
fn a_retry_goes_to_an_untried_address_and_when_all_are_tried_starts_over() {
    for algorithm in ALGORITHMS {
        let balancer = balancer(algorithm, &three());
        let mut worker = WorkerState::new(7);
        let mut tried = Vec::new();
        for _ in 0..2 {
            let attempt = Attempt { tried: &tried, hash: Some(99), ..Attempt::default() };
            let pick = balancer.pick(&mut worker, &AllAvailable, &attempt).unwrap();
            worker.release(pick.lease, &balancer);
            assert!(!tried.contains(&pick.address), "{algorithm:?}");
            tried.push(pick.address);
        }
        let attempt = Attempt { tried: &tried, hash: Some(99), ..Attempt::default() };
        let again = balancer.pick(&mut worker, &AllAvailable, &attempt).unwrap();
        assert!(tried.contains(&again.address), "{algorithm:?}");
    }
}

#[test]
fn when_nobody_can_take_it_the_client_reads_kongs_words() {
    for algorithm in ALGORITHMS {
        let mut worker = WorkerState::new(7);
        let empty = balancer(algorithm, &[]);
        let reason = empty.pick(&mut worker, &AllAvailable, &Attempt::default()).unwrap_err();
        assert_eq!(reason, NoPeer::Nobody);
        assert_eq!(reason.to_string(), "failure to get a peer from the ring-balancer");
        let weightless = balancer(algorithm, &[literal("10.0.0.1:80", 0)]);
        assert_eq!(weightless.pick(&mut worker, &AllAvailable, &Attempt::default()).unwrap_err(), NoPeer::Nobody);
        let all_down = balancer(algorithm, &three());
        let health = ByHand::down([0, 1, 2]);
        assert_eq!(all_down.pick(&mut worker, &health, &Attempt::default()).unwrap_err(), NoPeer::Unavailable);
        let cut_off = ByHand { cut_off: true, ..ByHand::default() };
        assert_eq!(all_down.pick(&mut worker, &cut_off, &Attempt::default()).unwrap_err(), NoPeer::Unhealthy);
    }
}

#[test]
fn failover_targets_are_used_only_while_no_ordinary_one_is_available() {
    for algorithm in ALGORITHMS {
        let balancer = balancer(algorithm, &[literal("10.0.0.1:80", 1), failover("10.0.0.9:80", 1)]);
        let mut worker = WorkerState::new(7);
        assert_eq!(tally(&picks(&balancer, &mut worker, &AllAvailable, 20)), HashMap::from([(0, 20)]));
        let health = ByHand { generation: Cell::new(1), ..ByHand::down([0]) };
        assert_eq!(tally(&picks(&balancer, &mut worker, &health, 20)), HashMap::from([(1, 20)]));
        let health = ByHand { cut_off: true, generation: Cell::new(2), ..ByHand::default() };
        assert_eq!(tally(&picks(&balancer, &mut worker, &health, 20)), HashMap::from([(1, 20)]));
    }
}

#[test]
fn a_cookie_brings_the_client_back_even_to_a_target_being_drained() {
    let balancer = balancer(Algorithm::StickySessions, &three());
    let mut worker = WorkerState::new(7);
    for address in [0, 1, 2].map(AddressIndex) {
        let cookie = balancer.sticky_token(address).unwrap().to_string();
        assert_eq!(cookie.len(), 16);
        let attempt = Attempt { sticky: Some(cookie.as_bytes()), ..Attempt::default() };
        for _ in 0..4 {
            assert_eq!(balancer.pick(&mut worker, &AllAvailable, &attempt).unwrap().address, address);
        }
    }
}

#[test]
fn a_cookie_that_leads_nowhere_is_ignored() {
    let balancer = balancer(Algorithm::StickySessions, &three());
    let mut worker = WorkerState::new(7);
    let gone = balancer.sticky_token(AddressIndex(0)).unwrap().to_string();
    let health = ByHand::down([0]);
    for cookie in [gone.as_bytes(), b"", b"zzzzzzzzzzzzzzzz", b"0123456789abcdef", b"+123456789abcdef"] {
        let attempt = Attempt { sticky: Some(cookie), ..Attempt::default() };
        assert_eq!(balancer.pick(&mut worker, &health, &attempt).unwrap().address, AddressIndex(1));
    }
}

#[test]
fn a_warming_address_gets_about_its_share_of_turns() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::ConsistentHashing] {
        let balancer = balancer(algorithm, &[literal("10.0.0.1:80", 1), literal("10.0.0.2:80", 1)]);
        let health = ByHand { shares: HashMap::from([(0, 0.2)]), ..ByHand::default() };
        let taken = tally(&picks(&balancer, &mut WorkerState::new(1), &health, 4_000))[&0];
        assert!((200..700).contains(&taken), "{algorithm:?}: {taken} of 4000");
    }
}

#[test]
fn a_warming_address_takes_everything_if_it_is_alone() {
    for algorithm in ALGORITHMS {
        let balancer = balancer(algorithm, &[literal("10.0.0.1:80", 1)]);
        let health = ByHand { shares: HashMap::from([(0, 0.1)]), ..ByHand::default() };
        assert_eq!(tally(&picks(&balancer, &mut WorkerState::new(1), &health, 50))[&0], 50);
    }
}

#[test]
fn workers_with_different_seeds_start_at_different_places() {
    let specs: Vec<_> = (0..16).map(|n| literal(&format!("10.0.0.{n}:80"), 1)).collect();
    let balancer = balancer(Algorithm::RoundRobin, &specs);
    let starts: HashSet<_> =
        (0..8).map(|seed| picks(&balancer, &mut WorkerState::new(seed), &AllAvailable, 1)[0]).collect();
    assert!(starts.len() > 3, "{starts:?}");
}

proptest! {
    #[test]
    fn no_unavailable_address_is_ever_picked(
        weights in prop::collection::vec(0_u32..100, 1..12),
        down in prop::collection::hash_set(0_u32..12, 0..12),
        seed in any::<u64>(),
    ) {
        let specs: Vec<_> = weights.iter().enumerate().map(|(n, w)| literal(&format!("10.0.0.{n}:80"), *w)).collect();
        let up: HashSet<u32> = weights
            .iter()
            .enumerate()
            .filter(|(n, w)| **w > 0 && !down.contains(&(*n as u32)))
            .map(|(n, _)| n as u32)
            .collect();
        let health = ByHand::down(down);
        for algorithm in ALGORITHMS {
            let balancer = balancer(algorithm, &specs);
            let mut worker = WorkerState::new(seed);
            for step in 0..20_u64 {
                let seed = seed.wrapping_add(step);
                let attempt = Attempt { hash: Some(seed as u32), seed, now_ms: step, ..Attempt::default() };
                match balancer.pick(&mut worker, &health, &attempt) {
                    Ok(pick) => {
                        prop_assert!(up.contains(&pick.address.0), "{:?} picked {:?}", algorithm, pick.address);
                        if step % 3 != 0 {
                            worker.release(pick.lease, &balancer);
                        }
                    }
                    Err(_) => prop_assert!(up.is_empty(), "{:?} found nobody though {:?} are up", algorithm, up),
                }
            }
        }
    }

    #[test]
    fn round_robin_gives_every_weight_its_share(weights in prop::collection::vec(1_u32..20, 1..8), seed in any::<u64>()) {
        let specs: Vec<_> = weights.iter().enumerate().map(|(n, w)| literal(&format!("10.0.0.{n}:80"), *w)).collect();
        let balancer = balancer(Algorithm::RoundRobin, &specs);
        let total: u32 = weights.iter().sum();
        let tally = tally(&picks(&balancer, &mut WorkerState::new(seed), &AllAvailable, u64::from(total)));
        for (n, weight) in weights.iter().enumerate() {
            prop_assert_eq!(tally[&(n as u32)], *weight as usize);
        }
    }

    #[test]
    fn consistent_hashing_shares_keys_roughly_by_weight(heavy in 2_u32..5) {
        let balancer =
            balancer(Algorithm::ConsistentHashing, &[literal("10.0.0.1:80", heavy * 10), literal("10.0.0.2:80", 10)]);
        let tally = tally(&picks(&balancer, &mut WorkerState::new(0), &AllAvailable, 2_000));
        let share = tally[&0] as f64 / 2_000.0;
        let fair = f64::from(heavy) / f64::from(heavy + 1);
        prop_assert!((share - fair).abs() < 0.15, "{} instead of {}", share, fair);
    }
}
