//! Sends spans of every sampled exchange to a Zipkin collector, and takes part in the traces that requests come with.
//!
//! Independent of the node's tracing settings: it makes its own spans of times that the engine notes. Kong's plugin
//! runs in `body_filter` to learn when bodies begin; here the end of the header filters says so, and bodies pass
//! untouched.

mod config;
mod handler;
mod spans;
mod tags;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases};
use gibbon_schema::Schema;

use config::Config;
use handler::Zipkin;

/// The entry in the family's list. It runs first, so that its times hold what the others do.
pub const PART: Part = Part {
    name: "zipkin",
    priority: 100_000,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter, Phase::Preread, Phase::Log]),
    protocols: crate::ALL,
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(Zipkin::new(crate::config(PART.name, document)?, build))),
};
