//! Limits on what upstreams say that their answers cost: so many videos a minute, so many tokens a day.
//!
//! The upstream names the costs in a response header; they are counted as the answer leaves.

mod config;
mod handler;
mod increments;
#[cfg(test)]
mod tests;
mod usage;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::ResponseLimiter;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "response-ratelimiting",
    priority: 900,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter]),
    protocols: crate::HTTP,
    scopes: Scopes { route: true, service: true, consumer: true, consumer_group: false },
    schema: Config::record,
    build: |document, build| Ok(Arc::new(ResponseLimiter::new(crate::config(PART.name, document)?, build)?)),
};
