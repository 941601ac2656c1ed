//! Counts exchanges and shows the figures at `/metrics`.

mod config;
mod figures;
mod handler;
mod models;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases};
use gibbon_schema::Schema;

use config::Config;
use handler::Counting;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "prometheus",
    priority: 13,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Log]),
    protocols: crate::ALL,
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(Counting::new(crate::config(PART.name, document)?, build)?)),
};
