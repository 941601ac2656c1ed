//! A model rewrites answers before clients get them. Answers are buffered for it: nothing streams here.

mod config;
mod handler;
mod instructions;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use crate::config::{Advice, joined};
use config::Config;
use handler::ResponseTransformer;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-response-transformer",
    priority: 768,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Response]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: || joined(Advice::record(), Config::record()),
    build: |document, build| {
        let (own, advice) = (crate::config(PART.name, document)?, crate::config(PART.name, document)?);
        Ok(Arc::new(ResponseTransformer::new(&own, &advice, build)?))
    },
};
