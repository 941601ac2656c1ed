//! Gives every request an id that upstream, client and log agree on.

mod config;
mod generator;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Correlator;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "correlation-id",
    priority: 100_001,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter]),
    protocols: crate::HTTP,
    scopes: Scopes { route: true, service: true, consumer: true, consumer_group: false },
    schema: Config::record,
    build: |document, build| Ok(Arc::new(Correlator::new(crate::config::<Config>(PART.name, document)?, build))),
};
