//! Messages of the gateway's own before and behind those of the client.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::PromptDecorator;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-prompt-decorator",
    priority: 772,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(PromptDecorator::new(crate::config(PART.name, document)?))),
};
