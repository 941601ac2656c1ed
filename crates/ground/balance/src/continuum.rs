//! The consistent-hashing ring: the same names, points and walk as Kong's, so that a fleet can change gateways
//! without moving its keys.

use crate::hash::{continuum_index, value_hash};
use crate::{Address, AddressIndex, Target};

/// Rings are never smaller than this, whatever `slots` says.
const MIN_POINTS: u32 = 1_000;
/// Points an address gets when all weights are equal.
const POINTS_PER_TARGET: f64 = 160.0;

/// A ring of points, each owned by an address or by nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuum {
    points: u32,
    /// Owned points, ascending. A ring is mostly empty, so this is smaller than the ring and searched by halving.
    owned: Box<[(u32, AddressIndex)]>,
    overfull: bool,
}

impl Continuum {
    /// Builds the ring over `members`, which index `addresses`.
    ///
    /// `target_count` counts targets of the tier including those without addresses. The order in which targets
    /// and addresses were listed does not matter: they are sorted by name first, so that nodes agree on collisions.
    pub fn new(
        slots: u32,
        members: &[AddressIndex],
        addresses: &[Address],
        targets: &[Target],
        target_count: usize,
    ) -> Self {
        let points = if slots >= MIN_POINTS { slots } else { MIN_POINTS };
        let mut sorted: Vec<(AddressIndex, &Address)> =
            members.iter().filter_map(|index| addresses.get(index.slot()).map(|address| (*index, address))).collect();
        sorted.sort_by_cached_key(|(_, address)| sort_key(address, targets));
        let total: f64 = sorted.iter().map(|(_, address)| f64::from(address.weight)).sum();

        let mut owners: Vec<Option<AddressIndex>> = vec![None; points as usize];
        let mut overfull = false;
        for (index, address) in &sorted {
            // The order of operations is part of the contract: another one rounds differently.
            let wanted = (f64::from(address.weight) / total * target_count as f64 * POINTS_PER_TARGET).floor();
            let wanted = if address.weight > 0 { (wanted as u32).max(1) } else { 0 };
            overfull |= !claim(&mut owners, points, *index, address, wanted);
        }
        let owned =
            owners.iter().enumerate().filter_map(|(point, owner)| owner.map(|owner| (point as u32, owner))).collect();
        Self { points, owned, overfull }
    }

    /// Number of points of the ring, owned or not.
    pub fn points(&self) -> u32 {
        self.points
    }

    /// Whether some address found fewer free points than its weight is worth: raise the upstream's `slots`.
    pub fn is_overfull(&self) -> bool {
        self.overfull
    }

    /// Owner of the point itself, or `None` if nobody owns it.
    pub fn owner(&self, point: u32) -> Option<AddressIndex> {
        let position = self.owned.binary_search_by_key(&point, |(point, _)| *point).ok()?;
        self.owned.get(position).map(|(_, owner)| *owner)
    }

    /// Owners met when walking down from where `hash` lands, once around the ring.
    pub fn walk(&self, hash: u32) -> impl Iterator<Item = AddressIndex> + '_ {
        let from = continuum_index(hash, self.points);
        let start = self.owned.partition_point(|(point, _)| *point <= from);
        let (below, above) = self.owned.split_at_checked(start).unwrap_or((&self.owned, &[]));
        below.iter().rev().chain(above.iter().rev()).map(|(_, owner)| *owner)
    }
}

/// Claims points for one address; a collision costs one more name. False if the ring ran out.
fn claim(
    owners: &mut [Option<AddressIndex>],
    points: u32,
    index: AddressIndex,
    address: &Address,
    mut wanted: u32,
) -> bool {
    use std::fmt::Write;

    let mut name = String::with_capacity(address.name.len() + 16);
    let mut number = 1;
    while number <= wanted {
        name.clear();
        // Writing to a String cannot fail. The doubled colon is part of the contract.
        let _ = write!(name, "{}::{} {number}", address.name, address.port);
        let point = continuum_index(value_hash(name.as_bytes()), points);
        match owners.get_mut(point as usize) {
            Some(owner @ None) => *owner = Some(index),
            _ => wanted += 1,
        }
        number += 1;
        if number > points {
            return false;
        }
    }
    true
}

