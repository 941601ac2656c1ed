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
    schema: Config::record,
    build: |document, build| Ok(Arc::new(AiProxyAdvanced::new(&crate::config(PART.name, document)?, build)?)),
};
