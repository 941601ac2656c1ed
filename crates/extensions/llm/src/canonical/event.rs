//! A streamed answer, event by event.
//!
//! Parts are numbered per choice in the order in which they begin. A decoder may begin a part
//! before an earlier one has ended (OpenAI's parallel tool calls); writers that need them one after
//! the other put them in line first.

use super::{Failure, Finish, Part, Usage};

/// One step of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer begins. Sent once, before everything but `Failure`.
    Start {
        /// The provider's id, if it gave one.
        id: Option<String>,
        /// The model that answers, if the provider said so.
        model: Option<String>,
        /// When, in seconds since 1970, if the provider said so.
        created: Option<u64>,
    },
    /// A part begins.
    PartStart {
        /// The alternative it belongs to.
        choice: u32,
        /// Its number.
        part: u32,
        /// What it is.
        open: PartOpen,
    },
    /// A part grows.
    Delta {
        /// The alternative it belongs to.
        choice: u32,
        /// Its number.
        part: u32,
        /// By what.
        delta: Delta,
    },
    /// A part is whole.
    PartEnd {
        /// The alternative it belongs to.
        choice: u32,
        /// Its number.
        part: u32,
    },
    /// An alternative is whole.
    Finish {
        /// Which.
        choice: u32,
        /// Why.
        finish: Finish,
    },
    /// Tokens so far: replaces what was reported before, never adds to it.
    Usage(Usage),
    /// The provider failed in mid-stream. Nothing follows.
    Failure(Failure),
    /// The answer is complete. Nothing follows.
    End,
}

/// What kind of part begins.
#[derive(Debug, Clone, PartialEq)]
pub enum PartOpen {
    /// Text.
    Text,
    /// Reasoning.
    Reasoning,
    /// A refusal.
    Refusal,
    /// A tool call.
    ToolCall {
        /// Pairs the call with its result.
        id: String,
        /// The tool.
        name: String,
        /// An opaque signature that must come back with the call.
        signature: Option<String>,
    },
    /// A part that comes whole (an image, a redacted thought, what only its dialect knows).
    Whole(Box<Part>),
}

/// What a part grows by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delta {
    /// Text, of a text, reasoning or refusal part.
    Text(String),
    /// A piece of a tool call's arguments.
    Arguments(String),
    /// The signature of a reasoning part.
    Signature(String),
}
