//! Tells browsers which pages of other origins may use what is behind the gateway.
//!
//! A preflight is answered here; other answers get the headers on their way out, errors included. The rules are those
//! of the Fetch standard, with Kong's choices where it leaves them open.

mod config;
mod handler;
mod origins;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Cors;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "cors",
    priority: 2000,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access, Phase::HeaderFilter]),
    protocols: crate::HTTP,
    scopes: Scopes::NO_CONSUMER,
    schema: Config::record,
    build: |document, _| Ok(Arc::new(Cors::new(&crate::config(PART.name, document)?)?)),
};
