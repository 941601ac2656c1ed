//! Answers in memory, by name, for all workers of the node.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use gibbon_balance::RecordKind;
use indexmap::IndexMap;

use crate::statistics::NameCounters;
use crate::{Answer, DnsError};

/// A power of two.
const SHARDS: usize = 16;

#[derive(Debug)]
pub(crate) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    capacity: usize,
}

#[derive(Debug, Default)]
struct Shard {
    entries: IndexMap<Box<str>, Arc<Entry>>,
    hand: usize,
}

/// What is known about one name.
#[derive(Debug)]
pub(crate) struct Entry {
    pub result: Result<Arc<Answer>, DnsError>,
    pub expires_ms: u64,
    /// Until when an expired answer may serve.
    pub stale_until_ms: u64,
    /// Type of the last success, tried first the next time.
    pub last: Option<RecordKind>,
    pub counters: Arc<NameCounters>,
    /// Somebody is renewing it.
    renewing: AtomicBool,
    /// Renewing failed lately: not before this time again.
    renew_after_ms: AtomicU64,
    used: AtomicBool,
}

/// What a name's entry is good for at a time.
pub(crate) enum State {
    Fresh,
    Stale,
    Gone,
}

impl Entry {
    pub fn new(
        result: Result<Arc<Answer>, DnsError>,
        expires_ms: u64,
        stale_until_ms: u64,
        last: Option<RecordKind>,
        counters: Arc<NameCounters>,
    ) -> Self {
        Self {
            result,
            expires_ms,
            stale_until_ms,
            last,
            counters,
            renewing: AtomicBool::new(false),
            renew_after_ms: AtomicU64::new(0),
            // Only what is asked for again is worth keeping over others.
            used: AtomicBool::new(false),
        }
    }

    pub fn state(&self, now_ms: u64) -> State {
        if now_ms < self.expires_ms {
            State::Fresh
        } else if self.result.is_ok() && now_ms < self.stale_until_ms {
            State::Stale
        } else {
            State::Gone
        }
    }

    /// True for one caller at a time: it renews the entry, the others go on with the old answer.
    pub fn begin_renewal(&self, now_ms: u64) -> bool {
        now_ms >= self.renew_after_ms.load(Ordering::Relaxed) && !self.renewing.swap(true, Ordering::AcqRel)
    }

    /// The renewal came to nothing; the old answer stays for now.
    pub fn renewal_failed(&self, not_before_ms: u64) {
        self.renew_after_ms.store(not_before_ms, Ordering::Relaxed);
        self.renewing.store(false, Ordering::Release);
    }
}

impl Cache {
    pub fn new(capacity: usize) -> Self {
        Self { shards: Default::default(), capacity: capacity.div_ceil(SHARDS).max(1) }
    }

    pub fn get(&self, name: &str) -> Option<Arc<Entry>> {
        let shard = self.shard(name)?.read().unwrap_or_else(PoisonError::into_inner);
        let entry = shard.entries.get(name)?;
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        Some(entry.clone())
    }

    pub fn put(&self, name: &str, entry: Entry) {
        let Some(shard) = self.shard(name) else { return };
        let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
        if !shard.entries.contains_key(name) {
            while shard.entries.len() >= self.capacity {
                shard.evict();
            }
        }
        shard.entries.insert(name.into(), Arc::new(entry));
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).entries.clear();
        }
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).entries.len()).sum()
    }

    fn shard(&self, name: &str) -> Option<&RwLock<Shard>> {
        // FNV-1a; which shard a name is in is no secret, and within it the map has a keyed hash.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        self.shards.get((hash >> 32) as usize % SHARDS)
    }
}

impl Shard {
    /// Throws out the next entry that was not used since the hand last came by.
    fn evict(&mut self) {
        for _ in 0..self.entries.len() {
            self.hand = (self.hand + 1) % self.entries.len().max(1);
            match self.entries.get_index(self.hand) {
                Some((_, entry)) if entry.used.swap(false, Ordering::Relaxed) => {}
                _ => break,
            }
        }
        self.entries.swap_remove_index(self.hand);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry::new(Err(DnsError::Empty), 10, 10, None, Arc::default())
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let cache = Cache::new(160);
        cache.put("busy.test", entry());
        for n in 0..2_000 {
            cache.put(&format!("{n}.test"), entry());
            assert!(cache.get("busy.test").is_some());
        }
        assert!(cache.len() <= 160, "{}", cache.len());
    }

    #[test]
    fn one_caller_renews_and_after_a_failure_nobody_for_a_while() {
        let entry = entry();
        assert!(entry.begin_renewal(5) && !entry.begin_renewal(5));
        entry.renewal_failed(8);
        assert!(!entry.begin_renewal(7) && entry.begin_renewal(8));
    }
}
