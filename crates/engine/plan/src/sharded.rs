//! A persistent hash table: a change copies one small shard and two short spines, a reader holds a
//! version for as long as it likes. Made for the large flat sets (consumers, credentials), where a
//! copy of the whole would cost in proportion to the configuration.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::HashTable;

/// Bits of the hash that choose a shard: 64 x 64 shards, 250 entries each at a million.
const SPINE_BITS: u32 = 6;
const SPINE: usize = 1 << SPINE_BITS;
const SEED: u64 = 0x6769_6262_6f6e;

type Shard<V> = Arc<HashTable<V>>;

/// A set of values, looked up by a hash and a test of equality.
#[derive(Debug)]
pub struct Sharded<V> {
    spine: Arc<Vec<Arc<Vec<Shard<V>>>>>,
    len: usize,
}

impl<V> Clone for Sharded<V> {
    fn clone(&self) -> Self {
        Sharded { spine: Arc::clone(&self.spine), len: self.len }
    }
}

impl<V: Clone> Default for Sharded<V> {
    fn default() -> Self {
        let shard: Shard<V> = Arc::new(HashTable::new());
        let row = Arc::new(vec![shard; SPINE]);
        Sharded { spine: Arc::new(vec![row; SPINE]), len: 0 }
    }
}

/// The hash of a key for use with a [`Sharded`] set.
#[must_use]
pub fn hash_of(key: &(impl Hash + ?Sized)) -> u64 {
    FixedState::with_seed(SEED).hash_one(key)
}

/// Row and column of the shard, from the hash's upper half: the table inside uses the lower bits
/// and the top seven.
fn place(hash: u64) -> (usize, usize) {
    let mask = (SPINE - 1) as u64;
    (((hash >> 40) & mask) as usize, ((hash >> (40 + SPINE_BITS)) & mask) as usize)
}

impl<V: Clone> Sharded<V> {
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn find(&self, hash: u64, eq: impl FnMut(&V) -> bool) -> Option<&V> {
        self.shard(hash)?.find(hash, eq)
    }

    /// Every value under that hash for which `eq` holds.
    pub fn find_all<'a>(&'a self, hash: u64, eq: impl Fn(&V) -> bool + 'a) -> impl Iterator<Item = &'a V> {
        self.shard(hash).into_iter().flat_map(move |shard| shard.iter_hash(hash)).filter(move |v| eq(v))
    }

    /// Adds a value; `hash_value` gives the hash of any value, for growth.
    pub fn insert(&mut self, hash: u64, value: V, hash_value: impl Fn(&V) -> u64) {
        if let Some(shard) = self.shard_mut(hash) {
            shard.insert_unique(hash, value, hash_value);
            self.len += 1;
        }
    }

    /// Takes out the first value for which `eq` holds.
    pub fn remove(&mut self, hash: u64, eq: impl FnMut(&V) -> bool) -> Option<V> {
        let entry = self.shard_mut(hash)?.find_entry(hash, eq).ok()?;
        let (value, _) = entry.remove();
        self.len -= 1;
        Some(value)
    }

    pub fn iter(&self) -> impl Iterator<Item = &V> {
        self.spine.iter().flat_map(|row| row.iter()).flat_map(|shard| shard.iter())
    }

    fn shard(&self, hash: u64) -> Option<&HashTable<V>> {
        let (row, column) = place(hash);
        self.spine.get(row)?.get(column).map(|shard| &**shard)
    }

    fn shard_mut(&mut self, hash: u64) -> Option<&mut HashTable<V>> {
        let (row, column) = place(hash);
        let row = Arc::make_mut(&mut self.spine).get_mut(row)?;
        let shard = Arc::make_mut(row).get_mut(column)?;
        Some(Arc::make_mut(shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: impl IntoIterator<Item = u64>) -> Sharded<u64> {
        let mut set = Sharded::default();
        for v in values {
            set.insert(hash_of(&v), v, hash_of);
        }
        set
    }

    #[test]
    fn what_was_inserted_is_found_and_what_was_removed_is_not() {
        let mut numbers = set(0..10_000);
        assert_eq!(numbers.len(), 10_000);
        assert_eq!(numbers.find(hash_of(&77u64), |v| *v == 77), Some(&77));
        assert_eq!(numbers.remove(hash_of(&77u64), |v| *v == 77), Some(77));
        assert_eq!(numbers.find(hash_of(&77u64), |v| *v == 77), None);
        assert_eq!(numbers.iter().count(), 9_999);
    }

    #[test]
    fn a_version_that_is_held_does_not_change() {
        let mut numbers = set(0..100);
        let before = numbers.clone();
        numbers.insert(hash_of(&500u64), 500, hash_of);
        numbers.remove(hash_of(&1u64), |v| *v == 1);
        assert!(before.find(hash_of(&500u64), |v| *v == 500).is_none());
        assert!(before.find(hash_of(&1u64), |v| *v == 1).is_some());
    }
}
