//! Changes an answer on its way to the client: headers, and the top level of a JSON body.

mod config;
mod handler;
mod json;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Transformer;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "response-transformer",
    priority: 800,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::HeaderFilter, Phase::BodyFilter]),
    protocols: crate::HTTP,
    scopes: Scopes { route: true, service: true, consumer: true, consumer_group: true },
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Transformer::new(&crate::config::<Config>(PART.name, document)?))),
};
