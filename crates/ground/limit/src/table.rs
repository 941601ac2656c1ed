//! A bounded map shared between threads: short locks per shard, keys looked up as borrowed bytes, the least used
//! thrown out when it is full.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;

/// More shards than any machine has busy workers on one key space; a power of two.
const MAX_SHARDS: usize = 64;
/// Below this many entries per shard, evicting would hit busy keys by chance.
const MIN_SHARD_CAPACITY: usize = 64;
/// Bytes of keys allowed for each entry of capacity: long keys (of hostile headers, say) push out more than one.
const KEY_BYTES_PER_ENTRY: usize = 256;
/// Entries looked at to find one worth throwing out, so that an insertion has a bounded cost.
const EVICTION_STEPS: usize = 32;

/// Values that are worth nothing after a certain time.
pub(crate) trait Expiring {
    fn is_expired(&self, now: u64) -> bool;
}

pub(crate) struct Table<V> {
    shards: Box<[Mutex<Shard<V>>]>,
    hasher: SeedableRandomState,
    evictions: AtomicU64,
}

impl<V> std::fmt::Debug for Table<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("shards", &self.shards.len()).field("evictions", &self.evictions).finish()
    }
}

struct Shard<V> {
    /// Positions in `entries`, by hash of the key.
    index: HashTable<u32>,
    entries: Vec<Entry<V>>,
    capacity: usize,
    key_bytes: usize,
    hand: usize,
}

struct Entry<V> {
    hash: u64,
    key: Box<[u8]>,
    value: V,
    /// Used again since it was made or the hand last passed.
    used: bool,
}

