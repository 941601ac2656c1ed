//! A persistent burst trie over byte strings: a copy costs a few pointers, a change copies only the nodes on its way.
//! Built alone (not yet shared), it is changed in place.
//!
//! It is laid out for few jumps in memory, as with many routes the time of a look-up is that of its cache misses: few
//! keys below a node lie side by side in one array, only many are split up into nodes by their first byte, and
//! two bytes of each key, kept in the node, tell which place of the array to look at. Every node knows the greatest
//! rank below it, so that a look-up which has already found something better can leave whole subtrees out.

use std::sync::Arc;

use smallvec::SmallVec;

/// What a node may hold.
pub(crate) trait Slot: Clone + Default {
    fn is_empty(&self) -> bool;
    /// The greatest [`Rank::top`](crate::rank::Rank::top) in it; 0 if empty.
    fn top(&self) -> u64;
}

/// Part of a key, short enough in most cases to lie where it is needed.
type Piece = SmallVec<[u8; 24]>;

/// Most keys that lie side by side below a node.
const MOST_ITEMS: usize = 32;

#[derive(Clone)]
pub(crate) struct Tree<V>(Node<V>);

#[derive(Clone)]
struct Node<V> {
    /// The bytes between the parent's place and this one's.
    label: Piece,
    value: V,
    /// Greatest top of the value.
    own_top: u64,
    /// Greatest top of the value and all below.
    top: u64,
    /// The [`head`] of everything below, in the same order.
    heads: SmallVec<[u16; MOST_ITEMS]>,
    below: Below<V>,
}

#[derive(Clone)]
enum Below<V> {
    Nothing,
    /// Sorted by their suffixes.
    Items(Arc<[Item<V>]>),
    /// Sorted by the first byte of their labels, which is different for each.
    Nodes(Arc<[Node<V>]>),
}

/// A key that ends below a node without further structure.
#[derive(Clone, Default)]
struct Item<V> {
    /// Not empty.
    suffix: Piece,
    value: V,
    top: u64,
}

/// What was found on the way down: values whose keys are prefixes of the one looked for, shortest first.
pub(crate) type Path<'t, V> = SmallVec<[Step<'t, V>; 8]>;

pub(crate) struct Step<'t, V> {
    pub(crate) value: &'t V,
    /// Greatest top in the value.
    pub(crate) top: u64,
    /// Length of its key.
    pub(crate) depth: usize,
}

/// The first two bytes; 0 stands for a missing one.
fn head(key: &[u8]) -> u16 {
    u16::from_be_bytes([key.first().copied().unwrap_or(0), key.get(1).copied().unwrap_or(0)])
}

/// The first byte alone, as heads of nodes have it.
fn first_only(head: u16) -> u16 {
    head & 0xff00
}

impl<V: Default> Default for Tree<V> {
    fn default() -> Self {
        Tree(Node::default())
    }
}

impl<V: Slot> Tree<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_dead()
    }

    /// Greatest top in the whole tree; 0 if empty.
    pub(crate) fn top(&self) -> u64 {
        self.0.top
    }

    /// Changes the value at `key`, which starts out as the default.
    pub(crate) fn update(&mut self, key: &[u8], change: impl FnOnce(&mut V)) {
        if self.is_empty() {
            self.0.label = Piece::from_slice(key);
        }
        self.0.update(key, change);
        if self.is_empty() {
            *self = Tree::default();
        }
    }

    /// Collects the values at all prefixes of `key` that may hold something of `floor` or more.
    pub(crate) fn prefixes<'t>(&'t self, key: &[u8], floor: u64, path: &mut Path<'t, V>) {
        let mut node = &self.0;
        let mut rest = key;
        loop {
            if node.top < floor {
                return;
            }
            let Some(tail) = rest.strip_prefix(node.label.as_slice()) else { return };
            rest = tail;
            if node.own_top >= floor && !node.value.is_empty() {
                path.push(Step { value: &node.value, top: node.own_top, depth: key.len() - rest.len() });
            }
            match &node.below {
                Below::Nodes(nodes) if !rest.is_empty() => {
                    let first = first_only(head(rest));
                    let next = node.heads.iter().position(|&head| head == first).and_then(|index| nodes.get(index));
                    let Some(next) = next else { return };
                    node = next;
                }
                Below::Items(items) if !rest.is_empty() => {
                    let depth = key.len() - rest.len();
                    return node.collect_items(items, rest, depth, floor, path);
                }
                _ => return,
            }
        }
    }
}

