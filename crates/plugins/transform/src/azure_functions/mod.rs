//! Answers requests with what a function on Azure says.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Function;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "azure-functions",
    priority: 749,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::ALL,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Function::new(crate::config(PART.name, document)?))),
};
