//! Which cached values no longer hold, for the caches of all workers. A value remembers the number that the count stood at
//! when it began to be made; it holds unless its key was invalidated after that. What is remembered of keys is bounded:
//! when there are too many, everything that is older counts as invalidated.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keys remembered at once.
const MOST: usize = 100_000;

#[derive(Default)]
struct Inner {
    count: u64,
    /// What is older holds no more, whatever its key.
    floor: u64,
    at: HashMap<Box<[u8]>, u64>,
}

/// The invalidations of a node.
#[derive(Default)]
pub struct Invalidations(Mutex<Inner>);

impl Invalidations {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number for a value that begins to be made now.
    pub fn count(&self) -> u64 {
        self.lock().count
    }

    pub fn invalidate(&self, key: &[u8]) {
        let mut inner = self.lock();
        inner.count += 1;
        let count = inner.count;
        if inner.at.len() >= MOST {
            inner.at.clear();
            inner.floor = count;
        }
        inner.at.insert(key.into(), count);
    }

    /// Whether a value that was begun at that number still holds.
    pub fn holds(&self, key: &[u8], begun: u64) -> bool {
        let inner = self.lock();
        begun >= inner.floor && inner.at.get(key).is_none_or(|at| begun >= *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_holds_until_its_key_is_invalidated() {
        let node = Invalidations::default();
        let begun = node.count();
        node.invalidate(b"other");
        assert!(node.holds(b"key", begun));
        node.invalidate(b"key");
        assert!(!node.holds(b"key", begun));
        assert!(node.holds(b"key", node.count()));
    }

    #[test]
    fn what_is_forgotten_does_not_come_back_to_life() {
        let node = Invalidations::default();
        let begun = node.count();
        node.invalidate(b"key");
        for number in 0..MOST {
            node.invalidate(&number.to_be_bytes());
        }
        assert!(!node.holds(b"key", begun));
    }
}
