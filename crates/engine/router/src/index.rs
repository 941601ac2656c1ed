//! The index: a tree of hosts whose leaves are trees of path prefixes whose leaves are short lists.
//!
//! For streams the first dimension is the SNI and the second the destination port.

use std::sync::Arc;

use crate::conditions::{Request, is_sni_ignored};
use crate::entry::{Entry, Hit};
use crate::keys::HostKey;
use crate::list::List;
use crate::radix::{Path, Slot, Tree};
use crate::spec::{Flavor, Subsystem};

type PathTree<T> = Tree<List<T>>;

#[derive(Clone)]
pub(crate) struct Index<T> {
    /// Exact hosts and host endings, spelled backwards so that an ending is a prefix.
    backward: Tree<HostSlot<T>>,
    /// Host beginnings.
    forward: Tree<PathTree<T>>,
    /// Routes for any host.
    any: PathTree<T>,
    /// Stream routes with SNIs: connections without TLS match them whatever the SNI.
    without_tls: List<T>,
}

#[derive(Clone)]
struct HostSlot<T> {
    exact: PathTree<T>,
    /// Rare, and therefore apart.
    ends_with: Option<Arc<PathTree<T>>>,
}

impl<T> Default for HostSlot<T> {
    fn default() -> Self {
        HostSlot { exact: Tree::default(), ends_with: None }
    }
}

impl<T: Clone> HostSlot<T> {
    fn update_ending(&mut self, path: &[u8], change: impl FnOnce(&mut List<T>)) {
        let tree = Arc::make_mut(self.ends_with.get_or_insert_default());
        tree.update(path, change);
        if tree.is_empty() {
            self.ends_with = None;
        }
    }
}

impl<T: Clone> Slot for HostSlot<T> {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.ends_with.is_none()
    }

    fn top(&self) -> u64 {
        self.exact.top().max(self.ends_with.as_ref().map_or(0, |tree| tree.top()))
    }
}

impl<T: Clone> Slot for PathTree<T> {
    fn is_empty(&self) -> bool {
        Tree::is_empty(self)
    }

    fn top(&self) -> u64 {
        Tree::top(self)
    }
}

/// The best entry so far, and what of the path it matched.
pub(crate) struct Best<'r, T> {
    entry: &'r Arc<Entry<T>>,
    /// Of the entry's rank.
    top: u64,
    pub(crate) value: &'r T,
    pub(crate) hit: Hit<'r>,
}

impl<T: Clone> Default for Index<T> {
    fn default() -> Self {
        Index {
            backward: Tree::default(),
            forward: Tree::default(),
            any: Tree::default(),
            without_tls: List::default(),
        }
    }
}

impl<T: Clone> Index<T> {
    pub(crate) fn insert(&mut self, subsystem: Subsystem, entry: &Arc<Entry<T>>) {
        self.at_each_key(entry, |list| list.insert(entry.clone()));
        if is_without_tls_too(subsystem, entry) {
            self.without_tls.insert(entry.clone());
        }
    }

    pub(crate) fn remove(&mut self, subsystem: Subsystem, entry: &Arc<Entry<T>>) {
        self.at_each_key(entry, |list| list.remove(entry));
        if is_without_tls_too(subsystem, entry) {
            self.without_tls.remove(entry);
        }
    }

    fn at_each_key(&mut self, entry: &Entry<T>, mut change: impl FnMut(&mut List<T>)) {
        for (host, path) in entry.keys.iter() {
            match host {
                HostKey::Any => self.any.update(path, &mut change),
                HostKey::Exact(name) => {
                    self.backward.update(&reversed(name), |slot| slot.exact.update(path, &mut change));
                }
                HostKey::EndsWith(name) => {
                    self.backward.update(&reversed(name), |slot| slot.update_ending(path, &mut change));
                }
                HostKey::StartsWith(name) => self.forward.update(name, |tree| tree.update(path, &mut change)),
            }
        }
    }

    /// The greatest entry that matches. `host` is the request's (or the SNI), `backward` the same reversed, `path`
    /// its key of the second dimension.
    pub(crate) fn find<'r>(
        &'r self,
        request: &Request<'_>,
        host: Option<&[u8]>,
        backward: &[u8],
        path: &[u8],
    ) -> Option<Best<'r, T>> {
        let mut search = Search { request, path, best: None };
        if let Some(host) = host {
            search.hosts_backward(&self.backward, backward);
            search.hosts_forward(&self.forward, host);
        }
        search.paths(&self.any);
        if is_sni_ignored(request.flavor, request.query.protocol) {
            search.list(&self.without_tls, self.without_tls.top(), 0);
        }
        search.best
    }
}

fn is_without_tls_too<T>(subsystem: Subsystem, entry: &Entry<T>) -> bool {
    subsystem == Subsystem::Stream
        && entry.rules.as_ref().is_none_or(|rules| rules.expression.is_none())
        && entry.keys.iter().any(|(host, _)| host != HostKey::Any)
}

pub(crate) fn reversed(name: &[u8]) -> Vec<u8> {
    name.iter().rev().copied().collect()
}

struct Search<'q, 'r, T> {
    request: &'q Request<'q>,
    path: &'q [u8],
    best: Option<Best<'r, T>>,
}

impl<'r, T: Clone> Search<'_, 'r, T> {
    /// What is below this cannot win any more.
    fn floor(&self) -> u64 {
        self.best.as_ref().map_or(0, |best| best.top)
    }

    fn hosts_backward(&mut self, hosts: &'r Tree<HostSlot<T>>, backward: &[u8]) {
        let mut slots = Path::new();
        hosts.prefixes(backward, self.floor(), &mut slots);
        // The older flavour's wildcard stands for at least one character.
        let at_most =
            if self.request.flavor == Flavor::Traditional { backward.len().saturating_sub(1) } else { backward.len() };
        for step in slots.iter().rev() {
            if step.depth == backward.len() {
                self.paths(&step.value.exact);
            }
            if let Some(tree) = step.value.ends_with.as_deref().filter(|_| step.depth <= at_most) {
                self.paths(tree);
            }
        }
    }

    fn hosts_forward(&mut self, hosts: &'r Tree<PathTree<T>>, host: &[u8]) {
        let mut trees = Path::new();
        hosts.prefixes(host, self.floor(), &mut trees);
        for step in trees.iter().rev() {
            self.paths(step.value);
        }
    }

    /// The longest prefixes first: they rank highest among equals, and then the others need not be looked at.
    fn paths(&mut self, tree: &'r PathTree<T>) {
        let mut lists = Path::new();
        tree.prefixes(self.path, self.floor(), &mut lists);
        for step in lists.iter().rev() {
            if step.top >= self.floor() {
                self.list(step.value, step.top, step.depth);
            }
        }
    }

    /// `top` is that of the list.
    fn list(&mut self, list: &'r List<T>, top: u64, depth: usize) {
        if let List::Plain(value, entry) = list {
            // Only equal tops make it worth while to look at the ranks.
            let wins = self.best.as_ref().is_none_or(|best| top > best.top || entry.rank > best.entry.rank);
            if wins {
                self.best = Some(Best { entry, top, value, hit: Hit::of_key(depth) });
            }
            return;
        }
        for entry in list.iter() {
            if self.best.as_ref().is_some_and(|best| entry.rank <= best.entry.rank) {
                return;
            }
            if let Some(hit) = entry.matches(self.request, depth) {
                self.best = Some(Best { entry, top: entry.rank.top(), value: &entry.value, hit });
                return;
            }
        }
    }
}
