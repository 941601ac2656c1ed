//! Plugins that guard what is behind them: origins, addresses, robots, signed webhooks, certificates. One folder per
//! plugin; [`PARTS`] is the list.
//!
//! [`pattern`] stands beside the folders: regular expressions of configurations, run on what clients send.

mod acme;
mod bot_detection;
mod cors;
mod ip_restriction;
mod pattern;
mod standard_webhooks;

use gibbon_pdk::{AdminRoot, BuildError, NodeState, Part, Protocol, Protocols};
use gibbon_schema::Schema;
use serde_json::Value;

/// The plugins of this family.
pub const PARTS: &[Part] =
    &[acme::PART, bot_detection::PART, cors::PART, ip_restriction::PART, standard_webhooks::PART];

/// Paths that this family adds to the Admin API of a node.
pub fn admin_paths(state: &dyn NodeState) -> Vec<AdminRoot> {
    vec![acme::admin_paths(state)]
}

/// The Kong version whose plugins these are.
const VERSION: &str = "3.10.0";

/// HTTP and gRPC, plain and over TLS.
const HTTP: Protocols = Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https]);

/// Reads a validated configuration.
fn config<C: Schema>(plugin: &str, document: &Value) -> Result<C, BuildError> {
    C::from_value(document).map_err(|error| BuildError { plugin: plugin.to_owned(), cause: error.to_string() })
}
