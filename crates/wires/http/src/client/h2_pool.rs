//! The HTTP/2 connections of one worker to its upstreams. A connection is shared by as many exchanges as its
//! upstream takes at once; one more is made when all are full, by one exchange while the others wait.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::Hash;
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::sync::Notify;

use super::pool::SWEEP;
use super::{H2Connection, H2Stream, PoolSettings};

/// Connections by key; the key holds all that makes two of them interchangeable.
pub struct H2Pool<K> {
    settings: PoolSettings,
    keys: RefCell<HashMap<K, Kept, foldhash::fast::RandomState>>,
    /// Sweeps so far: the pool's clock.
    sweeps: Cell<u64>,
    /// The sweeping task, while there is nothing to sweep.
    parked: RefCell<Option<Waker>>,
}

#[derive(Default)]
struct Kept {
    connections: Vec<Member>,
    /// Somebody is making one more.
    opening: Option<Rc<Attempt>>,
}

struct Member {
    connection: H2Connection,
    /// The last sweep that saw it in use.
    used: u64,
}

/// What is to be done for a stream.
// A stream is what nearly every call gets: a box around it would be an allocation per request.
#[allow(clippy::large_enum_variant)]
pub enum Opening<'p, K: Hash + Eq + Clone> {
    Stream(H2Stream),
    /// Another exchange is making a connection.
    Wait(Rc<Attempt>),
    /// Make a connection and bring it.
    Connect(Ticket<'p, K>),
}

/// A connection in the making, for those who wait for it.
#[derive(Default)]
pub struct Attempt {
    ended: Notify,
    succeeded: Cell<bool>,
}

impl Attempt {
    /// Waits for the end. True: ask the pool again. False: there is none, so that each tries for itself and takes
    /// no longer to fail than the first did.
    pub async fn made(&self) -> bool {
        self.ended.notified().await;
        self.succeeded.get()
    }
}

/// The task of making a connection; dropping it lets the others try.
pub struct Ticket<'p, K: Hash + Eq + Clone> {
    pool: &'p H2Pool<K>,
    key: K,
    attempt: Rc<Attempt>,
}

impl<K: Hash + Eq + Clone> H2Pool<K> {
    /// Of the settings, `total` has no meaning here, and `per_key` bounds the connections of a key, used or not:
    /// beyond it streams wait for others to end.
    #[must_use]
    pub fn new(settings: PoolSettings) -> Self {
        H2Pool { settings, keys: RefCell::default(), sweeps: Cell::new(0), parked: RefCell::default() }
    }

    /// A stream on a connection with room, or what to do for one.
    pub fn open(&self, key: &K) -> Opening<'_, K> {
        let mut keys = self.keys.borrow_mut();
        let kept = match keys.get_mut(key) {
            Some(kept) => kept,
            None => keys.entry(key.clone()).or_default(),
        };
        if let Some(stream) = kept.stream(&self.settings) {
            return Opening::Stream(stream);
        }
        if let Some(opening) = &kept.opening {
            return Opening::Wait(Rc::clone(opening));
        }
        let attempt = Rc::<Attempt>::default();
        kept.opening = Some(Rc::clone(&attempt));
        Opening::Connect(Ticket { pool: self, key: key.clone(), attempt })
    }

    /// Adds a connection that was made without a ticket, and begins a stream on it.
    pub fn add(&self, key: &K, connection: H2Connection) -> H2Stream {
        let stream = connection.stream();
        let mut keys = self.keys.borrow_mut();
        let kept = keys.entry(key.clone()).or_default();
        kept.connections.push(Member { connection, used: self.sweeps.get() });
        if let Some(sweeper) = self.parked.borrow_mut().take() {
            sweeper.wake();
        }
        stream
    }

    /// Drops what is closed or was not used for too long. Streams under way end in peace.
    pub fn sweep(&self) {
        let now = self.sweeps.get() + 1;
        self.sweeps.set(now);
        let limit = self.settings.idle_sweeps();
        self.keys.borrow_mut().retain(|_, kept| {
            kept.connections.retain_mut(|member| {
                if member.connection.active() > 0 {
                    member.used = now;
                }
                now - member.used <= limit && member.connection.is_open()
            });
            !kept.connections.is_empty() || kept.opening.is_some()
        });
    }

    /// Sweeps every second for ever; spawn it as a local task.
    pub async fn run(&self) {
        loop {
            poll_fn(|cx| {
                if !self.keys.borrow().is_empty() {
                    return Poll::Ready(());
                }
                *self.parked.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
            .await;
            tokio::time::sleep(SWEEP).await;
            self.sweep();
        }
    }

    /// Connections of a key.
    #[must_use]
    pub fn len(&self, key: &K) -> usize {
        self.keys.borrow().get(key).map_or(0, |kept| kept.connections.len())
    }
}

impl Kept {
    /// The first connection with room takes it, so that a second one idles out when it is no longer needed.
    fn stream(&mut self, settings: &PoolSettings) -> Option<H2Stream> {
        let spent = |c: &H2Connection| settings.max_requests > 0 && c.requests() >= settings.max_requests;
        self.connections.retain(|member| !spent(&member.connection) && member.connection.is_open());
        if let Some(member) = self.connections.iter().find(|member| member.connection.has_room()) {
            return Some(member.connection.stream());
        }
        if self.connections.len() < settings.per_key.max(1) {
            return None;
        }
        let least = self.connections.iter().min_by_key(|member| member.connection.active())?;
        Some(least.connection.stream())
    }
}

impl<K: Hash + Eq + Clone> Ticket<'_, K> {
    /// Brings the connection, and begins a stream on it before the others that wait do.
    pub fn made(self, connection: H2Connection) -> H2Stream {
        self.attempt.succeeded.set(true);
        self.pool.add(&self.key, connection)
    }
}

impl<K: Hash + Eq + Clone> Drop for Ticket<'_, K> {
    fn drop(&mut self) {
        let mut keys = self.pool.keys.borrow_mut();
        if let Some(kept) = keys.get_mut(&self.key) {
            kept.opening = None;
            if kept.connections.is_empty() {
                keys.remove(&self.key);
            }
        }
        self.attempt.ended.notify_waiters();
    }
}
