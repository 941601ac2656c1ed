//! A heap of addresses by load, `(connections + 1) / weight`, whose lightest are found without sorting.

use smallvec::SmallVec;

use crate::AddressIndex;

const ABSENT: u32 = u32::MAX;

/// Min-heap over the addresses of one tier, with the place of each address known so that its load can change.
///
/// Changing a load only moves an address past *strictly* heavier or lighter ones: an address that was used and
/// released stays behind its equals, so idle addresses take turns.
#[derive(Debug, Default)]
pub(crate) struct LoadHeap {
    nodes: Vec<(f64, AddressIndex)>,
    /// Node of each address, by address index; `ABSENT` for other tiers.
    place: Vec<u32>,
}

impl LoadHeap {
    pub fn rebuild(&mut self, count: usize, loads: impl Iterator<Item = (AddressIndex, f64)>) {
        self.nodes.clear();
        self.place.clear();
        self.place.resize(count, ABSENT);
        for (address, load) in loads {
            let node = self.nodes.len();
            self.nodes.push((load, address));
            self.note(node);
            self.rise(node);
        }
    }

    /// Gives an address its new load; an address of another tier is none of ours.
    pub fn set(&mut self, address: AddressIndex, load: f64) {
        let Some(node) = self.place.get(address.slot()).filter(|node| **node != ABSENT).map(|node| *node as usize)
        else {
            return;
        };
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.0 = load;
        }
        let node = self.rise(node);
        self.sink(node);
    }

    /// Addresses from the lightest to the heaviest. Costs little if the caller stops early.
    pub fn lightest_first(&self) -> LightestFirst<'_> {
        let mut frontier = SmallVec::new();
        if !self.nodes.is_empty() {
            frontier.push(0);
        }
        LightestFirst { heap: self, frontier }
    }

    fn load(&self, node: usize) -> f64 {
        self.nodes.get(node).map_or(f64::INFINITY, |(load, _)| *load)
    }

    fn note(&mut self, node: usize) {
        if let Some((_, address)) = self.nodes.get(node)
            && let Some(place) = self.place.get_mut(address.slot())
        {
            *place = node as u32;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.nodes.swap(a, b);
        self.note(a);
        self.note(b);
    }

    fn rise(&mut self, mut node: usize) -> usize {
        while node > 0 {
            let parent = (node - 1) / 2;
            if self.load(node) >= self.load(parent) {
                break;
            }
            self.swap(node, parent);
            node = parent;
        }
        node
    }

    fn sink(&mut self, mut node: usize) {
        loop {
            let (left, right) = (2 * node + 1, 2 * node + 2);
            let child = if self.load(right) < self.load(left) { right } else { left };
            if self.load(child) >= self.load(node) {
                break;
            }
            self.swap(node, child);
            node = child;
        }
    }
}

/// See [`LoadHeap::lightest_first`].
pub(crate) struct LightestFirst<'a> {
    heap: &'a LoadHeap,
    /// Nodes whose parents were all yielded; the lightest of them is next.
    frontier: SmallVec<[usize; 8]>,
}

impl Iterator for LightestFirst<'_> {
    type Item = AddressIndex;

    fn next(&mut self) -> Option<AddressIndex> {
        let position = (0..self.frontier.len()).min_by(|a, b| {
            let load = |position: &usize| self.frontier.get(*position).map_or(f64::INFINITY, |n| self.heap.load(*n));
            load(a).total_cmp(&load(b))
        })?;
        let node = self.frontier.swap_remove(position);
        let children = [2 * node + 1, 2 * node + 2];
        self.frontier.extend(children.into_iter().filter(|child| *child < self.heap.nodes.len()));
        self.heap.nodes.get(node).map(|(_, address)| *address)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_by_load_after_any_changes(
            loads in prop::collection::vec(0_u32..50, 1..40),
            changes in prop::collection::vec((0_usize..40, 0_u32..50), 0..60),
        ) {
            let mut loads = loads;
            let mut heap = LoadHeap::default();
            let initial = loads.clone();
            heap.rebuild(
                initial.len(),
                initial.iter().enumerate().map(|(n, load)| (AddressIndex(n as u32), f64::from(*load))),
            );
            for (address, load) in changes {
                let address = address % loads.len();
                loads[address] = load;
                heap.set(AddressIndex(address as u32), f64::from(load));
            }
            let order: Vec<_> = heap.lightest_first().map(|address| loads[address.slot()]).collect();
            let mut sorted = loads.clone();
            sorted.sort_unstable();
            prop_assert_eq!(order, sorted);
        }
    }
}