impl<V: Default> Default for Node<V> {
    fn default() -> Self {
        Node {
            label: Piece::new(),
            value: V::default(),
            own_top: 0,
            top: 0,
            heads: SmallVec::new(),
            below: Below::Nothing,
        }
    }
}

impl<V: Slot> Node<V> {
    fn collect_items<'t>(&self, items: &'t [Item<V>], rest: &[u8], depth: usize, floor: u64, path: &mut Path<'t, V>) {
        let full = head(rest);
        let first = first_only(full);
        for (index, &own) in self.heads.iter().enumerate() {
            if own != full && own != first {
                continue;
            }
            if let Some(item) = items.get(index)
                && item.top >= floor
                && rest.starts_with(&item.suffix)
            {
                path.push(Step { value: &item.value, top: item.top, depth: depth + item.suffix.len() });
            }
        }
    }

    fn is_dead(&self) -> bool {
        self.value.is_empty() && matches!(self.below, Below::Nothing)
    }

    /// Recursion is as deep as the tree, which keys of bounded length bound.
    fn update(&mut self, key: &[u8], change: impl FnOnce(&mut V)) {
        let common = self.label.iter().zip(key).take_while(|(a, b)| a == b).count();
        if common < self.label.len() {
            self.split(common);
        }
        let rest = key.get(common..).unwrap_or_default();
        if rest.is_empty() {
            change(&mut self.value);
            self.own_top = self.value.top();
        } else {
            match std::mem::replace(&mut self.below, Below::Nothing) {
                Below::Nothing => self.update_items(Vec::new(), rest, change),
                Below::Items(items) => self.update_items(unshared(items), rest, change),
                Below::Nodes(nodes) => self.update_nodes(nodes, rest, change),
            }
        }
        self.join_only_one_below();
        self.top = self.own_top.max(match &self.below {
            Below::Nothing => 0,
            Below::Items(items) => items.iter().map(|item| item.top).max().unwrap_or(0),
            Below::Nodes(nodes) => nodes.iter().map(|node| node.top).max().unwrap_or(0),
        });
    }

    fn update_items(&mut self, mut items: Vec<Item<V>>, suffix: &[u8], change: impl FnOnce(&mut V)) {
        let index = items.binary_search_by(|item| item.suffix.as_slice().cmp(suffix)).unwrap_or_else(|index| {
            items.insert(index, Item { suffix: Piece::from_slice(suffix), ..Item::default() });
            index
        });
        if let Some(item) = items.get_mut(index) {
            change(&mut item.value);
            item.top = item.value.top();
            if item.value.is_empty() {
                items.remove(index);
            }
        }
        if items.len() <= MOST_ITEMS { self.set_items(items) } else { self.burst(items) }
    }

    fn update_nodes(&mut self, mut nodes: Arc<[Node<V>]>, key: &[u8], change: impl FnOnce(&mut V)) {
        match self.heads.binary_search(&first_only(head(key))) {
            Ok(index) => {
                let child = Arc::make_mut(&mut nodes).get_mut(index);
                let is_dead = child.is_some_and(|child| {
                    child.update(key, change);
                    child.is_dead()
                });
                if is_dead {
                    let mut nodes = unshared(nodes);
                    nodes.remove(index);
                    self.set_nodes(nodes);
                } else {
                    self.below = Below::Nodes(nodes);
                }
            }
            Err(index) => {
                let mut child = Node { label: Piece::from_slice(key), ..Node::default() };
                child.update(key, change);
                let mut nodes = unshared(nodes);
                if !child.is_dead() {
                    nodes.insert(index, child);
                }
                self.set_nodes(nodes);
            }
        }
    }

    fn set_items(&mut self, items: Vec<Item<V>>) {
        self.heads = items.iter().map(|item| head(&item.suffix)).collect();
        self.below = if items.is_empty() { Below::Nothing } else { Below::Items(items.into()) };
    }

    fn set_nodes(&mut self, nodes: Vec<Node<V>>) {
        self.heads = nodes.iter().map(|node| first_only(head(&node.label))).collect();
        self.below = if nodes.is_empty() { Below::Nothing } else { Below::Nodes(nodes.into()) };
    }

    /// Splits sorted items up into a node for each first byte.
    fn burst(&mut self, items: Vec<Item<V>>) {
        let mut nodes: Vec<Node<V>> = Vec::new();
        let mut group: Vec<Item<V>> = Vec::new();
        for item in items {
            if group.last().is_some_and(|last| last.suffix.first() != item.suffix.first()) {
                nodes.push(Node::of_items(std::mem::take(&mut group)));
            }
            group.push(item);
        }
        nodes.push(Node::of_items(group));
        self.set_nodes(nodes);
    }

    /// A node for items that share at least a first byte; they are sorted and not empty.
    fn of_items(mut items: Vec<Item<V>>) -> Node<V> {
        let (first, last) = (items.first(), items.last());
        let (first, last) = (first.map(|item| &*item.suffix), last.map(|item| &*item.suffix));
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        // Of sorted texts the first and the last have the least in common.
        let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let mut node = Node { label: Piece::from_slice(first.get(..common).unwrap_or_default()), ..Node::default() };
        node.top = items.iter().map(|item| item.top).max().unwrap_or(0);
        if items.first().is_some_and(|item| item.suffix.len() == common) {
            let own = items.remove(0);
            (node.value, node.own_top) = (own.value, own.top);
        }
        for item in &mut items {
            item.suffix = Piece::from_slice(item.suffix.get(common..).unwrap_or_default());
        }
        node.set_items(items);
        node
    }

    /// Keeps the first `at` bytes of the label and moves the rest with all contents below.
    fn split(&mut self, at: usize) {
        let mut lower = std::mem::take(self);
        self.label = Piece::from_slice(lower.label.get(..at).unwrap_or_default());
        self.top = lower.top;
        let rest = Piece::from_slice(lower.label.get(at..).unwrap_or_default());
        match lower.below {
            Below::Nothing => {
                self.set_items(vec![Item { suffix: rest, value: lower.value, top: lower.own_top }]);
            }
            Below::Items(items) if items.len() < MOST_ITEMS => {
                let mut items = unshared(items);
                for item in &mut items {
                    item.suffix = joined(&rest, &item.suffix);
                }
                if !lower.value.is_empty() {
                    items.insert(0, Item { suffix: rest, value: lower.value, top: lower.own_top });
                }
                self.set_items(items);
            }
            below => {
                lower = Node { label: rest, below, ..lower };
                self.set_nodes(vec![lower]);
            }
        }
    }

    /// A node that holds nothing itself and has one key or node below is needless.
    fn join_only_one_below(&mut self) {
        if !self.value.is_empty() || self.heads.len() != 1 {
            return;
        }
        match std::mem::replace(&mut self.below, Below::Nothing) {
            Below::Nothing => {}
            Below::Items(items) => {
                if let Some(item) = unshared(items).pop() {
                    self.label = joined(&self.label, &item.suffix);
                    (self.value, self.own_top) = (item.value, item.top);
                    self.heads.clear();
                }
            }
            Below::Nodes(nodes) => {
                if let Some(node) = unshared(nodes).pop() {
                    *self = Node { label: joined(&self.label, &node.label), ..node };
                }
            }
        }
    }
}

