//! Answers requests instead of passing them on: a maintenance page, a blocked consumer, an echo for debugging.

mod config;
mod echo;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Terminator;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "request-termination",
    priority: 2,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Terminator::new(crate::config(PART.name, document)?))),
};
