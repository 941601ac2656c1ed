//! Which model, at which provider, with which parameters and at what price.

use gibbon_schema::{Deprecation, Field, Schema, checks, typedefs};

/// The providers that Kong's plugins know.
pub const PROVIDERS: [&str; 16] = [
    "openai",
    "azure",
    "anthropic",
    "cohere",
    "mistral",
    "llama2",
    "gemini",
    "bedrock",
    "huggingface",
    "ollama",
    "xai",
    "deepseek",
    "cerebras",
    "dashscope",
    "databricks",
    "vllm",
];

/// The field that names a provider: Kong's, and the presets of our own.
pub fn provider_field() -> Field {
    let known = |name: &&str| PROVIDERS.contains(name);
    let ours = gibbon_llm::provider::PRESETS.iter().map(|p| p.name).filter(|name| !known(name));
    Field::string().required().one_of(PROVIDERS).also_one_of(ours)
}

/// A model at a provider.
#[derive(Schema, Debug, Clone)]
pub struct Model {
    /// Who hosts the model.
    #[schema(typedef = provider_field())]
    pub provider: String,
    /// Its name there; without one, clients name it.
    pub name: Option<String>,
    /// What clients may call it.
    pub model_alias: Option<String>,
    /// Parameters, addresses and prices.
    #[schema(optional)]
    pub options: Option<Options>,
}

/// Parameters, addresses and prices of a model.
#[derive(Schema, Debug, Clone, Default)]
#[allow(dead_code, reason = "some settings are for routes that are refused so far")]
pub struct Options {
    /// Bound of answers in tokens, over the client's.
    pub max_tokens: Option<u64>,
    /// Price of a million prompt tokens.
    #[schema(gt = 0)]
    pub input_cost: Option<f64>,
    /// Price of a million answer tokens.
    #[schema(gt = 0)]
    pub output_cost: Option<f64>,
    /// Price of a million prompt tokens read from the provider's cache.
    pub cache_read_cost: Option<f64>,
    /// Price of a million prompt tokens written to it.
    pub cache_write_cost: Option<f64>,
    /// The same by how long they are kept.
    pub cache_write_cost_list: Option<Vec<CacheWriteCost>>,
    /// Factors on prices for long prompts.
    pub context_window_factor: Option<Vec<ContextWindowFactor>>,
    /// Factors on prices by the tier that served a call.
    pub service_tier_factor: Option<Vec<ServiceTierFactor>>,
    /// Randomness, over the client's.
    #[schema(between(0, 5))]
    pub temperature: Option<f64>,
    /// Nucleus sampling, over the client's.
    #[schema(between(0, 1))]
    pub top_p: Option<f64>,
    /// Sampling from the k likeliest tokens, over the client's.
    #[schema(between(0, 500))]
    pub top_k: Option<u64>,
    /// Length of embeddings.
    pub embeddings_dimensions: Option<u64>,
    /// Version of Anthropic's API.
    pub anthropic_version: Option<String>,
    /// Name of the Azure resource.
    pub azure_instance: Option<String>,
    /// Version of Azure's API.
    #[schema(default = "2023-05-15")]
    pub azure_api_version: Option<String>,
    /// Name of the Azure deployment.
    pub azure_deployment_id: Option<String>,
    /// What a server of Llama speaks.
    pub llama2_format: Option<LlamaFormat>,
    /// What a server of Mistral's models speaks.
    pub mistral_format: Option<MistralFormat>,
    /// Scheme, host, port and path of calls, in place of the provider's own.
    #[schema(typedef = typedefs::url(), optional)]
    pub upstream_url: Option<String>,
    /// Path of calls, in place of the provider's own.
    #[schema(typedef = upstream_path(), optional)]
    pub upstream_path: Option<String>,
    /// Google.
    #[schema(optional)]
    pub gemini: Option<Gemini>,
    /// Amazon.
    #[schema(optional)]
    pub bedrock: Option<Bedrock>,
    /// Hugging Face.
    #[schema(optional)]
    pub huggingface: Option<HuggingFace>,
    /// Cohere.
    #[schema(optional)]
    pub cohere: Option<Cohere>,
    /// Alibaba.
    #[schema(optional)]
    pub dashscope: Option<Dashscope>,
    /// Databricks.
    #[schema(optional)]
    pub databricks: Option<Databricks>,
}

