//! Blocks of configuration that several plugins share: how to prove who calls, which model, what to log. Names,
//! defaults and checks are those of Kong's plugins.

mod advice;
mod auth;
mod clients;
mod model;
mod vector;

pub use advice::Advice;
pub use auth::{Auth, ParamLocation};
pub use clients::Clients;
pub use gibbon_pdk::redis::Pooled as Redis;
pub use model::{Bedrock, HuggingFace, LlamaFormat, MistralFormat, Model, Options};
pub use vector::{Embeddings, VectorDb};

use gibbon_schema::{Field, Record, Schema, checks, checks::EntityCheck};
use serde_json::{Map, Value};

/// What is written about calls.
#[derive(Schema, Debug, Clone, Copy, Default)]
pub struct Logging {
    /// Whether tokens, costs and latencies go to the log.
    #[schema(required, default = false)]
    pub log_statistics: bool,
    /// Whether whole prompts and answers go to the log.
    #[schema(required, default = false)]
    pub log_payloads: bool,
}

/// What clients speak.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlmFormat {
    Openai,
    Bedrock,
    Gemini,
    Anthropic,
    Cohere,
    Huggingface,
}

impl LlmFormat {
    /// The name in configuration.
    pub fn name(self) -> &'static str {
        match self {
            LlmFormat::Openai => "openai",
            LlmFormat::Bedrock => "bedrock",
            LlmFormat::Gemini => "gemini",
            LlmFormat::Anthropic => "anthropic",
            LlmFormat::Cohere => "cohere",
            LlmFormat::Huggingface => "huggingface",
        }
    }
}

/// Whether answers may, must or must not come piece by piece.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streaming {
    Allow,
    Deny,
    Always,
}

/// What a route is for.
pub fn route_type() -> Field {
    Field::string().required().one_of([
        "llm/v1/chat",
        "llm/v1/completions",
        "preserve",
        "llm/v1/embeddings",
        "llm/v1/responses",
        "llm/v1/assistants",
        "llm/v1/files",
        "llm/v1/batches",
        "audio/v1/audio/speech",
        "audio/v1/audio/transcriptions",
        "audio/v1/audio/translations",
        "image/v1/images/generations",
        "image/v1/images/edits",
        "video/v1/videos/generations",
        "realtime/v1/realtime",
    ])
}

/// A model at a provider, with all that a call needs.
#[derive(Schema, Debug, Clone)]
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
#[allow(dead_code, reason = "choosing by meaning is still to come")]
pub struct Target {
    /// What the calls are for.
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
    /// What the model is good at, for choosing by meaning.
    pub description: Option<String>,
    /// Anything to keep with the target.
    #[schema(optional)]
    pub metadata: Value,
    /// The share of calls.
    #[schema(default = 100, between(1, 65535))]
    pub weight: u16,
}

pub fn no_override() -> EntityCheck {
    checks::conditional(
        "model.provider",
        Field::condition().one_of(["bedrock", "gemini"]),
        "auth.allow_override",
        Field::condition().eq(false),
    )
    .then_err("bedrock and gemini only support auth.allow_override = false")
}

pub fn header_pair() -> EntityCheck {
    checks::mutually_required(&["auth.header_name", "auth.header_value"])
}

pub fn parameter_triple() -> EntityCheck {
    checks::mutually_required(&["auth.param_name", "auth.param_value", "auth.param_location"])
}

pub fn needs(provider: &'static str, fields: &[&'static str], message: &'static str) -> EntityCheck {
    checks::conditional_at_least_one_of("model.provider", Field::condition().one_of([provider]), fields, message)
}

/// Anthropic's completions count no tokens.
pub fn statistics() -> EntityCheck {
    checks::custom("statistics", &["route_type", "model", "logging"], |config: &Map<String, Value>| {
        let text = |field: &str, inner: &str| config.get(field).and_then(|f| f.get(inner));
        let counts = text("logging", "log_statistics") == Some(&Value::Bool(true));
        let anthropic = text("model", "provider").and_then(Value::as_str) == Some("anthropic");
        if counts && anthropic && config.get("route_type").and_then(Value::as_str) == Some("llm/v1/completions") {
            return Err("anthropic does not support statistics when route_type is llm/v1/completions".to_owned());
        }
        Ok(())
    })
}

/// Two parts of a configuration as one.
pub fn joined(mut first: Record, second: Record) -> Record {
    first.fields.extend(second.fields);
    first.checks.extend(second.checks);
    first.plugin_checks.extend(second.plugin_checks);
    first
}
