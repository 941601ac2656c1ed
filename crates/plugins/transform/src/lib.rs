//! Plugins that change requests and answers on their way, into another protocol or into the call of a function. One
//! folder per plugin; [`PARTS`] is the list.
//!
//! Both transformers write their changes as `name:value` pairs ([`pair`]) and apply them in one order:
//! remove, rename, replace, add, append.

mod aws_lambda;
mod azure_functions;
mod body;
mod grpc;
mod grpc_gateway;
mod grpc_web;
mod hop;
mod multipart;
mod pair;
mod request_transformer;
mod response_transformer;

use gibbon_pdk::{BuildError, Part, Protocol, Protocols};
use gibbon_schema::Schema;
use serde_json::Value;

/// The plugins of this family.
pub const PARTS: &[Part] = &[
    aws_lambda::PART,
    azure_functions::PART,
    grpc_gateway::PART,
    grpc_web::PART,
    request_transformer::PART,
    response_transformer::PART,
];

/// The Kong version whose plugins these are.
const VERSION: &str = "3.10.0";

/// HTTP and gRPC, plain and over TLS.
const HTTP: Protocols = Protocols::of(&[Protocol::Grpc, Protocol::Grpcs, Protocol::Http, Protocol::Https]);

/// Everything but WebSocket, which Kong's open plugins do not name.
const ALL: Protocols = Protocols::of(&[
    Protocol::Grpc,
    Protocol::Grpcs,
    Protocol::Http,
    Protocol::Https,
    Protocol::Tcp,
    Protocol::Tls,
    Protocol::TlsPassthrough,
    Protocol::Udp,
]);

/// Reads a validated configuration.
fn config<C: Schema>(plugin: &str, document: &Value) -> Result<C, BuildError> {
    C::from_value(document).map_err(|error| BuildError { plugin: plugin.to_owned(), cause: error.to_string() })
}