fn joined(one: &[u8], other: &[u8]) -> Piece {
    one.iter().chain(other).copied().collect()
}

/// The elements as a vector of their own, copied if they are shared.
fn unshared<A: Clone + Default>(mut array: Arc<[A]>) -> Vec<A> {
    Arc::make_mut(&mut array).iter_mut().map(std::mem::take).collect()
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    impl Slot for Vec<u64> {
        fn is_empty(&self) -> bool {
            Vec::is_empty(self)
        }

        fn top(&self) -> u64 {
            self.iter().copied().max().unwrap_or(0)
        }
    }

    fn found(tree: &Tree<Vec<u64>>, key: &str, floor: u64) -> Vec<(Vec<u64>, usize)> {
        let mut path = Path::new();
        tree.prefixes(key.as_bytes(), floor, &mut path);
        path.iter().map(|step| (step.value.clone(), step.depth)).collect()
    }

    fn tree(keys: &[(&str, u64)]) -> Tree<Vec<u64>> {
        let mut tree = Tree::default();
        keys.iter().for_each(|(key, value)| tree.update(key.as_bytes(), |values: &mut Vec<u64>| values.push(*value)));
        tree
    }

    #[test]
    fn all_prefixes_are_found_shortest_first() {
        let tree = tree(&[("/a/b", 3), ("/", 1), ("/a", 2), ("", 7), ("/ab", 4), ("/c", 5)]);
        assert_eq!(found(&tree, "/a/b/c", 0), [(vec![7], 0), (vec![1], 1), (vec![2], 2), (vec![3], 4)]);
        assert_eq!(found(&tree, "x", 0), [(vec![7], 0)]);
        assert_eq!(found(&tree, "/a/b/c", 3), [(vec![7], 0), (vec![3], 4)]);
        assert_eq!(found(&tree, "/a/b/c", 8), []);
    }

    #[test]
    fn a_change_leaves_copies_alone_and_empty_nodes_vanish() {
        let first = tree(&[("/a/b", 3), ("/a/c", 4)]);
        let mut second = first.clone();
        second.update(b"/a/b", Vec::clear);
        assert_eq!(found(&first, "/a/b", 0), [(vec![3], 4)]);
        assert_eq!((found(&second, "/a/b", 0), second.top()), (vec![], 4));
        second.update(b"/a/c", Vec::clear);
        assert!(second.is_empty() && !first.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn a_tree_is_a_map_looked_up_by_prefixes(
            steps in proptest::collection::vec(("[ab\\x00]{0,1}[a-f\\x00]{0,3}[a-z]{0,2}", 0u64..9), 0..200),
            probes in proptest::collection::vec("[ab\\x00]{0,1}[a-f\\x00]{0,3}[a-z]{0,3}", 1..20),
        ) {
            let (mut tree, mut map) = (Tree::default(), std::collections::BTreeMap::new());
            let mut copies = Vec::new();
            for (key, value) in steps {
                // Zero removes.
                let new = if value == 0 { Vec::new() } else { vec![value] };
                tree.update(key.as_bytes(), |values: &mut Vec<u64>| values.clone_from(&new));
                if value == 0 { map.remove(&key) } else { map.insert(key, new) };
                copies.push((tree.clone(), map.clone()));
            }
            for (tree, map) in copies {
                proptest::prop_assert_eq!(tree.is_empty(), map.is_empty());
                proptest::prop_assert_eq!(tree.top(), map.values().map(|v| v[0]).max().unwrap_or(0));
                for probe in &probes {
                    let expected: Vec<(Vec<u64>, usize)> = map
                        .iter()
                        .filter(|(key, values)| probe.starts_with(key.as_str()) && values[0] >= 4)
                        .map(|(key, values)| (values.clone(), key.len()))
                        .collect();
                    proptest::prop_assert_eq!(found(&tree, probe, 4), expected);
                }
            }
        }
    }
}
