//! Settings of ai-proxy.

use gibbon_schema::Schema;

use crate::config::{Auth, Logging, Model, Target, header_pair, needs, no_override};
use crate::config::{parameter_triple, route_type, statistics};

/// A model, and how to prove who calls. What clients may do stands beside it.
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