impl<V: Expiring> Table<V> {
    /// For at most about `capacity` keys. `seed` must be secret, or clients can make keys that collide.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let shards = (capacity / MIN_SHARD_CAPACITY).clamp(1, MAX_SHARDS);
        let shards = 1 << shards.ilog2();
        let per_shard = capacity.div_ceil(shards).max(1);
        let shard =
            || Shard { index: HashTable::new(), entries: Vec::new(), capacity: per_shard, key_bytes: 0, hand: 0 };
        Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            evictions: AtomicU64::new(0),
        }
    }

    /// Applies `work` to the value of a key, made by `make` if there is none. Atomic per key.
    pub fn update<R>(
        &self,
        key: &[u8],
        now: u64,
        make: impl FnOnce() -> V,
        work: impl FnOnce(&mut V) -> R,
    ) -> Option<R> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash)?;
        let position = match shard.find(hash, key) {
            Some(position) => {
                if let Some(entry) = shard.entries.get_mut(position) {
                    entry.used = true;
                }
                position
            }
            None => shard.insert(hash, key, make(), now, &self.evictions),
        };
        let entry = shard.entries.get_mut(position)?;
        Some(work(&mut entry.value))
    }

    /// Looks at the value of a key, if there is one.
    pub fn read<R>(&self, key: &[u8], work: impl FnOnce(&V) -> R) -> Option<R> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash)?;
        let position = shard.find(hash, key)?;
        shard.entries.get(position).map(|entry| work(&entry.value))
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).entries.len()).sum()
    }

    /// How many values were thrown out before they expired.
    pub fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    fn shard(&self, hash: u64) -> Option<MutexGuard<'_, Shard<V>>> {
        // The index of the shard's own table uses the low bits.
        let shard = (hash >> 32) as usize & (self.shards.len() - 1);
        self.shards.get(shard).map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<V: Expiring> Shard<V> {
    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let same = |position: &u32| {
            self.entries.get(*position as usize).is_some_and(|entry| entry.hash == hash && *entry.key == *key)
        };
        self.index.find(hash, same).map(|position| *position as usize)
    }

    fn insert(&mut self, hash: u64, key: &[u8], value: V, now: u64, evictions: &AtomicU64) -> usize {
        let budget = self.capacity * KEY_BYTES_PER_ENTRY;
        while !self.entries.is_empty() && (self.entries.len() >= self.capacity || self.key_bytes + key.len() > budget) {
            let victim = self.victim(now);
            if self.remove(victim).is_some_and(|entry| !entry.value.is_expired(now)) {
                evictions.fetch_add(1, Ordering::Relaxed);
            }
        }
        let position = self.entries.len();
        self.key_bytes += key.len();
        self.entries.push(Entry { hash, key: key.into(), value, used: false });
        let entries = &self.entries;
        self.index.insert_unique(hash, position as u32, |position| {
            entries.get(*position as usize).map_or(0, |entry| entry.hash)
        });
        position
    }

    /// The next entry that has expired or was not used since the hand last came by.
    fn victim(&mut self, now: u64) -> usize {
        for _ in 0..EVICTION_STEPS {
            self.hand = (self.hand + 1) % self.entries.len().max(1);
            match self.entries.get_mut(self.hand) {
                Some(entry) if entry.used && !entry.value.is_expired(now) => entry.used = false,
                _ => break,
            }
        }
        self.hand
    }

    /// Takes out an entry; the last one moves into its place.
    fn remove(&mut self, position: usize) -> Option<Entry<V>> {
        let hash = self.entries.get(position)?.hash;
        let last = self.entries.len() - 1;
        self.index.find_entry(hash, |other| *other as usize == position).ok()?.remove();
        if last != position
            && let Some(moved) = self.entries.last()
            && let Some(place) = self.index.find_mut(moved.hash, |other| *other as usize == last)
        {
            *place = position as u32;
        }
        let removed = self.entries.swap_remove(position);
        self.key_bytes -= removed.key.len();
        Some(removed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    struct Until(u64, u64);

    impl Expiring for Until {
        fn is_expired(&self, now: u64) -> bool {
            self.0 <= now
        }
    }

    fn bump(table: &Table<Until>, key: &[u8], now: u64, until: u64) -> u64 {
        table
            .update(
                key,
                now,
                || Until(until, 0),
                |value| {
                    value.1 += 1;
                    value.1
                },
            )
            .unwrap()
    }

    #[test]
    fn the_table_never_grows_beyond_its_capacity_and_counts_what_it_lost() {
        let table = Table::new(100, 1);
        for n in 0..1_000_u32 {
            bump(&table, &n.to_le_bytes(), 0, 10);
        }
        assert!(table.len() <= 100);
        assert_eq!(table.evictions(), 1_000 - table.len() as u64);
    }

    #[test]
    fn what_has_expired_goes_first_and_is_no_loss() {
        let table = Table::new(100, 1);
        for n in 0..100_u32 {
            bump(&table, &n.to_le_bytes(), 0, 10);
        }
        for n in 100..150_u32 {
            bump(&table, &n.to_le_bytes(), 20, 30);
        }
        assert_eq!(table.evictions(), 0);
    }

    #[test]
    fn a_busy_key_outlives_a_flood_of_others() {
        let table = Table::new(100, 1);
        for n in 0..10_000_u32 {
            bump(&table, &n.to_le_bytes(), 0, 10);
            bump(&table, b"busy", 0, 10);
        }
        assert_eq!(table.read(b"busy", |value| value.1), Some(10_000));
    }

    #[test]
    fn long_keys_are_bounded_by_their_bytes() {
        let table = Table::new(100, 1);
        for n in 0..200_u32 {
            let mut key = vec![0; 8_000];
            key.extend(n.to_le_bytes());
            bump(&table, &key, 0, 10);
        }
        assert!(table.len() <= 4, "{}", table.len());
    }

    proptest! {
        #[test]
        fn within_its_capacity_it_is_a_map(keys in prop::collection::vec(0_u8..40, 0..300)) {
            let table = Table::new(64, 7);
            let mut model = HashMap::new();
            for key in keys {
                let expected = model.entry(key).and_modify(|n| *n += 1).or_insert(1_u64);
                prop_assert_eq!(bump(&table, &[key], 0, 10), *expected);
            }
            prop_assert_eq!(table.len(), model.len());
        }

        #[test]
        fn under_pressure_the_index_stays_sound(keys in prop::collection::vec(0_u16..500, 0..600)) {
            let table = Table::new(16, 7);
            for key in keys {
                let key = key.to_le_bytes();
                bump(&table, &key, 0, 10);
                prop_assert!(table.read(&key, |value| value.1).is_some());
                prop_assert!(table.len() <= 16);
            }
        }
    }
}
