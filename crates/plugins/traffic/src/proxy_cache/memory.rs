//! Answers by key, within a bound of bytes: shards with short locks, and the least used go first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use gibbon_message::Headers;
use serde_json::{Map, Value, json};

use super::key::Key;

/// As many bytes as Kong's `mem_cache_size` holds unless it is changed.
const CAPACITY: usize = 128 << 20;
const SHARDS: usize = 16;
/// No answer may take more than this, so that one cannot push out a large part of the others.
pub const LARGEST: usize = CAPACITY / SHARDS;
/// What an entry takes beside headers and body.
const OVERHEAD: usize = 256;

/// An answer as it is kept.
#[derive(Clone, Debug)]
pub struct CachedAnswer {
    pub status: u16,
    pub headers: Headers,
    pub body: Bytes,
    /// Seconds since the epoch at which it came.
    pub timestamp: i64,
    /// Seconds that it stays fresh.
    pub ttl: i64,
}

impl CachedAnswer {
    /// The record that the Admin API shows.
    #[must_use]
    pub fn record(&self) -> Value {
        let mut headers = Map::new();
        for (name, value) in self.headers.iter() {
            let (name, value) = (String::from_utf8_lossy(name), Value::from(String::from_utf8_lossy(value)));
            match headers.get_mut(&*name) {
                None => {
                    headers.insert(name.into_owned(), value);
                }
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        json!({
            "status": self.status,
            "headers": headers,
            "body": String::from_utf8_lossy(&self.body),
            "body_len": self.body.len(),
            "timestamp": self.timestamp,
            "ttl": self.ttl,
            "version": 1,
            "req_body": "",
        })
    }

    fn size(&self) -> usize {
        OVERHEAD + self.headers.capacity() + self.body.len()
    }
}

struct Entry {
    answer: Arc<CachedAnswer>,
    /// Seconds since the epoch after which it is gone.
    until: i64,
    size: usize,
    /// Which of its places in the order counts.
    number: u64,
    /// Given again since it was last passed over.
    used: bool,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Key, Entry>,
    /// Keys from the oldest on; those of replaced entries are skipped.
    order: VecDeque<(Key, u64)>,
    bytes: usize,
    number: u64,
}

/// One memory.
pub struct Memory(Vec<Mutex<Shard>>);

impl Default for Memory {
    fn default() -> Self {
        Memory((0..SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Memory {
    /// The answer under a key. `now` is in seconds.
    pub fn get(&self, key: &Key, now: i64) -> Option<Arc<CachedAnswer>> {
        let mut shard = self.shard(key)?;
        match shard.entries.get_mut(key) {
            Some(entry) if entry.until > now => {
                entry.used = true;
                Some(Arc::clone(&entry.answer))
            }
            Some(_) => {
                shard.remove(key);
                None
            }
            None => None,
        }
    }

    /// Keeps an answer for `seconds`; one that is too large is not kept.
    pub fn put(&self, key: Key, answer: CachedAnswer, seconds: i64, now: i64) {
        let size = answer.size();
        if size > LARGEST {
            return;
        }
        let Some(mut shard) = self.shard(&key) else { return };
        shard.remove(&key);
        shard.make_room(size, now);
        shard.number += 1;
        let number = shard.number;
        let until = now.saturating_add(seconds);
        shard.entries.insert(key, Entry { answer: Arc::new(answer), until, size, number, used: false });
        shard.order.push_back((key, number));
        shard.bytes += size;
    }

    /// Forgets an answer; tells whether there was one.
    pub fn remove(&self, key: &Key) -> bool {
        self.shard(key).is_some_and(|mut shard| shard.remove(key))
    }

    /// Forgets everything.
    pub fn clear(&self) {
        for shard in &self.0 {
            *shard.lock().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    /// Keys are digests, so their first byte is as good as any hash.
    fn shard(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        let [first, ..] = key;
        let shard = self.0.get(usize::from(*first) % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    fn remove(&mut self, key: &Key) -> bool {
        match self.entries.remove(key) {
            Some(entry) => {
                self.bytes -= entry.size;
                true
            }
            None => false,
        }
    }

    /// Throws out what is over or was not used since it was last passed over, until `size` fits.
    fn make_room(&mut self, size: usize, now: i64) {
        while self.bytes + size > LARGEST {
            let Some((key, number)) = self.order.pop_front() else { return };
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.number == number) else { continue };
            if entry.used && entry.until > now {
                entry.used = false;
                self.order.push_back((key, number));
            } else {
                self.remove(&key);
            }
        }
        // Replaced entries leave their old places behind.
        if self.order.len() > 64 + 2 * self.entries.len() {
            let entries = &self.entries;
            self.order.retain(|(key, number)| entries.get(key).is_some_and(|entry| entry.number == *number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(len: usize) -> CachedAnswer {
        let body = Bytes::from(vec![b'x'; len]);
        CachedAnswer { status: 200, headers: Headers::new(), body, timestamp: 0, ttl: 9 }
    }

    /// Keys of one shard.
    fn key(number: u8) -> Key {
        let mut key = Key::default();
        key[1] = number;
        key
    }

    #[test]
    fn an_answer_is_kept_for_its_time() {
        let memory = Memory::default();
        memory.put(key(1), answer(3), 10, 100);
        assert!(memory.get(&key(1), 109).is_some());
        assert!(memory.get(&key(1), 110).is_none());
        assert!(!memory.remove(&key(1)), "it went when it was found to be over");
    }

    #[test]
    fn memory_is_bounded_and_what_was_used_stays() {
        let memory = Memory::default();
        let part = LARGEST / 4;
        for number in 0..3 {
            memory.put(key(number), answer(part), 10, 0);
        }
        assert!(memory.get(&key(0), 1).is_some());
        memory.put(key(3), answer(part), 10, 0);
        let kept: Vec<bool> = (0..4).map(|number| memory.get(&key(number), 1).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        memory.put(key(9), answer(LARGEST), 10, 0);
        assert!(memory.get(&key(9), 1).is_none(), "too large");
    }

    #[test]
    fn replacing_the_same_answer_does_not_grow_anything() {
        let memory = Memory::default();
        for _ in 0..10_000 {
            memory.put(key(1), answer(1), 10, 0);
        }
        let shard = memory.0.first().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner));
        let sizes = shard.map(|shard| (shard.entries.len(), shard.order.len() < 200, shard.bytes < 1_000));
        assert_eq!(sizes, Some((1, true, true)));
    }
}
