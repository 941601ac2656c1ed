//! One model behind one address: clients speak their own format, the request is written in the provider's, signed,
//! and the answer comes back in the client's.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Protocol, Protocols, Scopes};
use gibbon_schema::Schema;

use crate::config::{Clients, joined};
use config::Config;
use handler::AiProxy;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-proxy",
    priority: 770,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::Log]),
    protocols: PROTOCOLS,
    scopes: Scopes::ALL,
    schema: || joined(Config::record(), Clients::record()),
    build: |document, build| {
        let (own, clients) = (crate::config(PART.name, document)?, crate::config(PART.name, document)?);
        Ok(Arc::new(AiProxy::new(&own, &clients, build)?))
    },
};

/// WebSocket beside HTTP: some routes are for conversations by voice.
pub const PROTOCOLS: Protocols =
    Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https, Protocol::Ws, Protocol::Wss]);
