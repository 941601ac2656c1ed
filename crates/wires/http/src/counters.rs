//! What the wire counts about its peers, for the metrics of the layers above. Exporting is left to them.

use std::cell::Cell;

/// Plain per-worker counters; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted by `serve`.
    pub connections: Cell<u64>,
    /// Requests handed to a service, any protocol.
    pub requests: Cell<u64>,
    /// Heads refused, any reason.
    pub bad_heads: Cell<u64>,
    /// Bodies refused for their framing.
    pub bad_bodies: Cell<u64>,
    /// Clients too slow with a head, a body or taking an answer.
    pub head_timeouts: Cell<u64>,
    pub body_timeouts: Cell<u64>,
    pub send_timeouts: Cell<u64>,
    /// Connections closed for idling.
    pub keepalive_timeouts: Cell<u64>,
    /// HTTP/2 connections closed for flooding, by kind.
    pub h2_reset_floods: Cell<u64>,
    pub h2_control_floods: Cell<u64>,
    pub h2_continuation_floods: Cell<u64>,
    pub h2_empty_frame_floods: Cell<u64>,
    /// HTTP/2 header lists over the limit.
    pub h2_oversized_headers: Cell<u64>,
    /// HTTP/2 connections ended by any other protocol error.
    pub h2_protocol_errors: Cell<u64>,
}

impl Counters {
    pub(crate) fn add(cell: &Cell<u64>) {
        cell.set(cell.get().wrapping_add(1));
    }
}
