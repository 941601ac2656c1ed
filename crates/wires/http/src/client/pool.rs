//! Idle upstream connections of one worker, the most recently used first: the others get a chance to
//! idle out, and the one taken is the least likely to be closed by its peer just now.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::Hash;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::Connection;

/// How often idle connections are looked at.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// Bounds of a pool, as Kong's `upstream_keepalive_*` settings.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Idle connections kept per key; 0 keeps none.
    pub per_key: usize,
    /// Idle connections kept altogether.
    pub total: usize,
    /// How long one may idle, to the second; zero is for ever.
    pub idle_timeout: Duration,
    /// Exchanges after which a connection is not kept; 0 is any number.
    pub max_requests: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings { per_key: 512, total: 8192, idle_timeout: Duration::from_secs(60), max_requests: 10_000 }
    }
}

impl PoolSettings {
    /// Sweeps after which an idle connection goes.
    pub(super) fn idle_sweeps(&self) -> u64 {
        match self.idle_timeout.as_secs() {
            0 if self.idle_timeout.is_zero() => u64::MAX,
            seconds => seconds.max(1),
        }
    }
}

/// What a pool asks of what it keeps.
pub trait Pooled {
    /// Whether it may be used once more; finds out that the peer closed it, without a system call
    /// unless the runtime knows that something happened.
    fn is_open(&mut self) -> bool;
    /// Exchanges it has served.
    fn requests(&self) -> u64;
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Pooled for Connection<S> {
    fn is_open(&mut self) -> bool {
        Connection::is_open(self)
    }

    fn requests(&self) -> u64 {
        Connection::requests(self)
    }
}

impl<C: Pooled> Pooled for Box<C> {
    fn is_open(&mut self) -> bool {
        (**self).is_open()
    }

    fn requests(&self) -> u64 {
        (**self).requests()
    }
}

/// Idle connections by key; the key holds all that makes two connections interchangeable.
#[derive(Debug)]
pub struct Pool<K, C> {
    settings: PoolSettings,
    idle: RefCell<HashMap<K, VecDeque<Idle<C>>, foldhash::fast::RandomState>>,
    total: Cell<usize>,
    /// Sweeps so far: the pool's clock.
    sweeps: Cell<u64>,
    /// The sweeping task, while there is nothing to sweep.
    parked: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct Idle<C> {
    connection: C,
    since: u64,
}

impl<K: Hash + Eq + Clone, C: Pooled> Pool<K, C> {
    #[must_use]
    pub fn new(settings: PoolSettings) -> Self {
        Pool {
            settings,
            idle: RefCell::default(),
            total: Cell::new(0),
            sweeps: Cell::new(0),
            parked: RefCell::default(),
        }
    }

    /// The most recently used connection that is still open.
    pub fn take(&self, key: &K) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(key)?;
        while let Some(mut newest) = connections.pop_back() {
            self.total.set(self.total.get() - 1);
            if newest.connection.is_open() {
                return Some(newest.connection);
            }
        }
        None
    }