fn sort_key(address: &Address, targets: &[Target]) -> (String, u16, String) {
    let target = targets.get(address.target);
    (
        target.map(|target| target.host.to_string()).unwrap_or_default(),
        target.map_or(0, |target| target.port),
        format!("{}:{}", address.name, address.port),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::balancer::tests_support::{addresses_of, literal};

    fn ring(slots: u32, list: &[(&str, u32)]) -> (Continuum, Vec<Address>) {
        let (targets, addresses) = addresses_of(&list.iter().map(|(t, w)| literal(t, *w)).collect::<Vec<_>>());
        let members: Vec<_> = (0..addresses.len()).map(AddressIndex::from_position).collect();
        (Continuum::new(slots, &members, &addresses, &targets, targets.len()), addresses)
    }

    #[test]
    fn an_address_owns_the_points_its_numbered_names_hash_to() {
        let (ring, _) = ring(10_000, &[("10.0.0.1:8000", 100)]);
        // xxHash32 of "10.0.0.1::8000 1" is 1540342486, of "... 2" -1150874097.
        assert_eq!(ring.owner(2_486), Some(AddressIndex(0)));
        assert_eq!(ring.owner(5_903), Some(AddressIndex(0)));
    }

    #[test]
    fn equal_weights_give_160_points_each_and_weight_zero_none() {
        let (ring, _) = ring(10_000, &[("10.0.0.1:80", 50), ("10.0.0.2:80", 50), ("10.0.0.3:80", 0)]);
        // Three targets share 480 points by weight; the one without weight gets none of them.
        let mut count = HashMap::new();
        (0..10_000).filter_map(|p| ring.owner(p)).for_each(|o| *count.entry(o.0).or_insert(0) += 1);
        assert_eq!(count, HashMap::from([(0, 240), (1, 240)]));
    }

    #[test]
    fn a_tiny_weight_still_gets_one_point() {
        let (ring, _) = ring(10_000, &[("10.0.0.1:80", 65_535), ("10.0.0.2:80", 1)]);
        assert_eq!((0..10_000).filter(|p| ring.owner(*p) == Some(AddressIndex(1))).count(), 1);
    }

    #[test]
    fn slots_below_a_thousand_become_a_thousand() {
        assert_eq!(ring(10, &[("10.0.0.1:80", 1)]).0.points(), 1_000);
        assert_eq!(ring(1_000, &[("10.0.0.1:80", 1)]).0.points(), 1_000);
        assert_eq!(ring(2_000, &[("10.0.0.1:80", 1)]).0.points(), 2_000);
    }

    #[test]
    fn a_ring_too_small_for_its_targets_says_so_and_still_works() {
        let many: Vec<String> = (0..20).map(|n| format!("10.0.0.{n}:80")).collect();
        let list: Vec<(&str, u32)> = many.iter().map(|t| (t.as_str(), 100)).collect();
        let (ring, _) = ring(1_000, &list);
        assert!(ring.is_overfull());
        assert!(ring.walk(12_345).next().is_some());
    }

    #[test]
    fn the_walk_goes_down_and_around_and_meets_every_point_once() {
        let (ring, _) = ring(1_000, &[("10.0.0.1:80", 1), ("10.0.0.2:80", 1)]);
        let owned: Vec<u32> = (0..1_000).filter(|p| ring.owner(*p).is_some()).collect();
        let hash = owned[3];
        assert_eq!(ring.walk(hash).next(), ring.owner(hash));
        assert_eq!(ring.walk(hash).count(), owned.len());
        // Just below the lowest owned point, the walk wraps to the highest.
        let below = owned[0].checked_sub(1);
        if let Some(below) = below {
            assert_eq!(ring.walk(below).next(), ring.owner(*owned.last().unwrap()));
        }
    }

    proptest! {
        #[test]
        fn nodes_agree_whatever_order_the_targets_come_in(
            weights in prop::collection::vec(1_u32..300, 2..8),
            hash in any::<u32>(),
            rotate in 0_usize..8,
        ) {
            let named: Vec<(String, u32)> =
                weights.iter().enumerate().map(|(n, w)| (format!("10.0.0.{n}:8{n:03}"), *w)).collect();
            let mut turned = named.clone();
            turned.rotate_left(rotate % named.len());
            let by_name = |list: &[(String, u32)]| {
                let list: Vec<_> = list.iter().map(|(t, w)| (t.as_str(), *w)).collect();
                let (ring, addresses) = ring(10_000, &list);
                ring.walk(hash).map(|o| addresses[o.slot()].socket()).collect::<Vec<_>>()
            };
            prop_assert_eq!(by_name(&named), by_name(&turned));
        }

        #[test]
        fn removing_a_target_moves_mostly_its_own_keys(gone in 0_usize..6, seed in any::<u32>()) {
            let named: Vec<String> = (0..6).map(|n| format!("10.1.0.{n}:80")).collect();
            let all: Vec<_> = named.iter().map(|t| (t.as_str(), 100)).collect();
            let rest: Vec<_> =
                all.iter().enumerate().filter(|(n, _)| *n != gone).map(|(_, entry)| *entry).collect();
            let (before, before_addresses) = ring(10_000, &all);
            let (after, after_addresses) = ring(10_000, &rest);
            let mut moved = 0;
            for n in 0..500_u32 {
                let hash = value_hash(&(seed.wrapping_add(n)).to_le_bytes());
                let old = before_addresses[before.walk(hash).next().unwrap().slot()].socket();
                let new = after_addresses[after.walk(hash).next().unwrap().slot()].socket();
                if old != new && old != before_addresses[gone].socket() {
                    moved += 1;
                }
            }
            // Only collisions on the ring can move a key of a target that stayed.
            prop_assert!(moved <= 50, "{moved} of 500 keys moved between targets that stayed");
        }
    }
}
