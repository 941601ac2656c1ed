//! Lets requests in, or keeps them out, by the address they come from.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Protocol, Protocols, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Restriction;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ip-restriction",
    priority: 990,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::Preread]),
    protocols: Protocols::of(&[
        Protocol::Grpc,
        Protocol::Grpcs,
        Protocol::Http,
        Protocol::Https,
        Protocol::Tcp,
        Protocol::Tls,
        Protocol::TlsPassthrough,
        Protocol::Udp,
    ]),
    scopes: Scopes::ALL,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Restriction::new(crate::config(PART.name, document)?)?)),
};
