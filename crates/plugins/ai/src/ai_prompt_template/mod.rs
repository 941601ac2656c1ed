//! Prompts that the gateway knows and clients only fill in.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::PromptTemplate;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-prompt-template",
    priority: 773,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(PromptTemplate::new(crate::config(PART.name, document)?))),
};
