//! Entries that are sent as a datagram each.

use std::sync::Arc;

use gibbon_pdk::{Build, Deliver, Queue, QueueEntry, SendFuture};

use crate::line::Line;
use crate::queue_settings::at_once;

/// The queue of a configuration whose entries leave over `line`, without retry.
pub fn queue(build: &Build<'_>, line: Line) -> Arc<dyn Queue> {
    build.queue(at_once(), Arc::new(Datagrams(line)))
}

struct Datagrams(Line);

impl Deliver for Datagrams {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let parts: Vec<&[u8]> = batch.iter().map(|entry| &entry[..]).collect();
            self.0.send(&parts).await
        })
    }
}
