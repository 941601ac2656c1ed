//! Sends log entries to an HTTP endpoint, in batches.

mod config;
mod handler;
mod shown;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases};
use gibbon_schema::Schema;

use config::Config;
use handler::HttpLog;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "http-log",
    priority: 12,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Log]),
    protocols: crate::ALL,
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(HttpLog::new(&crate::config(PART.name, document)?, build)?)),
};
