//! A model rewrites requests before they go upstream.

mod handler;

use std::sync::Arc;

use gibbon_pdk::{Part, Phase, Phases, Scopes};
use gibbon_schema::Schema;

use crate::config::Advice;
use handler::RequestTransformer;

/// The entry in the family's list.
pub const PART: Part = Part {
    name: "ai-request-transformer",
    priority: 777,
    version: crate::VERSION,
    phases: Phases::of(&[Phase::Access]),
    protocols: crate::HTTP,
    scopes: Scopes { route: true, service: true, consumer: false, consumer_group: true },
    schema: Advice::record,
    build: |document, build| Ok(Arc::new(RequestTransformer::new(&crate::config(PART.name, document)?, build)?)),
};
