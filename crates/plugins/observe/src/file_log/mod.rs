//! Appends a line of JSON per exchange to a file.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases};
use gibbon_schema::Schema;

use config::Config;
use handler::FileLog;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "file-log",
    priority: 9,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Log]),
    protocols: crate::ALL,
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(FileLog::new(&crate::config(PART.name, document)?, build)?)),
};
