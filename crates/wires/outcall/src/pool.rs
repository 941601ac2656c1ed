//! Idle connections by origin.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use crate::Tls;
use crate::proxy::Proxy;

/// Idle connections kept per origin, and in all: beyond it they are closed rather than kept.
const PER_ORIGIN: usize = 64;
const IN_ALL: usize = 1024;

/// Where a connection leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub host: String,
    pub port: u16,
    pub tls: Option<Tls>,
    /// The proxy it leads through.
    pub proxy: Option<Proxy>,
}

pub type Sender = SendRequest<Full<Bytes>>;

struct Idle {
    sender: Sender,
    until: Instant,
}

/// The pool.
#[derive(Default)]
pub struct Pool(Mutex<HashMap<Origin, Vec<Idle>>>);

impl Pool {
    /// The connection used last, if one is still open.
    pub fn take(&self, origin: &Origin) -> Option<Sender> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let list = idle.get_mut(origin)?;
        let now = Instant::now();
        while let Some(found) = list.pop() {
            if found.until > now && found.sender.is_ready() {
                return Some(found.sender);
            }
        }
        None
    }

    pub fn put(&self, origin: Origin, sender: Sender, keepalive: Duration) {
        if keepalive.is_zero() || sender.is_closed() {
            return;
        }
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.values().map(Vec::len).sum::<usize>() >= IN_ALL {
            return;
        }
        let list = idle.entry(origin).or_default();
        if list.len() < PER_ORIGIN {
            list.push(Idle { sender, until: Instant::now() + keepalive });
        }
    }

    /// Closes what has been idle too long.
    pub fn sweep(&self) {
        let now = Instant::now();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, list| {
            list.retain(|one| one.until > now && !one.sender.is_closed());
            !list.is_empty()
        });
    }
}
