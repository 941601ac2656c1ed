//! Ports of a machine that serves nobody: it reads schemas and runs validators, so it knows the time and no one else.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gibbon_pdk::{
    Clock, Consumer, ConsumerGroup, Credential, CredentialKind, Dial, DialTarget, Directory, Duplex, NodeFacts,
    OutcallTls, Random, SendFuture,
};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::machine::Ports;
use crate::shared::Shared;

struct System;

impl Clock for System {
    #[allow(clippy::cast_possible_truncation)] // fits until the year 2554
    fn wall_ns(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    }

    fn monotonic_ns(&self) -> u64 {
        self.wall_ns()
    }
}

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) {
        // Without the system's randomness there is none to give; the bytes stay as they are.
        let _ = aws_lc_rs::rand::fill(bytes);
    }
}

struct Nobody;

impl Directory for Nobody {
    fn consumer(&self, _: Uuid) -> Option<Arc<Consumer>> {
        None
    }

    fn consumer_by_username(&self, _: Uuid, _: &str) -> Option<Arc<Consumer>> {
        None
    }

    fn consumer_by_custom_id(&self, _: Uuid, _: &str) -> Option<Arc<Consumer>> {
        None
    }

    fn credential(&self, _: Uuid, _: CredentialKind, _: &str) -> Option<Arc<Credential>> {
        None
    }

    fn credential_by_id(&self, _: CredentialKind, _: Uuid) -> Option<Arc<Credential>> {
        None
    }

    fn credentials_of(&self, _: CredentialKind, _: Uuid) -> SmallVec<[Arc<Credential>; 4]> {
        SmallVec::new()
    }

    fn groups_of(&self, _: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>> {
        None
    }
}

impl Dial for Nobody {
    fn connect(
        &self,
        _: DialTarget,
        _: Option<OutcallTls>,
        _: Duration,
    ) -> SendFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        Box::pin(std::future::ready(Err(std::io::ErrorKind::Unsupported.into())))
    }
}

/// Ports of a machine that serves nobody.
#[must_use]
pub fn ports(shared: &Arc<Shared>) -> Ports {
    Ports {
        directory: Rc::new(Nobody),
        clock: Arc::new(System),
        random: Arc::new(System),
        dial: Arc::new(Nobody),
        store: None,
        secrets: Arc::new(gibbon_pdk::NoVaults),
        node: Arc::new(NodeFacts { worker_count: 1, ..NodeFacts::default() }),
        shared: Arc::clone(shared),
        worker: 0,
    }
}