    /// Keeps a connection that is fit for another exchange, unless it has served its share. Makes room by
    /// dropping the one of this key that idled longest; without one, the newcomer goes.
    pub fn put(&self, key: &K, connection: C) {
        let settings = &self.settings;
        let used_up = settings.max_requests > 0 && connection.requests() >= settings.max_requests;
        if used_up || settings.per_key == 0 {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let newcomer = Idle { connection, since: self.sweeps.get() };
        match idle.get_mut(key) {
            Some(connections) => {
                if connections.len() >= settings.per_key || self.total.get() >= settings.total {
                    if connections.pop_front().is_none() {
                        return;
                    }
                    self.total.set(self.total.get() - 1);
                }
                connections.push_back(newcomer);
            }
            None if self.total.get() >= settings.total => return,
            None => {
                idle.insert(key.clone(), VecDeque::from([newcomer]));
            }
        }
        self.total.set(self.total.get() + 1);
        if let Some(sweeper) = self.parked.borrow_mut().take() {
            sweeper.wake();
        }
    }

    /// Drops what idled too long or was closed by its peer, and forgets keys without connections.
    pub fn sweep(&self) {
        let now = self.sweeps.get() + 1;
        self.sweeps.set(now);
        let limit = self.settings.idle_sweeps();
        let mut left = 0;
        self.idle.borrow_mut().retain(|_, connections| {
            connections.retain_mut(|idle| now - idle.since <= limit && idle.connection.is_open());
            left += connections.len();
            !connections.is_empty()
        });
        self.total.set(left);
    }

    /// Sweeps every second for ever; spawn it as a local task.
    pub async fn run(&self) {
        loop {
            poll_fn(|cx| {
                if !self.is_empty() {
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

    /// Idle connections of all keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.total.get()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops every connection.
    pub fn clear(&self) {
        self.idle.borrow_mut().clear();
        self.total.set(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[derive(Debug)]
    struct Fake {
        name: u32,
        open: Rc<Cell<bool>>,
        requests: u64,
    }

    impl Pooled for Fake {
        fn is_open(&mut self) -> bool {
            self.open.get()
        }

        fn requests(&self) -> u64 {
            self.requests
        }
    }

    fn fake(name: u32) -> Fake {
        Fake { name, open: Rc::new(Cell::new(true)), requests: 1 }
    }

    fn pool(per_key: usize, total: usize) -> Pool<&'static str, Fake> {
        Pool::new(PoolSettings { per_key, total, ..PoolSettings::default() })
    }

    fn taken(pool: &Pool<&'static str, Fake>, key: &'static str) -> Option<u32> {
        pool.take(&key).map(|c| c.name)
    }

    #[test]
    fn the_newest_is_taken_first_and_keys_do_not_mix() {
        let pool = pool(9, 9);
        pool.put(&"a", fake(1));
        pool.put(&"a", fake(2));
        pool.put(&"b", fake(3));
        assert_eq!(
            [taken(&pool, "a"), taken(&pool, "a"), taken(&pool, "a"), taken(&pool, "b")],
            [Some(2), Some(1), None, Some(3)]
        );
        assert!(pool.is_empty());
    }

    #[test]
    fn the_oldest_goes_when_a_key_is_full() {
        let pool = pool(2, 9);
        for name in 1..=3 {
            pool.put(&"a", fake(name));
        }
        assert_eq!(pool.len(), 2);
        assert_eq!([taken(&pool, "a"), taken(&pool, "a"), taken(&pool, "a")], [Some(3), Some(2), None]);
    }

    #[test]
    fn the_total_is_bounded() {
        let pool = pool(9, 2);
        pool.put(&"a", fake(1));
        pool.put(&"a", fake(2));
        pool.put(&"b", fake(3));
        pool.put(&"a", fake(4));
        assert_eq!(pool.len(), 2);
        assert_eq!([taken(&pool, "b"), taken(&pool, "a"), taken(&pool, "a")], [None, Some(4), Some(2)]);
    }

    #[test]
    fn a_closed_connection_is_never_given_out() {
        let pool = pool(9, 9);
        let closed = fake(2);
        let open = closed.open.clone();
        pool.put(&"a", fake(1));
        pool.put(&"a", closed);
        open.set(false);
        assert_eq!(taken(&pool, "a"), Some(1));
        assert!(pool.is_empty());
    }

    #[test]
    fn a_connection_that_served_its_share_is_not_kept() {
        let pool = Pool::new(PoolSettings { max_requests: 5, ..PoolSettings::default() });
        pool.put(&"a", Fake { requests: 5, ..fake(1) });
        assert!(pool.is_empty());
    }

    #[test]
    fn idling_ends_after_the_timeout() {
        let pool = Pool::new(PoolSettings { idle_timeout: Duration::from_secs(3), ..PoolSettings::default() });
        pool.put(&"a", fake(1));
        for _ in 0..3 {
            pool.sweep();
            assert_eq!(pool.len(), 1);
        }
        pool.sweep();
        assert!(pool.is_empty());
    }
}
