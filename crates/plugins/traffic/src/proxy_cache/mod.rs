//! Keeps answers of upstreams in memory and gives them again to requests that are alike.
//!
//! The memory is the node's: all workers and all configurations that name it share it, and it outlives plans. The
//! Admin API looks into it ([`admin_paths`]).

mod admin;
mod caches;
mod config;
mod directives;
mod handler;
mod key;
mod media;
mod memory;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{AdminRoot, Clock, NodeState, Part, Phase, Phases, Protocol, Protocols, Random, Scopes, Store};
use gibbon_schema::Schema;

use admin::CachePaths;
use caches::Caches;
use config::Config;
use handler::ProxyCache;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "proxy-cache",
    priority: 100,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter, Phase::BodyFilter]),
    protocols: Protocols::of(&[
        Protocol::Grpc,
        Protocol::Grpcs,
        Protocol::Http,
        Protocol::Https,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::TlsPassthrough,
        Protocol::Udp,
    ]),
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, build| {
        let caches = build.shared(Caches::KEY, Caches::default);
        Ok(Arc::new(ProxyCache::new(crate::config(PART.name, document)?, build.plugin_id, &caches)))
    },
};

/// The cache's paths of the Admin API.
pub fn admin_paths(
    state: &dyn NodeState,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    random: Arc<dyn Random>,
) -> AdminRoot {
    (PART.name.into(), Arc::new(CachePaths { caches: Caches::of(state), clock, store, random }))
}

/// Hears what a node of the datastore tells all of them; what is not for this plugin does not concern it.
pub fn hear(state: &dyn NodeState, channel: &str, what: &str) {
    if channel == admin::CHANNEL {
        admin::hear(&Caches::of(state), what);
    }
}
