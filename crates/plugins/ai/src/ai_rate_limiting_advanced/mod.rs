//! How many tokens, or how much money, somebody may use per window.
//!
//! What a call used is known when it is over, so it is counted then; with `reserve` an estimate is taken before the
//! call and put right after it. Counts lie on the node, or in Redis, with the node's own as the fallback.

mod config;
mod counts;
mod handler;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::TokenLimiter;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-rate-limiting-advanced",
    priority: 905,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::Log]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(TokenLimiter::new(crate::config(PART.name, document)?, build)?)),
};
