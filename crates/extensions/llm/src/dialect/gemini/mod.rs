//! Gemini's `generateContent`, as AI Studio and Vertex AI speak it. Model and stream flag stand in
//! the path. Field names are read in camel and snake case, as the service does, and written in
//! camel case.

mod embeddings;
mod parts;
mod request;
mod response;
mod schema;
mod stream;
mod tap;

use super::{Beside, Codec, Dialect, Encoded, Reply, StreamDecoder, StreamEncoder, Target, failure};
use crate::Result;
use crate::canonical::{
    EmbeddingRequest, EmbeddingResponse, Failure, FailureKind, Finish, ModelEntry, Request, Response, Usage,
};
use crate::json::Fields;
use crate::seen::Seen;
use serde_json::{Map, Value, json};

/// The codec.
#[derive(Debug)]
pub(super) struct Gemini;

impl Codec for Gemini {
    fn dialect(&self) -> Dialect {
        Dialect::Gemini
    }

    fn decode_request(&self, body: &[u8], beside: &Beside) -> Result<Request> {
        request::read(Fields::parse(body, "request body")?, beside)
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Result<Encoded> {
        request::write(request, target)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response> {
        response::read(body)
    }

    fn encode_response(&self, response: &Response, reply: &Reply) -> Result<Encoded> {
        response::write(response, reply)
    }

    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        failure::read(status, body)
    }

    fn encode_failure(&self, failure: &Failure) -> Vec<u8> {
        error_object(failure).to_string().into_bytes()
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(reply))
    }

    fn tap_event(&self, _name: &str, data: &[u8], seen: &mut Seen) {
        tap::event(data, seen);
    }

    fn tap_body(&self, body: &[u8], seen: &mut Seen) {
        tap::event(body, seen);
    }

    fn decode_count_request(&self, body: &[u8], beside: &Beside) -> Result<Request> {
        let mut f = Fields::parse(body, "request body")?;
        let wrapped = f.inner("generateContentRequest", |mut inner| {
            let model = inner.string("model")?.map(|m| m.trim_start_matches("models/").to_owned());
            let beside = Beside { model: beside.model.clone().or(model), ..beside.clone() };
            request::read(inner, &beside)
        })?;
        match wrapped {
            Some(request) => Ok(request),
            None => request::read(f, beside),
        }
    }

    fn encode_count_request(&self, request: &Request, target: &Target) -> Result<Encoded> {
        request::write_count(request, target)
    }

    fn decode_count(&self, body: &[u8]) -> Result<u64> {
        let mut f = Fields::parse(body, "answer of the provider")?;
        f.integer("totalTokens")?.ok_or_else(|| f.must_be("totalTokens", "a whole number"))
    }

    fn encode_count(&self, tokens: u64) -> Result<Vec<u8>> {
        Ok(json!({"totalTokens": tokens}).to_string().into_bytes())
    }

    fn decode_embedding_request(&self, body: &[u8], beside: &Beside) -> Result<EmbeddingRequest> {
        embeddings::read_request(body, beside)
    }

    fn encode_embedding_request(&self, request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
        embeddings::write_request(request, target)
    }

    fn decode_embeddings(&self, body: &[u8]) -> Result<EmbeddingResponse> {
        embeddings::read_response(body)
    }

    fn encode_embeddings(
        &self,
        response: &EmbeddingResponse,
        request: &EmbeddingRequest,
        _reply: &Reply,
    ) -> Result<Vec<u8>> {
        Ok(embeddings::write_response(response, request))
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelEntry>> {
        let mut f = Fields::parse(body, "list of models")?;
        let models = f.each("models", |mut m| {
            Ok(ModelEntry {
                id: m.need_string("name")?.trim_start_matches("models/").to_owned(),
                created: None,
                owner: Some("google".to_owned()),
                title: m.lenient_string("displayName"),
            })
        })?;
        Ok(models.unwrap_or_default())
    }

    fn encode_models(&self, models: &[ModelEntry]) -> Result<Vec<u8>> {
        let models: Vec<Value> = models
            .iter()
            .map(|m| {
                let title = m.title.as_deref().unwrap_or(&m.id);
                json!({"name": format!("models/{}", m.id), "displayName": title,
                    "supportedGenerationMethods": ["generateContent", "countTokens"]})
            })
            .collect();
        Ok(json!({"models": models}).to_string().into_bytes())
    }
}

/// Takes a field under its camel-case name or its snake-case one.
fn either(f: &mut Fields<'_>, camel: &str) -> Option<Value> {
    f.take(camel).or_else(|| f.take(&snake(camel)))
}

fn snake(camel: &str) -> String {
    let mut out = String::with_capacity(camel.len() + 4);
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Gives every key of an object its camel-case name: what the service accepts in either case is
/// read in one. Only for objects whose keys are all the service's own.
fn camel_keys(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter().map(|(k, v)| (camel(&k), v)).collect()
}

fn camel(snake: &str) -> String {
    let mut out = String::with_capacity(snake.len());
    let mut upper = false;
    for c in snake.chars() {
        match (c, upper) {
            ('_', _) if !out.is_empty() => upper = true,
            (c, true) => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            (c, false) => out.push(c),
        }
    }
    out
}

fn error_object(failure: &Failure) -> Value {
    let status = match failure.kind {
        FailureKind::InvalidRequest | FailureKind::TooLarge => "INVALID_ARGUMENT",
        FailureKind::Authentication => "UNAUTHENTICATED",
        FailureKind::Permission => "PERMISSION_DENIED",
        FailureKind::NotFound => "NOT_FOUND",
        FailureKind::RateLimit => "RESOURCE_EXHAUSTED",
        FailureKind::Overloaded => "UNAVAILABLE",
        FailureKind::Timeout => "DEADLINE_EXCEEDED",
        FailureKind::Server => "INTERNAL",
    };
    json!({"error": {"code": failure.status, "message": failure.message, "status": status}})
}

fn read_finish(word: &str) -> Finish {
    match word {
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "LANGUAGE"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}

fn write_finish(finish: &Finish) -> &str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::ToolCalls | Finish::Pause => "STOP",
        Finish::Length | Finish::ContextWindow => "MAX_TOKENS",
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        // Another dialect's word means nothing here; one of this dialect's own is in capitals.
        Finish::Other(word) if word.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => word,
        Finish::Other(_) => "OTHER",
    }
}

fn read_usage(usage: &Value) -> Option<Usage> {
    let usage = usage.as_object()?;
    let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
    let thoughts = count("thoughtsTokenCount");
    Some(Usage {
        input: count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
        output: count("candidatesTokenCount").saturating_add(thoughts),
        cache_read: count("cachedContentTokenCount"),
        reasoning: thoughts,
        ..Usage::default()
    })
}

fn write_usage(usage: &Usage) -> Value {
    let mut out = Map::new();
    out.insert("promptTokenCount".into(), usage.input.into());
    out.insert("candidatesTokenCount".into(), usage.output.saturating_sub(usage.reasoning).into());
    if usage.reasoning > 0 {
        out.insert("thoughtsTokenCount".into(), usage.reasoning.into());
    }
    if usage.cache_read > 0 {
        out.insert("cachedContentTokenCount".into(), usage.cache_read.into());
    }
    out.insert("totalTokenCount".into(), usage.total().into());
    Value::Object(out)
}
