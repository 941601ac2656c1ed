//! Writes a line per exchange to the system's log.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases};
use gibbon_schema::Schema;

use config::Config;
use handler::Syslog;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "syslog",
    priority: 4,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Log]),
    protocols: crate::ALL,
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(Syslog::new(&crate::config(PART.name, document)?, build)?)),
};
