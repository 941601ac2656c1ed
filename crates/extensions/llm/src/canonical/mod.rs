//! The one form that every dialect converts to and from: requests, answers, stream events,
//! failures, embeddings and model lists, in no provider's wording.
//!
//! It is a typed core plus what the core does not know: unknown fields ride along in [`Extra`],
//! tagged with the dialect they came from, so that they return when the same dialect is written
//! again and are never mistaken for another dialect's. Nothing here reads or writes bytes.

mod assemble;
mod embedding;
mod event;
mod failure;
mod models;
mod part;
mod request;
mod response;
mod usage;

pub use assemble::{Assembler, events_of};
pub use embedding::{EmbeddingEncoding, EmbeddingInput, EmbeddingRequest, EmbeddingResponse, EmbeddingTask};
pub use event::{Delta, Event, PartOpen};
pub use failure::{Failure, FailureKind};
pub use models::ModelEntry;
pub use part::{CacheMarker, Media, Modality, Part, PartKind, Source};
pub use request::{Effort, Message, Output, Reasoning, Request, Role, Sampling, Tool, ToolChoice, ToolKind};
pub use response::{Choice, Finish, Response};
pub use usage::Usage;

use crate::dialect::Dialect;
use serde_json::{Map, Value};

/// Fields without a canonical meaning, kept for the dialect that knows them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Extra {
    /// Whose fields these are; `None` while there are none.
    pub dialect: Option<Dialect>,
    /// The fields as they came.
    pub fields: Map<String, Value>,
}

impl Extra {
    /// The left-over fields of an object of `dialect`.
    #[must_use]
    pub fn new(dialect: Dialect, fields: Map<String, Value>) -> Self {
        let dialect = if fields.is_empty() { None } else { Some(dialect) };
        Self { dialect, fields }
    }

    /// The fields if they are `dialect`'s own.
    #[must_use]
    pub fn of(&self, dialect: Dialect) -> Option<&Map<String, Value>> {
        (self.dialect == Some(dialect)).then_some(&self.fields)
    }

    /// Nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}
