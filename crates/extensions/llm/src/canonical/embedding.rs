//! Embeddings: texts in, vectors out.

use super::{Extra, Usage};

/// A request for embeddings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingRequest {
    /// The model. Empty when nobody named one.
    pub model: String,
    /// What to embed, in order.
    pub input: Vec<EmbeddingInput>,
    /// Length of the vectors; `None` for the model's own.
    pub dimensions: Option<u64>,
    /// How the vectors are written.
    pub encoding: Option<EmbeddingEncoding>,
    /// What they are for, where a provider distinguishes.
    pub task: Option<EmbeddingTask>,
    /// Scale vectors to length one (Titan).
    pub normalize: Option<bool>,
    /// The client asked for one vector, not for a list of them.
    pub single: bool,
    /// The end user.
    pub user: Option<String>,
    /// Fields the core does not know.
    pub extra: Extra,
}

/// One thing to embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EmbeddingInput {
    /// Text.
    Text(String),
    /// Token ids of the model's own tokenizer.
    Tokens(Vec<u64>),
}

/// How vectors are written in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingEncoding {
    /// An array of numbers.
    Float,
    /// Little-endian 32-bit floats in base64.
    Base64,
}

/// What an embedding is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmbeddingTask {
    /// Text to be found.
    Document,
    /// Text to find with.
    Query,
    /// Input of a classifier.
    Classification,
    /// Input of a clustering.
    Clustering,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmbeddingResponse {
    /// The model that answered, if the provider said so.
    pub model: Option<String>,
    /// One vector per input, in order.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens, if the provider counted them.
    pub usage: Option<Usage>,
}
