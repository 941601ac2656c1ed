//! Lets browsers call gRPC services: takes gRPC-Web (in binary, text or JSON) and plain JSON, and speaks gRPC with the
//! service.

mod config;
mod handler;
mod media;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Translator;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "grpc-web",
    priority: 3,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter, Phase::BodyFilter]),
    protocols: crate::ALL,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Translator::new(crate::config(PART.name, document)?))),
};
