//! Settings of ai-proxy.

use gibbon_schema::Schema;

use crate::config::{Auth, LlmFormat, Logging, Model, Streaming, Target, header_pair, needs, no_override};
use crate::config::{parameter_triple, route_type, statistics};

/// A model, how to prove who calls, and what clients may do.
#[derive(Schema, Debug)]
#[schema(check = no_override())]
#[schema(check = header_pair())]
#[schema(check = parameter_triple())]
#[schema(check = needs("llama2", &["model.options.llama2_format"], "must set %s for llama2 provider"))]
#[schema(check = needs("mistral", &["model.options.mistral_format"], "must set %s for mistral provider"))]
#[schema(check = needs("anthropic", &["model.options.anthropic_version"], "must set %s for anthropic provider"))]
#[schema(check = needs("azure", &["model.options.azure_instance"], "must set %s for azure provider"))]
#[schema(check = needs("azure", &["model.options.azure_api_version"], "must set %s for azure provider"))]
#[schema(check = needs("azure", &["model.options.azure_deployment_id"], "must set %s for azure provider"))]
#[schema(check = needs("llama2", &["model.options.upstream_url"], "must set %s for self-hosted providers/models"))]
#[schema(check = statistics())]
#[allow(dead_code, reason = "the category only describes the route type")]
pub struct Config {
    /// What the route is for.
    #[schema(typedef = route_type())]
    pub route_type: String,
    /// How to prove who calls.
    #[schema(optional)]
    pub auth: Option<Auth>,
    /// The model.
    #[schema(required)]
    pub model: Model,
    /// What is logged.
    #[schema(required)]
    pub logging: Logging,
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
    /// What kind of content the route is for.
    #[schema(
        default = "text/generation",
        one_of(
            "text/generation",
            "text/embeddings",
            "audio/speech",
            "audio/transcription",
            "image/generation",
            "video/generation"
        )
    )]
    pub genai_category: String,
}

impl Config {
    /// The one target.
    pub fn target(&self) -> Target {
        Target {
            route_type: self.route_type.clone(),
            auth: self.auth.clone(),
            model: self.model.clone(),
            logging: self.logging,
            description: None,
            metadata: serde_json::Value::Null,
            weight: 100,
        }
    }
}
