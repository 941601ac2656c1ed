//! Prompts that match a pattern are refused, or only those that match one are let through.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::PromptGuard;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-prompt-guard",
    priority: 771,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(PromptGuard::new(&crate::config(PART.name, document)?)?)),
};
