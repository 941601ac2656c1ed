//! Shared dictionaries: key, value, time to live, bounded by bytes; the least recently written go first. All workers
//! see the same; a lock is held for one operation.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a dictionary holds under a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    Text(Vec<u8>),
    Number(f64),
    Flag(bool),
}

impl Scalar {
    fn size(&self) -> usize {
        match self {
            Scalar::Text(text) => text.len(),
            Scalar::Number(_) | Scalar::Flag(_) => 8,
        }
    }
}

#[derive(Clone, Debug)]
struct Item {
    value: Scalar,
    flags: i64,
    /// Nanoseconds of the monotonic clock; 0 is never.
    expires: u64,
    written: u64,
}

#[derive(Default)]
struct Inner {
    items: HashMap<Vec<u8>, Item>,
    lists: HashMap<Vec<u8>, std::collections::VecDeque<Scalar>>,
    order: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    clock: u64,
}

/// Bytes that an entry takes besides key and value.
const OVERHEAD: usize = 96;

/// One dictionary.
pub struct Dict {
    capacity: usize,
    inner: Mutex<Inner>,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub value: Scalar,
    pub flags: i64,
    /// Nanoseconds of the monotonic clock; 0 is never.
    pub expires: u64,
}

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Entries that had not expired were thrown out.
    pub forced: bool,
}

/// When to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Always,
    Absent,
    Present,
}

impl Dict {
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Dict { capacity, inner: Mutex::default() }
    }

    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    #[must_use]
    pub fn free(&self) -> usize {
        self.capacity.saturating_sub(self.lock().bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Value, flags and whether it is past its time.
    #[must_use]
    pub fn get(&self, key: &[u8], now: u64) -> Option<(Scalar, i64, bool)> {
        let inner = self.lock();
        inner.items.get(key).map(|item| (item.value.clone(), item.flags, item.is_stale(now)))
    }

    /// Stores a value. `evict` allows throwing out what has not expired.
    ///
    /// # Errors
    /// `exists`, `not found` or `no memory`.
    pub fn set(
        &self,
        key: &[u8],
        entry: Entry,
        when: Condition,
        evict: bool,
        now: u64,
    ) -> Result<Written, &'static str> {
        let Entry { value, flags, expires } = entry;
        let mut inner = self.lock();
        let present = inner.items.get(key).is_some_and(|item| !item.is_stale(now));
        match when {
            Condition::Absent if present => return Err("exists"),
            Condition::Present if !present => return Err("not found"),
            _ => {}
        }
        inner.put(key, Item { value, flags, expires, written: 0 }, self.capacity, evict, now)
    }

    /// Adds to a number; without one it starts from `initial`.
    ///
    /// # Errors
    /// `not found`, `not a number` or `no memory`.
    pub fn increment(
        &self,
        key: &[u8],
        by: f64,
        initial: Option<(f64, u64)>,
        now: u64,
    ) -> Result<(f64, bool), &'static str> {
        let mut inner = self.lock();
        if let Some(item) = inner.items.get_mut(key).filter(|item| !item.is_stale(now)) {
            let Scalar::Number(number) = &mut item.value else { return Err("not a number") };
            *number += by;
            return Ok((*number, false));
        }
        let (start, expires) = initial.ok_or("not found")?;
        let item = Item { value: Scalar::Number(start + by), flags: 0, expires, written: 0 };
        inner.put(key, item, self.capacity, true, now).map(|written| (start + by, written.forced))
    }

    pub fn delete(&self, key: &[u8]) {
        self.lock().remove(key);
    }

    /// Remaining nanoseconds; 0 is for ever.
    #[must_use]
    pub fn ttl(&self, key: &[u8], now: u64) -> Option<u64> {
        let inner = self.lock();
        let item = inner.items.get(key).filter(|item| !item.is_stale(now))?;
        Some(if item.expires == 0 { 0 } else { item.expires - now })
    }

    /// Sets the end of an entry; tells whether there was one.
    pub fn expire(&self, key: &[u8], expires: u64, now: u64) -> bool {
        let mut inner = self.lock();
        match inner.items.get_mut(key).filter(|item| !item.is_stale(now)) {
            Some(item) => {
                item.expires = expires;
                true
            }
            None => false,
        }
    }

    pub fn clear(&self) {
        *self.lock() = Inner::default();
    }

    /// Drops what is past its time, at most so many (0 is all); tells how many went.
    pub fn flush_expired(&self, most: usize, now: u64) -> usize {
        let mut inner = self.lock();
        let most = if most == 0 { usize::MAX } else { most };
        let stale: Vec<Vec<u8>> =
            inner.items.iter().filter(|(_, i)| i.is_stale(now)).map(|(k, _)| k.clone()).take(most).collect();
        stale.iter().for_each(|key| inner.remove(key));
        stale.len()
    }

    /// Keys, at most so many (0 is all).
    #[must_use]
    pub fn keys(&self, most: usize, now: u64) -> Vec<Vec<u8>> {
        let most = if most == 0 { usize::MAX } else { most };
        let inner = self.lock();
        inner.items.iter().filter(|(_, i)| !i.is_stale(now)).map(|(k, _)| k.clone()).take(most).collect()
    }

    /// Adds to a list at its left or right end; tells its length.
    ///
    /// # Errors
    /// `no memory`.
    pub fn push(&self, key: &[u8], value: Scalar, left: bool) -> Result<usize, &'static str> {
        let mut inner = self.lock();
        let size = value.size() + OVERHEAD;
        if inner.bytes + size > self.capacity {
            return Err("no memory");
        }
        inner.bytes += size;
        let list = inner.lists.entry(key.to_vec()).or_default();
        if left {
            list.push_front(value)
        } else {
            list.push_back(value)
        }
        Ok(list.len())
    }

    /// Takes from a list's left or right end.
    pub fn pop(&self, key: &[u8], left: bool) -> Option<Scalar> {
        let mut inner = self.lock();
        let list = inner.lists.get_mut(key)?;
        let value = if left { list.pop_front() } else { list.pop_back() };
        if list.is_empty() {
            inner.lists.remove(key);
        }
        if let Some(value) = &value {
            inner.bytes = inner.bytes.saturating_sub(value.size() + OVERHEAD);
        }
        value
    }

    #[must_use]
    pub fn length(&self, key: &[u8]) -> usize {
        self.lock().lists.get(key).map_or(0, std::collections::VecDeque::len)
    }
}