fn upstream_path() -> Field {
    let message =
        "llm: config.model.options.upstream_path is deprecated, please use config.model.options.upstream_url instead";
    Field::string().deprecated(Deprecation {
        message: message.into(),
        removal_in_version: Some("4.0".into()),
        ..Deprecation::default()
    })
}

/// A price of cached tokens by how long they are kept.
#[derive(Schema, Debug, Clone)]
pub struct CacheWriteCost {
    /// How long, such as `5m` or `1h`.
    pub ttl: String,
    /// Price of a million tokens.
    pub cost: f64,
}

/// Factors on prices for long prompts.
#[derive(Schema, Debug, Clone)]
pub struct ContextWindowFactor {
    /// For prompts of more tokens than this, such as `200k`.
    pub above: String,
    /// On prices of prompts.
    pub input_factor: f64,
    /// On prices of answers.
    pub output_factor: f64,
}

/// A factor on prices by service tier.
#[derive(Schema, Debug, Clone)]
pub struct ServiceTierFactor {
    /// Part of the tier's name as the provider writes it.
    #[schema(len_min = 1)]
    pub tier: String,
    /// On all prices.
    pub factor: f64,
}

/// What a server of Llama speaks.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum LlamaFormat {
    Raw,
    Openai,
    Ollama,
}

/// What a server of Mistral's models speaks.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum MistralFormat {
    Openai,
    Ollama,
}

/// Google: with a project, Vertex AI.
#[derive(Schema, Debug, Clone)]
#[schema(check = checks::mutually_required(&["api_endpoint", "project_id", "location_id"]))]
pub struct Gemini {
    /// Host of Vertex AI.
    pub api_endpoint: Option<String>,
    /// Project.
    pub project_id: Option<String>,
    /// Location.
    pub location_id: Option<String>,
    /// An endpoint of one's own in place of a published model.
    pub endpoint_id: Option<String>,
}

/// Amazon Bedrock.
#[derive(Schema, Debug, Clone)]
#[allow(dead_code, reason = "some settings are for routes that are refused so far")]
pub struct Bedrock {
    /// Region; else the environment's `AWS_REGION`.
    pub aws_region: Option<String>,
    /// Role to take.
    pub aws_assume_role_arn: Option<String>,
    /// What the session in that role is called.
    pub aws_role_session_name: Option<String>,
    /// The token service's address, if not the region's own.
    pub aws_sts_endpoint_url: Option<String>,
    /// Where batches lie.
    pub batch_bucket_prefix: Option<String>,
    /// Role that batches run in.
    pub batch_role_arn: Option<String>,
    /// Whether embeddings are scaled to length one.
    #[schema(default = false)]
    pub embeddings_normalize: bool,
    /// `standard` or `optimized`.
    pub performance_config_latency: Option<String>,
    /// Where videos are put.
    pub video_output_s3_uri: Option<String>,
}

/// Hugging Face.
#[derive(Schema, Debug, Clone)]
#[allow(dead_code, reason = "some settings are for routes that are refused so far")]
pub struct HuggingFace {
    /// Whether answers may come from its cache.
    pub use_cache: Option<bool>,
    /// Whether to wait for a model that is being loaded.
    pub wait_for_model: Option<bool>,
}

/// Cohere.
#[derive(Schema, Debug, Clone)]
#[allow(dead_code, reason = "some settings are for routes that are refused so far")]
pub struct Cohere {
    /// What embeddings are for.
    #[schema(
        default = "classification",
        one_of("classification", "clustering", "image", "search_document", "search_query")
    )]
    pub embedding_input_type: String,
    /// Whether to wait for a model that is being loaded.
    pub wait_for_model: Option<bool>,
}

/// Dashscope.
#[derive(Schema, Debug, Clone)]
pub struct Dashscope {
    /// Whether the international host is used.
    #[schema(default = true)]
    pub international: bool,
}

/// Databricks.
#[derive(Schema, Debug, Clone)]
pub struct Databricks {
    /// The workspace, the first part of its host's name.
    pub workspace_instance_id: Option<String>,
}
