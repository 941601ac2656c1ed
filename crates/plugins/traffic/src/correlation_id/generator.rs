//! Ids that do not repeat on this node.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gibbon_pdk::{Build, Exchange, Host};

use super::config::Form;

/// The node's own UUID for ids, and how many it gave out. One for all workers and configurations.
struct Sequence {
    prefix: String,
    count: AtomicU64,
}

pub struct Generator {
    form: Form,
    sequence: Arc<Sequence>,
}

impl Generator {
    pub fn new(form: Form, build: &Build<'_>) -> Self {
        let fresh = || Sequence { prefix: build.random.uuid().to_string(), count: AtomicU64::new(0) };
        Generator { form, sequence: build.shared("correlation-id/sequence", fresh) }
    }

    pub fn make(&self, x: &Exchange, host: &Host) -> String {
        match self.form {
            Form::Uuid => host.random.uuid().to_string(),
            Form::UuidCounter => {
                let mut id = String::with_capacity(self.sequence.prefix.len() + 12);
                let _ = write!(id, "{}#{}", self.sequence.prefix, self.next());
                id
            }
            Form::Tracker => self.track(x),
        }
    }

    /// The connection is told by the peer's port, which is its own as long as it lives.
    fn track(&self, x: &Exchange) -> String {
        let local = x.client.local;
        let (seconds, millis) = (x.started_ns / 1_000_000_000, x.started_ns / 1_000_000 % 1_000);
        let (pid, peer, request) = (std::process::id(), x.client.peer_port, self.next());
        format!("{}-{}-{pid}-{peer}-{request}-{seconds}.{millis:03}", local.ip(), local.port())
    }

    fn next(&self) -> u64 {
        self.sequence.count.fetch_add(1, Ordering::Relaxed) + 1
    }
}
