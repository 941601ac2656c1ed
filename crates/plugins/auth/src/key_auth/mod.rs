//! `key-auth`: callers are known by a key that they send in a header, the query or the body.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::KeyAuth;

pub const PART: Part = Part {
    name: "key-auth",
    priority: 1250,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP_FAMILY,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, _: &Build<'_>) -> Built {
    Ok(Arc::new(KeyAuth::new(crate::identity::decode(PART.name, config)?)))
}
