//! Sends spans of the gateway's own work to an OpenTelemetry collector, and takes part in the traces that requests
//! come with.
//!
//! Which work has spans is the node's setting (`tracing_instrumentations`): the engine records them, this plugin
//! decides per trace whether they are kept, tells the upstream, and sends them.

mod config;
mod handler;
mod logs;
mod metrics;
mod spans;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Protocol, Protocols};
use gibbon_schema::Schema;

use config::Config;
use handler::OpenTelemetry;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "opentelemetry",
    priority: 14,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter, Phase::Log]),
    protocols: Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https]),
    scopes: crate::SCOPES,
    schema: Config::record,
    build: |document, build| Ok(Arc::new(OpenTelemetry::new(&crate::config(PART.name, document)?, build))),
};
