//! Session tickets with a chosen lifetime: the library's own are fixed to twelve hours.
//!
//! Tickets are sealed with AES-256-GCM under keys that live in this process only and are rolled every half
//! lifetime, so that a ticket is good for at least half the lifetime and never longer than the whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

const KEY_NAME_LEN: usize = 16;

#[derive(Debug)]
pub(crate) struct Tickets {
    lifetime: Duration,
    keys: Mutex<Keys>,
}

#[derive(Debug)]
struct Keys {
    current: Arc<TicketKey>,
    previous: Option<Arc<TicketKey>>,
    rolled: Instant,
}

struct TicketKey {
    name: [u8; KEY_NAME_LEN],
    key: RandomizedNonceKey,
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKey")
    }
}

impl TicketKey {
    /// Nothing if the system has no randomness to give.
    fn new() -> Option<Self> {
        let mut name = [0; KEY_NAME_LEN];
        let mut secret = [0; 32];
        aws_lc_rs::rand::fill(&mut name).ok()?;
        aws_lc_rs::rand::fill(&mut secret).ok()?;
        Some(Self { name, key: RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()? })
    }

    /// Key name, nonce, ciphertext, tag.
    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut sealed = plain.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(&self.name), &mut sealed).ok()?;
        let mut ticket = Vec::with_capacity(KEY_NAME_LEN + NONCE_LEN + sealed.len());
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(nonce.as_ref());
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn open(&self, nonce: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let length = self.key.open_in_place(nonce, Aad::from(&self.name), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

impl Tickets {
    /// Nothing if the system has no randomness to give.
    pub(crate) fn new(lifetime: Duration) -> Option<Self> {
        let keys = Keys { current: Arc::new(TicketKey::new()?), previous: None, rolled: Instant::now() };
        Some(Self { lifetime, keys: Mutex::new(keys) })
    }

    /// Rolls the keys if it is time. The lock is held for a comparison, or for making a key twice a lifetime.
    fn keys(&self) -> (Arc<TicketKey>, Option<Arc<TicketKey>>) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let age = keys.rolled.elapsed();
        if age >= self.lifetime / 2
            && let Some(next) = TicketKey::new()
        {
            let last = std::mem::replace(&mut keys.current, Arc::new(next));
            // After a whole quiet lifetime the last key has expired with its tickets.
            keys.previous = (age < self.lifetime).then_some(last);
            keys.rolled = Instant::now();
        }
        (keys.current.clone(), keys.previous.clone())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // RFC 8446, section 4.6.1: at most a week.
        u32::try_from(self.lifetime.as_secs().min(7 * 24 * 3600)).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys().0.seal(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(KEY_NAME_LEN)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let (current, previous) = self.keys();
        let key = [Some(current), previous].into_iter().flatten().find(|key| key.name == name)?;
        key.open(nonce, sealed)
    }
}

/// The library's bounded session cache, with a lifetime: each value is stored behind the second it was put.
#[derive(Debug)]
pub(crate) struct TimedSessions {
    cache: Arc<ServerSessionMemoryCache>,
    lifetime: Duration,
    epoch: Instant,
}

impl TimedSessions {
    pub(crate) fn new(cache: Arc<ServerSessionMemoryCache>, lifetime: Duration) -> Self {
        Self { cache, lifetime, epoch: Instant::now() }
    }

    fn fresh(&self, stored: Vec<u8>) -> Option<Vec<u8>> {
        let (&second, session) = stored.split_first_chunk::<8>()?;
        let put = Duration::from_secs(u64::from_be_bytes(second));
        (self.epoch.elapsed().saturating_sub(put) < self.lifetime).then(|| session.to_vec())
    }
}

impl StoresServerSessions for TimedSessions {
    fn put(&self, key: Vec<u8>, session: Vec<u8>) -> bool {
        let mut stored = self.epoch.elapsed().as_secs().to_be_bytes().to_vec();
        stored.extend_from_slice(&session);
        self.cache.put(key, stored)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(self.cache.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(self.cache.take(key)?)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(60);

    #[test]
    fn a_ticket_opens_where_it_was_made_and_nowhere_else() {
        let tickets = Tickets::new(LIFETIME).unwrap();
        let ticket = tickets.encrypt(b"session").unwrap();
        assert_eq!(tickets.decrypt(&ticket).unwrap(), b"session");
        assert_eq!(Tickets::new(LIFETIME).unwrap().decrypt(&ticket), None);
    }

    #[test]
    fn a_damaged_or_short_ticket_does_not_open() {
        let tickets = Tickets::new(LIFETIME).unwrap();
        let ticket = tickets.encrypt(b"session").unwrap();
        for position in 0..ticket.len() {
            let mut damaged = ticket.clone();
            damaged[position] ^= 1;
            assert_eq!(tickets.decrypt(&damaged), None);
            assert_eq!(tickets.decrypt(&ticket[..position]), None);
        }
    }

    #[test]
    fn keys_are_rolled_and_the_last_one_still_opens() {
        let tickets = Tickets::new(LIFETIME).unwrap();
        let age = |by: Duration| tickets.keys.lock().unwrap().rolled -= by;
        let first = tickets.encrypt(b"first").unwrap();
        age(LIFETIME / 2);
        let second = tickets.encrypt(b"second").unwrap();
        assert_ne!(first[..KEY_NAME_LEN], second[..KEY_NAME_LEN]);
        assert_eq!(tickets.decrypt(&first).unwrap(), b"first");
        age(LIFETIME / 2);
        assert_eq!(tickets.decrypt(&first), None);
        assert_eq!(tickets.decrypt(&second).unwrap(), b"second");
        age(LIFETIME * 2);
        assert_eq!(tickets.decrypt(&second), None);
    }
}