impl Item {
    fn is_stale(&self, now: u64) -> bool {
        self.expires != 0 && self.expires <= now
    }
}

impl Inner {
    fn remove(&mut self, key: &[u8]) {
        if let Some(item) = self.items.remove(key) {
            self.order.remove(&item.written);
            self.bytes = self.bytes.saturating_sub(key.len() + item.value.size() + OVERHEAD);
        }
    }

    fn put(
        &mut self,
        key: &[u8],
        mut item: Item,
        capacity: usize,
        evict: bool,
        now: u64,
    ) -> Result<Written, &'static str> {
        let size = key.len() + item.value.size() + OVERHEAD;
        if size > capacity {
            return Err("no memory");
        }
        self.remove(key);
        let mut forced = false;
        while self.bytes + size > capacity {
            let Some((_, oldest)) = self.order.first_key_value().map(|(n, k)| (*n, k.clone())) else { break };
            let stale = self.items.get(&oldest).is_none_or(|item| item.is_stale(now));
            if !stale && !evict {
                return Err("no memory");
            }
            forced |= !stale;
            self.remove(&oldest);
        }
        if self.bytes + size > capacity {
            return Err("no memory");
        }
        self.clock += 1;
        item.written = self.clock;
        self.order.insert(self.clock, key.to_vec());
        self.items.insert(key.to_vec(), item);
        self.bytes += size;
        Ok(Written { forced })
    }
}

/// The dictionaries of a node: those that Kong has, and those that the settings add.
pub struct Dicts(BTreeMap<String, Arc<Dict>>);

const MIB: usize = 1 << 20;
/// Name and size of the dictionaries that are always there.
const STANDARD: &[(&str, usize)] = &[
    ("kong", 5 * MIB),
    ("kong_locks", 8 * MIB),
    ("kong_healthchecks", 5 * MIB),
    ("kong_cluster_events", 5 * MIB),
    ("kong_rate_limiting_counters", 12 * MIB),
    ("kong_core_db_cache", 128 * MIB),
    ("kong_core_db_cache_miss", 12 * MIB),
    ("kong_db_cache", 128 * MIB),
    ("kong_db_cache_miss", 12 * MIB),
    ("kong_secrets", 5 * MIB),
    ("prometheus_metrics", 5 * MIB),
];

impl Dicts {
    pub fn new(further: &[(String, u64)]) -> Self {
        let mut dicts: BTreeMap<String, Arc<Dict>> =
            STANDARD.iter().map(|(name, size)| ((*name).to_owned(), Arc::new(Dict::new(*size)))).collect();
        for (name, size) in further {
            let size = usize::try_from(*size).unwrap_or(usize::MAX);
            dicts.insert(name.clone(), Arc::new(Dict::new(size)));
        }
        Dicts(dicts)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Dict>> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(s: &str, expires: u64) -> Entry {
        Entry { value: Scalar::Text(s.as_bytes().to_vec()), flags: 0, expires }
    }

    #[test]
    fn an_entry_counts_as_absent_after_its_time() {
        let dict = Dict::new(10_000);
        dict.set(b"k", entry("v", 100), Condition::Always, true, 0).unwrap();
        assert!(!dict.get(b"k", 99).unwrap().2);
        assert!(dict.get(b"k", 100).unwrap().2, "stale, but there");
        assert_eq!(dict.set(b"k", entry("w", 0), Condition::Absent, true, 100), Ok(Written { forced: false }));
    }

    #[test]
    fn the_oldest_written_make_room_unless_the_write_is_a_safe_one() {
        let dict = Dict::new(2 * (OVERHEAD + 2));
        for key in [b"a", b"b"] {
            dict.set(key, entry("v", 0), Condition::Always, true, 0).unwrap();
        }
        assert_eq!(dict.set(b"c", entry("v", 0), Condition::Always, false, 0), Err("no memory"));
        assert_eq!(dict.set(b"c", entry("v", 0), Condition::Always, true, 0), Ok(Written { forced: true }));
        assert!(dict.get(b"a", 0).is_none() && dict.get(b"b", 0).is_some());
    }

    #[test]
    fn a_counter_starts_from_its_initial_value() {
        let dict = Dict::new(10_000);
        assert_eq!(dict.increment(b"n", 1.0, None, 0), Err("not found"));
        assert_eq!(dict.increment(b"n", 1.0, Some((5.0, 0)), 0), Ok((6.0, false)));
        assert_eq!(dict.increment(b"n", 1.0, None, 0), Ok((7.0, false)));
    }
}
