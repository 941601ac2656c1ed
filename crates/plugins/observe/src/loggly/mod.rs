//! Sends a syslog line per exchange to Loggly.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases};
use gibbon_schema::Schema;

use config::Config;
use handler::Loggly;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "loggly",
    priority: 6,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Log]),
    protocols: crate::ALL,
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(Loggly::new(&crate::config(PART.name, document)?, build)?)),
};
