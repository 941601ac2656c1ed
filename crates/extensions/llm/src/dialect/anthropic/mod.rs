//! Anthropic messages: content blocks, system instructions beside the conversation, tool results in
//! the user's turn.

mod blocks;
mod request;
mod response;
mod stream;
mod tap;

pub(super) use blocks::arguments_object;
pub(super) use request::{read_thinking, write_reasoning};

use super::{Beside, Codec, Dialect, Encoded, Reply, StreamDecoder, StreamEncoder, Target, failure};
use crate::canonical::{Failure, FailureKind, Finish, ModelEntry, Request, Response, Usage};
use crate::json::Fields;
use crate::seen::Seen;
use crate::{Result, time};
use serde_json::{Map, Value, json};

/// The codec.
#[derive(Debug)]
pub(super) struct Anthropic;

impl Codec for Anthropic {
    fn dialect(&self) -> Dialect {
        Dialect::Anthropic
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
        error_object(failure).to_string().into_bytes()
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
        Ok(json!({"input_tokens": tokens}).to_string().into_bytes())
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelEntry>> {
        let mut f = Fields::parse(body, "list of models")?;
        let models = f.each("data", |mut m| {
            Ok(ModelEntry {
                id: m.need_string("id")?,
                created: m.lenient_string("created_at").and_then(|t| time::parse_rfc3339(&t)),
                owner: Some("anthropic".to_owned()),
                title: m.lenient_string("display_name"),
            })
        })?;
        models.ok_or_else(|| f.must_be("data", "an array"))
    }

    fn encode_models(&self, models: &[ModelEntry]) -> Result<Vec<u8>> {
        let data: Vec<Value> = models
            .iter()
            .map(|m| {
                let title = m.title.as_deref().unwrap_or(&m.id);
                let created = time::rfc3339(m.created.unwrap_or(0));
                json!({"type": "model", "id": m.id, "display_name": title, "created_at": created})
            })
            .collect();
        let (first, last) = (models.first().map(|m| &m.id), models.last().map(|m| &m.id));
        let list = json!({"data": data, "has_more": false, "first_id": first, "last_id": last});
        Ok(list.to_string().into_bytes())
    }
}

/// The error object of answers and streams.
fn error_object(failure: &Failure) -> Value {
    let kind = match failure.kind {
        FailureKind::InvalidRequest => "invalid_request_error",
        FailureKind::Authentication => "authentication_error",
        FailureKind::Permission => "permission_error",
        FailureKind::NotFound => "not_found_error",
        FailureKind::TooLarge => "request_too_large",
        FailureKind::RateLimit => "rate_limit_error",
        FailureKind::Overloaded => "overloaded_error",
        FailureKind::Timeout => "timeout_error",
        FailureKind::Server => "api_error",
    };
    let mut out = json!({"type": "error", "error": {"type": kind, "message": failure.message}});
    if let (Some(id), Some(o)) = (&failure.request_id, out.as_object_mut()) {
        o.insert("request_id".into(), id.as_str().into());
    }
    out
}

/// Reads `stop_reason`; a stop sequence is named beside it.
fn read_finish(word: &str, sequence: Option<&str>) -> Finish {
    match word {
        "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence(sequence.map(str::to_owned)),
        "max_tokens" | "compaction" => Finish::Length,
        "model_context_window_exceeded" => Finish::ContextWindow,
        "tool_use" => Finish::ToolCalls,
        "refusal" => Finish::Refusal,
        "pause_turn" => Finish::Pause,
        other => Finish::Other(other.to_owned()),
    }
}

fn write_finish(finish: &Finish) -> (&'static str, Option<&str>) {
    match finish {
        Finish::Stop | Finish::Other(_) => ("end_turn", None),
        // Who does not say which text it was did stop; claiming a sequence would need its name.
        Finish::StopSequence(None) => ("end_turn", None),
        Finish::StopSequence(Some(s)) => ("stop_sequence", Some(s)),
        Finish::Length => ("max_tokens", None),
        Finish::ContextWindow => ("model_context_window_exceeded", None),
        Finish::ToolCalls => ("tool_use", None),
        Finish::ContentFilter | Finish::Refusal => ("refusal", None),
        Finish::Pause => ("pause_turn", None),
    }
}

/// Reads `usage`. Cached tokens stand beside `input_tokens` and are added in; after a compaction
/// the counts of all iterations are what is billed.
fn read_usage(usage: &Value) -> Option<Usage> {
    let usage = usage.as_object()?;
    match usage.get("iterations").and_then(Value::as_array) {
        Some(iterations) if !iterations.is_empty() => {
            Some(iterations.iter().filter_map(Value::as_object).map(read_counts).fold(Usage::default(), |a, b| Usage {
                input: a.input.saturating_add(b.input),
                output: a.output.saturating_add(b.output),
                cache_read: a.cache_read.saturating_add(b.cache_read),
                cache_write: a.cache_write.saturating_add(b.cache_write),
                cache_write_1h: a.cache_write_1h.saturating_add(b.cache_write_1h),
                reasoning: a.reasoning.saturating_add(b.reasoning),
                ..a
            }))
        }
        _ => Some(read_counts(usage)),
    }
}

fn read_counts(usage: &Map<String, Value>) -> Usage {
    let count = |key: &str| usage.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (read, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    let hour = usage.get("cache_creation").and_then(|c| c.get("ephemeral_1h_input_tokens"));
    let thinking = usage.get("output_tokens_details").and_then(|d| d.get("thinking_tokens"));
    Usage {
        input: count("input_tokens").saturating_add(read).saturating_add(written),
        output: count("output_tokens"),
        cache_read: read,
        cache_write: written,
        cache_write_1h: hour.and_then(Value::as_u64).unwrap_or(0),
        reasoning: thinking.and_then(Value::as_u64).unwrap_or(0),
        ..Usage::default()
    }
}

fn write_usage(usage: &Usage) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("input_tokens".into(), usage.uncached_input().into());
    if usage.cache_write > 0 || usage.cache_read > 0 {
        out.insert("cache_creation_input_tokens".into(), usage.cache_write.into());
        out.insert("cache_read_input_tokens".into(), usage.cache_read.into());
    }
    if usage.cache_write > 0 {
        let hour = usage.cache_write_1h;
        let five = usage.cache_write.saturating_sub(hour);
        out.insert(
            "cache_creation".into(),
            json!({"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}),
        );
    }
    out.insert("output_tokens".into(), usage.output.into());
    if usage.reasoning > 0 {
        out.insert("output_tokens_details".into(), json!({"thinking_tokens": usage.reasoning}));
    }
    out
}
