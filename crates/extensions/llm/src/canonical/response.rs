//! A whole answer.

use super::{Extra, Part, Usage};
use serde_json::Value;

/// The answer to a [`Request`](super::Request).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Response {
    /// The provider's id, if it gave one.
    pub id: Option<String>,
    /// The model that answered, if the provider said so.
    pub model: Option<String>,
    /// When, in seconds since 1970, if the provider said so.
    pub created: Option<u64>,
    /// The alternatives; one, unless more were asked for.
    pub choices: Vec<Choice>,
    /// Tokens, if the provider counted them.
    pub usage: Option<Usage>,
    /// Fields the core does not know.
    pub extra: Extra,
}

/// One alternative.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choice {
    /// What the model said, in order.
    pub parts: Vec<Part>,
    /// Why it stopped.
    pub finish: Option<Finish>,
    /// Log probabilities, as OpenAI writes them.
    pub logprobs: Option<Value>,
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// It was done.
    Stop,
    /// It wrote one of the stop texts; which one, where the provider says.
    StopSequence(Option<String>),
    /// The token limit.
    Length,
    /// The context window is full.
    ContextWindow,
    /// It waits for tool results.
    ToolCalls,
    /// A filter or guard cut it off.
    ContentFilter,
    /// It refused.
    Refusal,
    /// A long turn was suspended and may be continued.
    Pause,
    /// Some other reason, in the provider's words.
    Other(String),
}
