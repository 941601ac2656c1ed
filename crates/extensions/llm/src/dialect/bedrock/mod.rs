//! Amazon Bedrock's Converse: tagged unions as one-key objects, streams as AWS event stream. Model
//! and stream flag stand in the path.

mod blocks;
mod embeddings;
mod request;
mod response;
mod stream;
mod tap;

pub(super) use embeddings::{cohere_task, rows};

use super::{Beside, Codec, Dialect, Encoded, Framing, Reply, StreamDecoder, StreamEncoder, Target, failure};
use crate::Result;
use crate::canonical::{EmbeddingRequest, EmbeddingResponse, Failure, FailureKind, Finish, Request, Response, Usage};
use crate::json::Fields;
use crate::seen::Seen;
use serde_json::{Map, Value, json};

/// The codec.
#[derive(Debug)]
pub(super) struct Bedrock;

impl Codec for Bedrock {
    fn dialect(&self) -> Dialect {
        Dialect::Bedrock
    }

    fn framing(&self) -> Framing {
        Framing::Aws
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
        json!({"message": failure.message}).to_string().into_bytes()
    }

    fn failure_headers(&self, failure: &Failure) -> Vec<(&'static str, String)> {
        vec![("x-amzn-errortype", error_type(failure).to_owned())]
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::default())
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream::Encoder::new(reply))
    }

    fn tap_event(&self, name: &str, data: &[u8], seen: &mut Seen) {
        tap::event(name, data, seen);
    }

    fn tap_body(&self, body: &[u8], seen: &mut Seen) {
        tap::body(body, seen);
    }

    fn decode_count_request(&self, body: &[u8], beside: &Beside) -> Result<Request> {
        let mut f = Fields::parse(body, "request body")?;
        let request = f.inner("input", |mut input| {
            let converse = input.inner("converse", |c| request::read(c, beside))?;
            converse.ok_or_else(|| input.must_be("converse", "an object"))
        })?;
        request.ok_or_else(|| f.must_be("input", "an object"))
    }

    fn encode_count_request(&self, request: &Request, target: &Target) -> Result<Encoded> {
        request::write_count(request, target)
    }

    fn decode_count(&self, body: &[u8]) -> Result<u64> {
        let mut f = Fields::parse(body, "answer of the provider")?;
        f.integer("inputTokens")?.ok_or_else(|| f.must_be("inputTokens", "a whole number"))
    }

    fn encode_count(&self, tokens: u64) -> Result<Vec<u8>> {
        Ok(json!({"inputTokens": tokens}).to_string().into_bytes())
    }

    fn encode_embedding_request(&self, request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
        embeddings::write_request(request, target)
    }

    fn decode_embeddings(&self, body: &[u8]) -> Result<EmbeddingResponse> {
        embeddings::read_response(body)
    }
}

/// The name of the error a failure is, for the `x-amzn-errortype` header and exceptions in streams.
fn error_type(failure: &Failure) -> &'static str {
    match failure.kind {
        FailureKind::InvalidRequest | FailureKind::TooLarge => "ValidationException",
        FailureKind::Authentication => "UnrecognizedClientException",
        FailureKind::Permission => "AccessDeniedException",
        FailureKind::NotFound => "ResourceNotFoundException",
        FailureKind::RateLimit => "ThrottlingException",
        FailureKind::Overloaded => "ServiceUnavailableException",
        FailureKind::Timeout => "ModelTimeoutException",
        FailureKind::Server => "InternalServerException",
    }
}

fn read_finish(word: &str) -> Finish {
    match word {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence(None),
        "max_tokens" => Finish::Length,
        "model_context_window_exceeded" => Finish::ContextWindow,
        "tool_use" => Finish::ToolCalls,
        "content_filtered" | "guardrail_intervened" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}

fn write_finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Pause | Finish::Other(_) => "end_turn",
        Finish::StopSequence(_) => "stop_sequence",
        Finish::Length => "max_tokens",
        Finish::ContextWindow => "model_context_window_exceeded",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter | Finish::Refusal => "content_filtered",
    }
}

/// Reads `usage`; cached tokens stand beside the input and are added in.
fn read_usage(usage: &Value) -> Option<Usage> {
    let usage = usage.as_object()?;
    let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (read, written) = (count("cacheReadInputTokens"), count("cacheWriteInputTokens"));
    Some(Usage {
        input: count("inputTokens").saturating_add(read).saturating_add(written),
        output: count("outputTokens"),
        cache_read: read,
        cache_write: written,
        ..Usage::default()
    })
}

fn write_usage(usage: &Usage) -> Value {
    let mut out = Map::new();
    out.insert("inputTokens".into(), usage.uncached_input().into());
    out.insert("outputTokens".into(), usage.output.into());
    out.insert("totalTokens".into(), usage.total().into());
    if usage.cache_read > 0 || usage.cache_write > 0 {
        out.insert("cacheReadInputTokens".into(), usage.cache_read.into());
        out.insert("cacheWriteInputTokens".into(), usage.cache_write.into());
    }
    Value::Object(out)
}
