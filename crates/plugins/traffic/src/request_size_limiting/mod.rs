//! Refuses request bodies above a size.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::SizeLimit;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "request-size-limiting",
    priority: 951,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes { route: true, service: true, consumer: true, consumer_group: false },
    schema: Config::record,
    build: |document, _| Ok(Arc::new(SizeLimit::new(&crate::config(PART.name, document)?))),
};
