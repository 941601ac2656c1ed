//! `basic-auth`: callers are known by user name and password (RFC 7617).
//!
//! [`handler`] checks passwords; [`attempts`] counts the failures, where that is configured.

mod attempts;
mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::BasicAuth;

pub const PART: Part = Part {
    name: "basic-auth",
    priority: 1100,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP_FAMILY,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, build: &Build<'_>) -> Built {
    Ok(Arc::new(BasicAuth::new(crate::identity::decode(PART.name, config)?, build)?))
}
