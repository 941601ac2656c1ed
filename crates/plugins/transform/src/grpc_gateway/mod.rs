//! Lets HTTP clients call gRPC services, as `google.api.http` annotations in a `.proto` file say.

mod bindings;
mod config;
mod handler;
mod path;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Gateway;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "grpc-gateway",
    priority: 998,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter, Phase::BodyFilter]),
    protocols: crate::ALL,
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Gateway::new(&crate::config::<Config>(PART.name, document)?))),
};
