//! A persistent radix tree over byte strings: a copy costs one pointer, a change copies only the nodes on its
//! way. Built alone (not yet shared), it is changed in place.
//!
//! Every node knows the greatest rank below it, so that a look-up which has already found something better
//! can leave whole subtrees out.

use std::sync::Arc;

use smallvec::SmallVec;

/// What a node may hold.
pub(crate) trait Slot: Clone + Default {
    fn is_empty(&self) -> bool;
    /// The greatest [`Rank::top`](crate::rank::Rank::top) in it; 0 if empty.
    fn top(&self) -> u64;
}

#[derive(Clone)]
pub(crate) struct Node<V> {
    /// The bytes between the parent's place and this one's.
    label: SmallVec<[u8; 16]>,
    /// Greatest top of this node and all below.
    top: u64,
    own_top: u64,
    value: V,
    /// First byte of each child's label, sorted; `children` in the same order.
    firsts: SmallVec<[u8; 16]>,
    children: Vec<Arc<Node<V>>>,
}

/// A tree; empty ones take no memory.
#[derive(Clone)]
pub(crate) struct Tree<V>(Option<Arc<Node<V>>>);

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Tree(None)
    }
}

/// What was found on the way down: values whose keys are prefixes of the one looked for, shortest first.
pub(crate) type Path<'t, V> = SmallVec<[Step<'t, V>; 12]>;

pub(crate) struct Step<'t, V> {
    pub(crate) value: &'t V,
    /// Greatest top in the value.
    pub(crate) top: u64,
    /// Length of its key.
    pub(crate) depth: usize,
}

impl<V: Slot> Tree<V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Greatest top in the whole tree; 0 if empty.
    pub(crate) fn top(&self) -> u64 {
        self.0.as_ref().map_or(0, |root| root.top)
    }

    /// Changes the value at `key`, which starts out as the default.
    pub(crate) fn update(&mut self, key: &[u8], change: impl FnOnce(&mut V)) {
        let root = self.0.get_or_insert_with(|| Arc::new(Node::new(key)));
        Node::update(root, key, change);
        if root.is_dead() {
            self.0 = None;
        }
    }

    /// Collects the values at all prefixes of `key` that may hold something of `floor` or more.
    pub(crate) fn prefixes<'t>(&'t self, key: &[u8], floor: u64, path: &mut Path<'t, V>) {
        let mut next = self.0.as_deref();
        let mut depth = 0;
        while let Some(node) = next {
            let rest = key.get(depth..).unwrap_or_default();
            if node.top < floor || !rest.starts_with(&node.label) {
                return;
            }
            depth += node.label.len();
            if node.own_top >= floor && !node.value.is_empty() {
                path.push(Step { value: &node.value, top: node.own_top, depth });
            }
            next = key.get(depth).and_then(|first| node.child(*first));
        }
    }
}

impl<V: Slot> Node<V> {
    fn new(label: &[u8]) -> Node<V> {
        Node {
            label: SmallVec::from_slice(label),
            top: 0,
            own_top: 0,
            value: V::default(),
            firsts: SmallVec::new(),
            children: Vec::new(),
        }
    }

    fn child(&self, first: u8) -> Option<&Node<V>> {
        let index = self.firsts.iter().position(|&b| b == first)?;
        self.children.get(index).map(|child| &**child)
    }

    fn is_dead(&self) -> bool {
        self.value.is_empty() && self.children.is_empty()
    }

    /// Recursion is as deep as the tree, which keys of bounded length bound.
    fn update(node: &mut Arc<Node<V>>, key: &[u8], change: impl FnOnce(&mut V)) {
        let node = Arc::make_mut(node);
        let common = node.label.iter().zip(key).take_while(|(a, b)| a == b).count();
        if common < node.label.len() {
            node.split(common);
        }
        let rest = key.get(common..).unwrap_or_default();
        match rest.first() {
            None => {
                change(&mut node.value);
                node.own_top = node.value.top();
            }
            Some(first) => match node.firsts.binary_search(first) {
                Ok(index) => {
                    if let Some(child) = node.children.get_mut(index) {
                        Node::update(child, rest, change);
                        if child.is_dead() {
                            node.children.remove(index);
                            node.firsts.remove(index);
                        }
                    }
                }
                Err(index) => {
                    let mut child = Node::new(rest);
                    change(&mut child.value);
                    child.own_top = child.value.top();
                    child.top = child.own_top;
                    if !child.is_dead() {
                        node.firsts.insert(index, *first);
                        node.children.insert(index, Arc::new(child));
                    }
                }
            },
        }
        node.join_only_child();
        node.top = node.children.iter().map(|child| child.top).fold(node.own_top, u64::max);
    }

    /// Keeps the first `at` bytes of the label and hands the rest with all contents to a new child.
    fn split(&mut self, at: usize) {
        let mut upper = Node::new(self.label.get(..at).unwrap_or_default());
        std::mem::swap(self, &mut upper);
        let mut lower = upper;
        lower.label.drain(..at);
        self.top = lower.top;
        self.firsts.extend(lower.label.first().copied());
        self.children.push(Arc::new(lower));
    }

    /// A node that holds nothing and has one child is needless.
    fn join_only_child(&mut self) {
        if !self.value.is_empty() || self.children.len() != 1 {
            return;
        }
        if let Some(child) = self.children.pop() {
            let child = Arc::unwrap_or_clone(child);
            let mut label = std::mem::take(&mut self.label);
            label.extend_from_slice(&child.label);
            *self = Node { label, ..child };
        }
    }
}
