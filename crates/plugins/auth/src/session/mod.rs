//! `session`: a caller that another plugin recognised gets a cookie, and is recognised by it from then on.
//!
//! The cookie is that of lua-resty-session 4, byte for byte, so that sessions survive a move from Kong: [`seal`] knows
//! its layout and cryptography, [`jar`] how it is split over cookies, [`record`] what is inside and when it ends,
//! [`keeping`] the rows of server-side storage.

mod config;
mod handler;
mod jar;
mod keeping;
mod record;
mod seal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Protocol, Protocols, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::SessionPlugin;

pub const PART: Part = Part {
    name: "session",
    priority: 1900,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter]),
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
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, build: &Build<'_>) -> Built {
    Ok(Arc::new(SessionPlugin::new(crate::identity::decode(PART.name, config)?, build)))
}
