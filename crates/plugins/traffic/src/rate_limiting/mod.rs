//! How many requests somebody may make per second, minute, hour, day, month and year.
//!
//! Counts lie on this node (`local`, exact for all its workers), in the datastore (`cluster`, exact for all nodes) or
//! in Redis (`redis`; exact, or reconciled at `sync_rate`). What is above a limit is refused, or held back until there
//! is room for it (`on_limit: delay`).

mod config;
mod delay;
mod handler;
mod headers;
mod policy;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::RateLimiter;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "rate-limiting",
    priority: 910,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(RateLimiter::new(crate::config(PART.name, document)?, build)?)),
};
