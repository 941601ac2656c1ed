//! `hmac-auth`: callers sign requests with a secret that never travels.

mod config;
mod handler;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::HmacAuth;

pub const PART: Part = Part {
    name: "hmac-auth",
    priority: 1030,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP_FAMILY,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, _: &Build<'_>) -> Built {
    Ok(Arc::new(HmacAuth::new(crate::identity::decode(PART.name, config)?)))
}
