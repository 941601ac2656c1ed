//! Answers requests with what a function on AWS Lambda says.

mod answer;
mod config;
mod event;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_cloud::aws::Surroundings;
use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Lambda;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "aws-lambda",
    priority: 750,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| {
        let config: Config = crate::config(PART.name, document)?;
        Ok(Arc::new(Lambda::new(config, Surroundings::from(|name| std::env::var(name).ok()))))
    },
};
