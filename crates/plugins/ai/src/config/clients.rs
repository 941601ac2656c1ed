//! What clients speak and may do: the same in both proxies.

use gibbon_schema::Schema;

use super::{LlmFormat, Streaming};

/// What clients speak and may do.
#[derive(Schema, Debug, Clone)]
pub struct Clients {
    /// Whether answers may, must or must not come piece by piece.
    #[schema(default = "allow")]
    pub response_streaming: Streaming,
    /// The longest request in bytes; longer ones get 413.
    #[schema(default = 1_048_576, gt = 0)]
    pub max_request_body_size: u64,
    /// Whether answers name provider and model in `X-Kong-LLM-Model`.
    #[schema(default = true)]
    pub model_name_header: bool,
    /// What clients speak.
    #[schema(default = "openai")]
    pub llm_format: LlmFormat,
}
