//! `oauth2`: an authorization server (RFC 6749) for the routes it is on, and the check of its tokens.
//!
//! Paths that end in `/oauth2/authorize` and `/oauth2/token` are its endpoints: [`authorize`] hands out codes (and
//! tokens, for the implicit grant) on behalf of an application that has asked the end user; [`grants`] exchanges
//! codes, passwords, client secrets and refresh tokens for tokens. Everything else is a resource: [`handler`] lets it
//! be used with a token. Codes and tokens have a time to live and stay in the store ([`rows`]).

mod authorize;
mod client;
mod config;
mod grants;
mod handler;
mod parameters;
mod pkce;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;
use serde_json::Value;

use config::Config;
use handler::OAuth2;

pub const PART: Part = Part {
    name: "oauth2",
    priority: 1400,
    version: "3.10.0",
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP_FAMILY,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build,
};

fn build(config: &Value, build: &Build<'_>) -> Built {
    Ok(Arc::new(OAuth2::new(crate::identity::decode(PART.name, config)?, build)))
}
