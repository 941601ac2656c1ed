//! `jwt`: callers are known by a signed token (RFC 7519) whose claims name the credential that verifies it.

mod algorithm;
mod config;
mod handler;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::Jwt;

pub const PART: Part = Part {
    name: "jwt",
    priority: 1450,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP_FAMILY,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, _: &Build<'_>) -> Built {
    Ok(Arc::new(Jwt::new(crate::identity::decode(PART.name, config)?)))
}
