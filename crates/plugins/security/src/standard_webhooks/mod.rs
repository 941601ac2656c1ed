//! Lets signed webhooks in, as the Standard Webhooks specification signs them, and nothing else.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Webhooks;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "standard-webhooks",
    priority: 760,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes { route: true, service: true, consumer: false, consumer_group: true },
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Webhooks::new(&crate::config(PART.name, document)?))),
};
