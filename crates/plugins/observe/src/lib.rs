//! Plugins that log, count and trace. One folder per plugin; [`PARTS`] is the list.
//!
//! What several of them share stands beside the folders: how entries wait ([`queue_settings`]), raw
//! connections ([`line`]), levels of syslog ([`severity`]), names in metrics ([`names`]), and for tracing the headers
//! ([`propagation`]), ids ([`ids`]) and OpenTelemetry's messages ([`otlp`]). The log entry
//! itself is the kit's.

mod custom_fields;
mod datadog;
mod datagrams;
mod digits;
mod file_log;
#[cfg(test)]
mod fixture;
mod http_log;
mod ids;
mod line;
mod loggly;
mod names;
mod opentelemetry;
mod otlp;
mod prometheus;
mod propagation;
mod queue_settings;
mod replaced;
mod severity;
mod statsd;
mod syslog;
mod tcp_log;
mod udp_log;
mod zipkin;

use gibbon_pdk::{BuildError, Part, Protocol, Protocols, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

/// The plugins of this family.
pub const PARTS: &[Part] = &[
    datadog::PART,
    file_log::PART,
    http_log::PART,
    loggly::PART,
    opentelemetry::PART,
    prometheus::PART,
    statsd::PART,
    syslog::PART,
    tcp_log::PART,
    udp_log::PART,
    zipkin::PART,
];

/// The Kong version whose plugins these are.
const VERSION: &str = "3.10.0";

/// How exporters introduce themselves.
const USER_AGENT: &str = concat!("gibbon/", env!("CARGO_PKG_VERSION"));

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

const SCOPES: Scopes = Scopes { route: true, service: true, consumer: true, consumer_group: false };

/// Reads a validated configuration.
fn config<C: Schema>(plugin: &str, document: &Value) -> Result<C, BuildError> {
    C::from_value(document).map_err(|error| BuildError { plugin: plugin.to_owned(), cause: error.to_string() })
}
