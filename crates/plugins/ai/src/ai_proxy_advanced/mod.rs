//! Several models behind one address: balanced, with failover to another as long as the client has not seen a token,
//! and with the sick ones left alone for a while.

mod config;
mod handler;
mod pool;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use crate::ai_proxy::PROTOCOLS;
use crate::config::{Clients, joined};
use config::Config;
use handler::AiProxyAdvanced;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-proxy-advanced",
    priority: 770,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::Log]),
    protocols: PROTOCOLS,
    scopes: Scopes::ALL,
    schema: || joined(Config::record(), Clients::record()),
    build: |document, build| {
        let (own, clients) = (crate::config(PART.name, document)?, crate::config(PART.name, document)?);
        Ok(Arc::new(AiProxyAdvanced::new(&own, &clients, build)?))
    },
};
