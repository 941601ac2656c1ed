//! Settings of ai-prompt-decorator.

use gibbon_schema::{Schema, checks};

use crate::config::LlmFormat;

/// The messages.
#[derive(Schema, Debug)]
#[schema(plugin_check = checks::at_least_one_of(&["config.prompts.prepend", "config.prompts.append"]))]
pub struct Config {
    /// The messages.
    #[schema(required)]
    pub prompts: Prompts,
    /// The longest request in bytes; longer ones get 413.
    #[schema(default = 1_048_576, gt = 0)]
    pub max_request_body_size: u64,
    /// What clients speak.
    #[schema(default = "openai")]
    pub llm_format: LlmFormat,
}

/// Messages by place.
#[derive(Schema, Debug)]
pub struct Prompts {
    /// Before the client's.
    #[schema(len_max = 15)]
    pub prepend: Option<Vec<Prompt>>,
    /// Behind them.
    #[schema(len_max = 15)]
    pub append: Option<Vec<Prompt>>,
}

/// A message.
#[derive(Schema, Debug, Clone)]
pub struct Prompt {
    /// Who speaks.
    #[schema(required, default = "system")]
    pub role: Role,
    /// What is said.
    #[schema(len_min = 1, len_max = 100_000)]
    pub content: String,
}

/// Who speaks.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    Assistant,
    User,
}
