//! Embeddings: `embedContent` and `batchEmbedContents` of AI Studio, `predict` of Vertex.

use super::{camel_keys, either};
use crate::Result;
use crate::canonical::{EmbeddingInput, EmbeddingRequest, EmbeddingResponse, EmbeddingTask, Extra, Usage};
use crate::dialect::openai::embeddings::{floats, texts};
use crate::dialect::{Beside, Dialect, Encoded, Host, Notes, Target};
use crate::json::Fields;
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Gemini;

fn read_task(word: &str) -> Option<EmbeddingTask> {
    Some(match word {
        "RETRIEVAL_DOCUMENT" => EmbeddingTask::Document,
        "RETRIEVAL_QUERY" => EmbeddingTask::Query,
        "CLASSIFICATION" => EmbeddingTask::Classification,
        "CLUSTERING" => EmbeddingTask::Clustering,
        _ => return None,
    })
}

fn write_task(task: EmbeddingTask) -> &'static str {
    match task {
        EmbeddingTask::Document => "RETRIEVAL_DOCUMENT",
        EmbeddingTask::Query => "RETRIEVAL_QUERY",
        EmbeddingTask::Classification => "CLASSIFICATION",
        EmbeddingTask::Clustering => "CLUSTERING",
    }
}

/// Reads a request for one vector or several.
pub(super) fn read_request(body: &[u8], beside: &Beside) -> Result<EmbeddingRequest> {
    let mut f = Fields::parse(body, "request body")?;
    let requests = f.each("requests", read_one)?;
    let single = requests.is_none();
    let parsed = match requests {
        Some(requests) => requests,
        None => vec![read_one(f)?],
    };
    let mut parsed = parsed.into_iter();
    let Some(mut request) = parsed.next() else {
        return Err(crate::Error::Shape { path: "requests".into(), want: "an array with at least one request" });
    };
    request.input.extend(parsed.flat_map(|r| r.input));
    request.single = single;
    request.model = beside.model.clone().unwrap_or(request.model);
    Ok(request)
}

fn read_one(f: Fields<'_>) -> Result<EmbeddingRequest> {
    let at = f.at();
    let mut f = Fields::of(Value::Object(camel_keys(f.rest())), at)?;
    let text = f.inner("content", |mut c| {
        let parts = c.each("parts", |mut p| p.need_string("text"))?;
        Ok(parts.unwrap_or_default().concat())
    })?;
    let text = text.ok_or_else(|| f.must_be("content", "an object with parts"))?;
    Ok(EmbeddingRequest {
        model: f.string("model")?.map(|m| m.trim_start_matches("models/").to_owned()).unwrap_or_default(),
        input: vec![EmbeddingInput::Text(text)],
        dimensions: f.integer("outputDimensionality")?,
        task: f.string("taskType")?.as_deref().and_then(read_task),
        extra: Extra::new(HERE, f.rest()),
        ..EmbeddingRequest::default()
    })
}

/// Writes a request: a batch for AI Studio, instances for Vertex.
pub(super) fn write_request(request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    if request.user.is_some() {
        notes.hint("the end user's name")?;
    }
    let texts = texts(request, HERE)?;
    let mut body = Map::new();
    if target.host == Host::Vertex {
        let instance = |text: &&str| match request.task {
            Some(task) => json!({"content": text, "task_type": write_task(task)}),
            None => json!({"content": text}),
        };
        body.insert("instances".into(), texts.iter().map(instance).collect());
        if let Some(n) = request.dimensions {
            body.insert("parameters".into(), json!({"outputDimensionality": n}));
        }
    } else {
        let one = |text: &&str| {
            let mut r = Map::new();
            r.insert("model".into(), format!("models/{}", request.model).into());
            r.insert("content".into(), json!({"parts": [{"text": text}]}));
            if let Some(task) = request.task {
                r.insert("taskType".into(), write_task(task).into());
            }
            if let Some(n) = request.dimensions {
                r.insert("outputDimensionality".into(), n.into());
            }
            Value::Object(r)
        };
        body.insert("requests".into(), texts.iter().map(one).collect());
    }
    notes.extra(&request.extra, &[], &mut body)?;
    Ok(notes.done(body))
}

/// Reads an answer of any of the three calls.
pub(super) fn read_response(body: &[u8]) -> Result<EmbeddingResponse> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let read = |mut e: Fields<'_>| {
        let values = e.array("values")?.unwrap_or_default();
        floats(&values).ok_or_else(|| e.must_be("values", "an array of numbers"))
    };
    let mut usage = either(&mut f, "usageMetadata").as_ref().and_then(super::read_usage);
    let vectors = if let Some(vector) = f.inner("embedding", read)? {
        vec![vector]
    } else if let Some(vectors) = f.each("embeddings", read)? {
        vectors
    } else {
        let mut tokens = 0u64;
        let vectors = f.each("predictions", |mut p| {
            let vector = p.inner("embeddings", |mut e| {
                let statistics = e.take("statistics");
                let count = statistics.as_ref().and_then(|s| s.get("token_count")).and_then(Value::as_f64);
                tokens = tokens.saturating_add(count.unwrap_or(0.0) as u64);
                read(e)
            })?;
            vector.ok_or_else(|| p.must_be("embeddings", "an object"))
        })?;
        usage = usage.or((tokens > 0).then(|| Usage::new(tokens, 0)));
        vectors.ok_or_else(|| f.must_be("embeddings", "an array"))?
    };
    Ok(EmbeddingResponse { model: None, vectors, usage })
}

/// Writes an answer in the shape of the request.
pub(super) fn write_response(response: &EmbeddingResponse, request: &EmbeddingRequest) -> Vec<u8> {
    let object = |v: &Vec<f32>| json!({"values": v});
    let body = match response.vectors.first() {
        Some(one) if request.single => json!({"embedding": object(one)}),
        _ => json!({"embeddings": response.vectors.iter().map(object).collect::<Vec<_>>()}),
    };
    body.to_string().into_bytes()
}
