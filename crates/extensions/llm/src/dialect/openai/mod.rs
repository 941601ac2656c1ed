//! What OpenAI's formats share: usage, errors, finish reasons, media, embeddings, lists of models.

pub(super) mod embeddings;
pub(super) mod media;
pub(super) mod models;

use crate::canonical::{Failure, FailureKind, Finish, Usage};
use serde_json::{Map, Value, json};

/// Reads a `usage` object of chat or text completions; providers put their own counters in it.
pub(crate) fn read_usage(usage: &Value) -> Option<Usage> {
    let usage = usage.as_object()?;
    let count = |v: Option<&Value>| v.and_then(Value::as_u64);
    let detail = |group: &str, key: &str| count(usage.get(group).and_then(|g| g.get(key)));
    let cached = detail("prompt_tokens_details", "cached_tokens")
        .or_else(|| count(usage.get("prompt_cache_hit_tokens")))
        .or_else(|| count(usage.get("cached_tokens")));
    Some(Usage {
        input: count(usage.get("prompt_tokens")).unwrap_or(0),
        output: count(usage.get("completion_tokens")).unwrap_or(0),
        cache_read: cached.unwrap_or(0),
        cache_write: detail("prompt_tokens_details", "cache_write_tokens").unwrap_or(0),
        reasoning: detail("completion_tokens_details", "reasoning_tokens").unwrap_or(0),
        input_audio: detail("prompt_tokens_details", "audio_tokens").unwrap_or(0),
        output_audio: detail("completion_tokens_details", "audio_tokens").unwrap_or(0),
        ..Usage::default()
    })
}

/// Writes it; details only where there are any.
pub(super) fn write_usage(usage: &Usage) -> Value {
    let mut out = Map::new();
    out.insert("prompt_tokens".into(), usage.input.into());
    out.insert("completion_tokens".into(), usage.output.into());
    out.insert("total_tokens".into(), usage.total().into());
    let mut details = |name: &str, counts: &[(&str, u64)]| {
        let some: Map<String, Value> =
            counts.iter().filter(|(_, n)| *n > 0).map(|(k, n)| ((*k).to_owned(), (*n).into())).collect();
        if !some.is_empty() {
            out.insert(name.into(), some.into());
        }
    };
    details(
        "prompt_tokens_details",
        &[
            ("cached_tokens", usage.cache_read),
            ("cache_write_tokens", usage.cache_write),
            ("audio_tokens", usage.input_audio),
        ],
    );
    details(
        "completion_tokens_details",
        &[("reasoning_tokens", usage.reasoning), ("audio_tokens", usage.output_audio)],
    );
    Value::Object(out)
}

/// Reads a finish reason of OpenAI or of a server that imitates it.
pub(super) fn read_finish(word: &str) -> Finish {
    match word {
        "stop" | "eos" | "eos_token" | "complete" | "end_turn" => Finish::Stop,
        "stop_sequence" => Finish::StopSequence(None),
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "tool_calls" | "function_call" | "tool_use" => Finish::ToolCalls,
        "content_filter" | "sensitive" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}

/// The finish reason an OpenAI client understands.
pub(super) fn write_finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::Pause | Finish::Other(_) => "stop",
        Finish::Length | Finish::ContextWindow => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter | Finish::Refusal => "content_filter",
    }
}

/// An error object in OpenAI's words, without its envelope.
pub(super) fn error_object(failure: &Failure) -> Value {
    let kind = match failure.kind {
        FailureKind::InvalidRequest | FailureKind::NotFound | FailureKind::TooLarge => "invalid_request_error",
        FailureKind::Authentication => "authentication_error",
        FailureKind::Permission => "permission_error",
        FailureKind::RateLimit => "rate_limit_error",
        FailureKind::Overloaded => "overloaded_error",
        FailureKind::Timeout => "timeout_error",
        FailureKind::Server => "server_error",
    };
    json!({"message": failure.message, "type": kind, "param": failure.param, "code": failure.code})
}
