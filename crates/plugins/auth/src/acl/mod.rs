//! `acl`: who may pass, by the groups of the caller. It decides about callers that other plugins recognised.

mod config;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::Acl;

pub const PART: Part = Part {
    name: "acl",
    priority: 950,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP_FAMILY,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, build: &Build<'_>) -> Built {
    Ok(Arc::new(Acl::new(crate::identity::decode(PART.name, config)?, Arc::clone(&build.scripting))))
}
