//! `ldap-auth`: callers are known by a user name and password that an LDAP directory accepts.
//!
//! [`message`] writes and reads the few LDAP messages that takes, [`session`] speaks them over a connection, and
//! [`handler`] remembers the verdicts for a while.

mod config;
mod handler;
pub mod message;
mod session;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::LdapAuth;

pub const PART: Part = Part {
    name: "ldap-auth",
    priority: 1200,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP_FAMILY,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, build: &Build<'_>) -> Built {
    Ok(Arc::new(LdapAuth::new(crate::identity::decode(PART.name, config)?, build)))
}
