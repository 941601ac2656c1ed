//! Embeddings and where they are kept. Nothing searches by meaning yet: the settings are read, and a configuration
//! that needs them is refused.

use gibbon_schema::Schema;

use super::{Auth, Redis};

/// Who makes embeddings.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "searching by meaning is still to come")]
pub struct Embeddings {
    /// How to prove who calls.
    #[schema(optional)]
    pub auth: Option<Auth>,
    /// The model.
    #[schema(required)]
    pub model: EmbeddingModel,
}

/// A model for embeddings.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "searching by meaning is still to come")]
pub struct EmbeddingModel {
    /// Who hosts it.
    #[schema(one_of("azure", "bedrock", "gemini", "huggingface", "mistral", "ollama", "openai"))]
    pub provider: String,
    /// Its name there.
    pub name: String,
    /// Addresses.
    #[schema(optional)]
    pub options: Option<EmbeddingOptions>,
}

/// Addresses of a model for embeddings.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "searching by meaning is still to come")]
pub struct EmbeddingOptions {
    /// Azure.
    #[schema(optional)]
    pub azure: Option<AzureEmbeddings>,
    /// Amazon.
    #[schema(optional)]
    pub bedrock: Option<super::Bedrock>,
    /// Google.
    #[schema(optional)]
    pub gemini: Option<GeminiEmbeddings>,
    /// Hugging Face.
    #[schema(optional)]
    pub huggingface: Option<super::HuggingFace>,
    /// Address of calls, in place of the provider's own.
    #[schema(typedef = gibbon_schema::typedefs::url(), optional)]
    pub upstream_url: Option<String>,
}

/// Azure.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "searching by meaning is still to come")]
pub struct AzureEmbeddings {
    /// Name of the resource.
    pub instance: Option<String>,
    /// Version of the API.
    #[schema(default = "2023-05-15")]
    pub api_version: Option<String>,
    /// Name of the deployment.
    pub deployment_id: Option<String>,
}

/// Google.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "searching by meaning is still to come")]
pub struct GeminiEmbeddings {
    /// Host of Vertex AI.
    pub api_endpoint: Option<String>,
    /// Project.
    pub project_id: Option<String>,
    /// Location.
    pub location_id: Option<String>,
}

/// A store of vectors.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "searching by meaning is still to come")]
pub struct VectorDb {
    /// Which store.
    #[schema(one_of("redis", "pgvector"))]
    pub strategy: String,
    /// Length of vectors.
    pub dimensions: u32,
    /// How distance is measured.
    #[schema(one_of("cosine", "euclidean"))]
    pub distance_metric: String,
    /// The largest distance that counts as near.
    pub threshold: Option<f64>,
    /// PostgreSQL.
    #[schema(required)]
    pub pgvector: PgVector,
    /// Redis.
    #[schema(required)]
    pub redis: Redis,
}

/// PostgreSQL with its extension for vectors.
#[derive(Schema, Debug)]
#[allow(dead_code, reason = "searching by meaning is still to come")]
pub struct PgVector {
    /// Where it listens.
    #[schema(default = "127.0.0.1")]
    pub host: String,
    /// Its port.
    #[schema(default = 5432)]
    pub port: u16,
    /// Who to log in as.
    #[schema(default = "postgres", referenceable)]
    pub user: String,
    /// The password.
    #[schema(referenceable, encrypted)]
    pub password: Option<String>,
    /// The database.
    #[schema(default = "kong-pgvector")]
    pub database: String,
    /// Milliseconds to wait.
    #[schema(default = 5000)]
    pub timeout: f64,
    /// Whether to speak TLS.
    #[schema(default = false)]
    pub ssl: bool,
    /// Whether nothing else will do.
    #[schema(default = false)]
    pub ssl_required: bool,
    /// Whether the server's certificate is verified.
    #[schema(default = true)]
    pub ssl_verify: bool,
    /// Version of TLS.
    #[schema(default = "tlsv1_2", one_of("tlsv1_2", "tlsv1_3", "any"))]
    pub ssl_version: String,
    /// Certificate to show.
    pub ssl_cert: Option<String>,
    /// Its key.
    pub ssl_cert_key: Option<String>,
}
