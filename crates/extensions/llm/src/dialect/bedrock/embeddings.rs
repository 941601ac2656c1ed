//! Embeddings through `invoke`: every model family has a format of its own.

use crate::Result;
use crate::canonical::{EmbeddingRequest, EmbeddingResponse, EmbeddingTask, Usage};
use crate::dialect::openai::embeddings::{floats, texts};
use crate::dialect::{Codec, Dialect, Encoded, Notes, Target};
use crate::json::Fields;
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Bedrock;

/// The word Cohere's models have for a task.
pub(in crate::dialect) fn cohere_task(task: EmbeddingTask) -> &'static str {
    match task {
        EmbeddingTask::Document => "search_document",
        EmbeddingTask::Query => "search_query",
        EmbeddingTask::Classification => "classification",
        EmbeddingTask::Clustering => "clustering",
    }
}

/// Writes a request in the format of the model's family.
pub(super) fn write_request(request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let texts = texts(request, HERE)?;
    let mut body = Map::new();
    if request.model.contains("cohere.embed") {
        body.insert("texts".into(), texts.into());
        let task = request.task.unwrap_or(EmbeddingTask::Document);
        body.insert("input_type".into(), cohere_task(task).into());
        body.insert("embedding_types".into(), json!(["float"]));
        if let Some(n) = request.dimensions {
            body.insert("output_dimension".into(), n.into());
        }
    } else if request.model.contains("amazon.titan-embed") {
        let [text] = texts.as_slice() else {
            return Err(super::Bedrock.lacks("several texts in one request for Titan embeddings"));
        };
        body.insert("inputText".into(), (*text).into());
        // The first generation knows neither.
        if !request.model.contains("titan-embed-text-v1") {
            if let Some(n) = request.dimensions {
                body.insert("dimensions".into(), n.into());
            }
            if let Some(normalize) = request.normalize {
                body.insert("normalize".into(), normalize.into());
            }
        } else if request.dimensions.is_some() {
            notes.refuse("dimensions for the first Titan embedding model")?;
        }
    } else {
        return Err(super::Bedrock.lacks("embeddings of this model: neither Titan nor Cohere"));
    }
    if request.user.is_some() {
        notes.hint("the end user's name")?;
    }
    notes.extra(&request.extra, &[], &mut body)?;
    Ok(notes.done(body))
}

/// Reads an answer of Titan or Cohere.
pub(super) fn read_response(body: &[u8]) -> Result<EmbeddingResponse> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let tokens = f.count("inputTextTokenCount");
    let usage = (tokens > 0).then(|| Usage::new(tokens, 0));
    let vectors = match (f.array("embedding")?, f.take("embeddings")) {
        (Some(vector), _) => floats(&vector).map(|v| vec![v]),
        (None, Some(embeddings)) => rows(embeddings.get("float").unwrap_or(&embeddings)),
        (None, None) => None,
    };
    let vectors = vectors.ok_or_else(|| f.must_be("embedding", "an array of numbers"))?;
    Ok(EmbeddingResponse { model: None, vectors, usage })
}

/// An array of vectors.
pub(in crate::dialect) fn rows(value: &Value) -> Option<Vec<Vec<f32>>> {
    value.as_array()?.iter().map(|row| row.as_array().and_then(|r| floats(r))).collect()
}
