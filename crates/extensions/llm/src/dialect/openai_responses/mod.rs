//! OpenAI responses: a list of items in, a list of items out, named events between.

mod decoder;
mod encoder;
mod items;
mod request;
mod response;
mod tap;

use super::{Beside, Codec, Dialect, Encoded, Reply, StreamDecoder, StreamEncoder, Target, failure, openai};
use crate::Result;
use crate::canonical::{Failure, Finish, ModelEntry, Request, Response, Usage};
use crate::json::Fields;
use crate::seen::Seen;
use serde_json::{Map, Value, json};

/// The codec.
#[derive(Debug)]
pub(super) struct OpenAiResponses;

impl Codec for OpenAiResponses {
    fn dialect(&self) -> Dialect {
        Dialect::OpenAiResponses
    }

    fn decode_request(&self, body: &[u8], beside: &Beside) -> Result<Request> {
        request::read(body, beside)
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
        json!({"error": openai::error_object(failure)}).to_string().into_bytes()
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::default())
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(encoder::Encoder::new(reply))
    }

    fn tap_event(&self, name: &str, data: &[u8], seen: &mut Seen) {
        tap::event(name, data, seen);
    }

    fn tap_body(&self, body: &[u8], seen: &mut Seen) {
        tap::body(body, seen);
    }

    fn decode_count_request(&self, body: &[u8], beside: &Beside) -> Result<Request> {
        request::read(body, beside)
    }

    fn encode_count_request(&self, request: &Request, target: &Target) -> Result<Encoded> {
        request::write_count(request, target)
    }

    fn decode_count(&self, body: &[u8]) -> Result<u64> {
        let mut f = Fields::parse(body, "answer of the provider")?;
        f.integer("input_tokens")?.ok_or_else(|| f.must_be("input_tokens", "a whole number"))
    }

    fn encode_count(&self, tokens: u64) -> Result<Vec<u8>> {
        Ok(json!({"object": "response.input_tokens", "input_tokens": tokens}).to_string().into_bytes())
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelEntry>> {
        openai::models::read(body)
    }

    fn encode_models(&self, models: &[ModelEntry]) -> Result<Vec<u8>> {
        Ok(openai::models::write(models))
    }
}

fn read_usage(usage: &Value) -> Option<Usage> {
    let usage = usage.as_object()?;
    let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
    let detail =
        |group: &str, key: &str| usage.get(group).and_then(|g| g.get(key)).and_then(Value::as_u64).unwrap_or(0);
    Some(Usage {
        input: count("input_tokens"),
        output: count("output_tokens"),
        cache_read: detail("input_tokens_details", "cached_tokens"),
        cache_write: detail("input_tokens_details", "cache_write_tokens"),
        reasoning: detail("output_tokens_details", "reasoning_tokens"),
        ..Usage::default()
    })
}

fn write_usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input, "input_tokens_details":
            {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output, "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total(),
    })
}

/// Why a response stopped, from its status and what it holds.
fn read_finish(status: Option<&str>, reason: Option<&str>, calls: bool) -> Option<Finish> {
    Some(match (status?, reason) {
        ("incomplete", Some("content_filter")) => Finish::ContentFilter,
        ("incomplete", _) => Finish::Length,
        ("completed", _) if calls => Finish::ToolCalls,
        ("completed", _) => Finish::Stop,
        (other, _) => Finish::Other(other.to_owned()),
    })
}

/// The status and the reason for being incomplete.
fn write_finish(finish: Option<&Finish>) -> (&'static str, Option<&'static str>) {
    match finish {
        Some(Finish::Length | Finish::ContextWindow) => ("incomplete", Some("max_output_tokens")),
        Some(Finish::ContentFilter | Finish::Refusal) => ("incomplete", Some("content_filter")),
        _ => ("completed", None),
    }
}

/// The response object around its output.
fn envelope(id: &str, model: &str, created: u64, output: Vec<Value>) -> Map<String, Value> {
    let mut r = Map::new();
    r.insert("id".into(), id.into());
    r.insert("object".into(), "response".into());
    r.insert("created_at".into(), created.into());
    r.insert("status".into(), "in_progress".into());
    r.insert("error".into(), Value::Null);
    r.insert("incomplete_details".into(), Value::Null);
    r.insert("instructions".into(), Value::Null);
    r.insert("metadata".into(), json!({}));
    r.insert("model".into(), model.into());
    r.insert("output".into(), output.into());
    // Clients' libraries insist on these; what was asked for is known to who asked.
    r.insert("parallel_tool_calls".into(), true.into());
    r.insert("tool_choice".into(), "auto".into());
    r.insert("tools".into(), json!([]));
    r.insert("temperature".into(), Value::Null);
    r.insert("top_p".into(), Value::Null);
    r.insert("usage".into(), Value::Null);
    r
}

/// Sets how a response ended.
fn conclude(r: &mut Map<String, Value>, finish: Option<&Finish>, usage: Option<&Usage>) {
    let (status, reason) = write_finish(finish);
    r.insert("status".into(), status.into());
    if let Some(reason) = reason {
        r.insert("incomplete_details".into(), json!({"reason": reason}));
    }
    if let Some(usage) = usage {
        r.insert("usage".into(), write_usage(usage));
    }
}
