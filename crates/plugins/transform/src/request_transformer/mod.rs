//! Changes a request before it is forwarded: path, method, headers, body and query string.

mod body;
mod config;
mod handler;
mod query;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use config::Config;
use handler::Transformer;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "request-transformer",
    priority: 801,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::ALL,
    scopes: Scopes { route: true, service: true, consumer: true, consumer_group: true },
    schema: Config::record,
    build: |document, build| {
        let config = crate::config::<Config>(PART.name, document)?;
        Ok(Arc::new(Transformer::new(config, &*build.scripting)?))
    },
};
