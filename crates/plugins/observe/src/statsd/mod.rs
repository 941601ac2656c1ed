//! Sends metrics of each exchange to a StatsD daemon.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases};
use gibbon_schema::Schema;

use config::Config;
use handler::Statsd;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "statsd",
    priority: 11,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Log]),
    protocols: crate::ALL,
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(Statsd::new(crate::config(PART.name, document)?, build)?)),
};
