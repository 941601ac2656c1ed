//! Keeps known robots out by their User-Agent, as far as they say who they are.

mod config;
mod handler;
mod robots;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::BotDetection;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "bot-detection",
    priority: 2500,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(BotDetection::new(&crate::config(PART.name, document)?)?)),
};
