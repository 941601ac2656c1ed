//! A request to a model.

use super::{CacheMarker, Extra, Modality, Part};
use crate::dialect::Dialect;
use serde_json::{Map, Number, Value};

/// A request for a chat answer or a text completion.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// The model, as the client or the gateway named it. Empty when nobody did.
    pub model: String,
    /// The conversation, system instructions included, in order.
    pub messages: Vec<Message>,
    /// The tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, must or must not.
    pub tool_choice: Option<ToolChoice>,
    /// Several calls in one answer; `None` leaves it to the provider.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer.
    pub output: Option<Output>,
    /// Length, randomness, stop words.
    pub sampling: Sampling,
    /// How much the model should think.
    pub reasoning: Option<Reasoning>,
    /// Kinds of content wanted back; empty for the default, text.
    pub modalities: Vec<Modality>,
    /// Answer piece by piece.
    pub stream: bool,
    /// Send the usage in the stream.
    pub include_usage: bool,
    /// The end user, for the provider's abuse detection.
    pub user: Option<String>,
    /// Key-value pairs stored with the request.
    pub metadata: Option<Map<String, Value>>,
    /// Processing tier, in the provider's words.
    pub service_tier: Option<String>,
    /// Fields the core does not know.
    pub extra: Extra,
}

impl Request {
    /// The system instructions: parts of all system and developer messages, in order.
    pub fn system(&self) -> impl Iterator<Item = &Part> {
        self.messages.iter().filter(|m| m.role.is_instruction()).flat_map(|m| &m.parts)
    }

    /// The messages that are not system instructions.
    pub fn conversation(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().filter(|m| !m.role.is_instruction())
    }

    /// The name of the tool a call id belongs to, looked up in the conversation.
    #[must_use]
    pub fn tool_of_call(&self, call_id: &str) -> Option<&str> {
        use super::PartKind::ToolCall;
        self.messages.iter().rev().flat_map(|m| &m.parts).find_map(|p| match &p.kind {
            ToolCall { id, name, .. } if id == call_id => Some(name.as_str()),
            _ => None,
        })
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions.
    System,
    /// Instructions, in the newer OpenAI wording.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool.
    Tool,
}

impl Role {
    /// System or developer.
    #[must_use]
    pub fn is_instruction(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }
}

/// One turn of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
    /// The speaker's name, where the dialect has one.
    pub name: Option<String>,
    /// Fields the core does not know.
    pub extra: Extra,
}

impl Message {
    /// A message without name or extra fields.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, parts, name: None, extra: Extra::default() }
    }
}

/// A tool the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// What it is.
    pub kind: ToolKind,
    /// Cache the prompt up to and including this tool.
    pub cache: Option<CacheMarker>,
    /// Fields the core does not know.
    pub extra: Extra,
}

/// The kinds of tools.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolKind {
    /// A function the client runs.
    Function {
        /// Its name.
        name: String,
        /// What it does.
        description: Option<String>,
        /// JSON Schema of its arguments.
        parameters: Option<Value>,
        /// Arguments must follow the schema exactly.
        strict: Option<bool>,
    },
    /// A tool the provider runs itself, known to one dialect only.
    Native {
        /// The dialect.
        dialect: Dialect,
        /// The tool as it came.
        value: Value,
    },
}

/// Whether the model calls tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it sees fit.
    Auto,
    /// Never.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(String),
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Free text.
    Text,
    /// Some JSON object.
    Json,
    /// JSON that follows a schema.
    Schema {
        /// A name for the schema, where the dialect wants one.
        name: Option<String>,
        /// What the answer is for.
        description: Option<String>,
        /// The JSON Schema.
        schema: Value,
        /// Follow it exactly.
        strict: Option<bool>,
    },
}

/// Length, randomness and stop words. Numbers stay as they were written (`1` does not turn into
/// `1.0`); ranges are the provider's to check.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampling {
    /// Upper bound of the answer in tokens.
    pub max_tokens: Option<u64>,
    /// Randomness.
    pub temperature: Option<Number>,
    /// Nucleus sampling.
    pub top_p: Option<Number>,
    /// Sample from the k likeliest tokens.
    pub top_k: Option<Number>,
    /// Penalty for tokens by frequency.
    pub frequency_penalty: Option<Number>,
    /// Penalty for tokens already there.
    pub presence_penalty: Option<Number>,
    /// Best-effort repeatability.
    pub seed: Option<Number>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Number of alternative answers.
    pub n: Option<u64>,
    /// Return log probabilities.
    pub logprobs: Option<bool>,
    /// How many per token.
    pub top_logprobs: Option<u64>,
    /// Bias by token id.
    pub logit_bias: Option<Map<String, Value>>,
}

/// How hard to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// As little as the model can.
    Minimal,
    /// A little.
    Low,
    /// The middle.
    Medium,
    /// A lot.
    High,
    /// More.
    XHigh,
    /// All the model has.
    Max,
}

impl Effort {
    /// The word most dialects use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::None, Self::Minimal, Self::Low, Self::Medium, Self::High, Self::XHigh, Self::Max]
            .into_iter()
            .find(|e| e.as_str() == word)
    }

    /// The token budget that stands for this effort where a dialect wants a number.
    #[must_use]
    pub fn budget(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Minimal | Self::Low => 1024,
            Self::Medium => 2048,
            Self::High => 4096,
            Self::XHigh => 8192,
            Self::Max => 16384,
        }
    }

    /// The smallest effort whose budget holds `tokens`.
    #[must_use]
    pub fn of_budget(tokens: u64) -> Self {
        match tokens {
            0 => Self::None,
            1..=1024 => Self::Low,
            1025..=2048 => Self::Medium,
            2049..=4096 => Self::High,
            4097..=8192 => Self::XHigh,
            _ => Self::Max,
        }
    }
}

/// How much the model should think, and whether to show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// By word.
    pub effort: Option<Effort>,
    /// By number of tokens.
    pub budget: Option<u64>,
    /// Let the model decide (Anthropic's adaptive, Gemini's budget of -1).
    pub adaptive: bool,
    /// Show the thoughts: `auto`, `concise`, `detailed`.
    pub summary: Option<String>,
}

impl Reasoning {
    /// Thinking is switched off in so many words.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.effort == Some(Effort::None) || self.budget == Some(0)
    }

    /// The budget in tokens, from the number or the word.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        self.budget.or_else(|| self.effort.map(Effort::budget))
    }

    /// The effort, from the word or the number.
    #[must_use]
    pub fn word(&self) -> Option<Effort> {
        self.effort.or_else(|| self.budget.map(Effort::of_budget))
    }
}
