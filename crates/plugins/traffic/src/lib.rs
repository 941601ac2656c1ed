//! Plugins that limit, redirect, cache and mark traffic. One folder per plugin; [`PARTS`] is the list.
//!
//! What several of them share stands beside the folders: [`counters`] (limits of calendar periods, kept on the
//! node, in the datastore or in Redis).

mod correlation_id;
mod counters;
mod numbers;
mod proxy_cache;
mod rate_limiting;
mod redirect;
mod request_size_limiting;
mod request_termination;
mod response_ratelimiting;

use std::sync::Arc;

use gibbon_pdk::{AdminRoot, BuildError, Clock, NodeState, Part, Protocol, Protocols, Random, Store};
use gibbon_schema::Schema;
use serde_json::Value;

/// The plugins of this family.
pub const PARTS: &[Part] = &[
    correlation_id::PART,
    proxy_cache::PART,
    rate_limiting::PART,
    redirect::PART,
    request_size_limiting::PART,
    request_termination::PART,
    response_ratelimiting::PART,
];

/// Paths that this family adds to the Admin API of a node.
pub fn admin_paths(
    state: &dyn NodeState,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    random: Arc<dyn Random>,
) -> Vec<AdminRoot> {
    vec![proxy_cache::admin_paths(state, clock, store, random)]
}

/// Hears what a node tells all nodes of its datastore: a row of `cluster_events`. Must not wait.
pub fn hear(state: &dyn NodeState, channel: &str, data: &str) {
    proxy_cache::hear(state, channel, data);
}

/// The Kong version whose plugins these are.
const VERSION: &str = "3.10.0";

/// HTTP and gRPC, plain and over TLS.
const HTTP: Protocols = Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https]);

/// Reads a validated configuration.
fn config<C: Schema>(plugin: &str, document: &Value) -> Result<C, BuildError> {
    C::from_value(document).map_err(|error| BuildError { plugin: plugin.to_owned(), cause: error.to_string() })
}
