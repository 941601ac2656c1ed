//! Watching answers that pass through.

use super::{read_finish, read_usage};
use crate::canonical::{Failure, Finish};
use crate::dialect::failure;
use crate::json::scan;
use crate::seen::Seen;
use crate::tap;
use serde_json::{Value, json};

/// One event of a stream.
pub(super) fn event(name: &str, data: &[u8], seen: &mut Seen) {
    let kind = scan::get(data, "type").and_then(scan::string);
    let kind = kind.as_deref().unwrap_or(name);
    match kind {
        "response.created" => {
            let response = scan::get(data, "response").unwrap_or_default();
            seen.id = tap::text(scan::get(response, "id"));
            seen.model = tap::text(scan::get(response, "model"));
        }
        "response.output_text.delta"
        | "response.refusal.delta"
        | "response.reasoning_summary_text.delta"
        | "response.reasoning_text.delta"
        | "response.function_call_arguments.delta" => tap::piece(seen, scan::get(data, "delta")),
        // Counted as the converter writes it: with a blank line between summaries.
        "response.reasoning_summary_part.added" if scan::get(data, "summary_index").is_some_and(|i| i != b"0") => {
            seen.characters += 2;
        }
        "response.output_item.added" => {
            seen.first_token = true;
            let item = scan::get(data, "item").unwrap_or_default();
            if scan::get(item, "type") == Some(b"\"function_call\"") {
                seen.finish = Some(Finish::ToolCalls);
            }
        }
        "response.completed" | "response.incomplete" => {
            let response = scan::get(data, "response").unwrap_or_default();
            conclude(response, kind.strip_prefix("response."), seen);
            seen.ended = true;
        }
        "response.failed" | "response.cancelled" | "error" => {
            let value: Option<Value> = serde_json::from_slice(data).ok();
            let value = value.map(|v| v.get("response").cloned().unwrap_or(v));
            let failure = value.and_then(|v| failure::of_value(502, &v));
            seen.failure = Some(failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream")));
        }
        _ => {}
    }
}

fn conclude(response: &[u8], status: Option<&str>, seen: &mut Seen) {
    let details = scan::get(response, "incomplete_details").unwrap_or_default();
    let reason = scan::get(details, "reason").and_then(scan::string);
    let calls = seen.finish == Some(Finish::ToolCalls);
    seen.finish = read_finish(status, reason.as_deref(), calls);
    let usage: Option<Value> = scan::get(response, "usage").and_then(|u| serde_json::from_slice(u).ok());
    seen.usage = usage.as_ref().and_then(read_usage);
    seen.service_tier = tap::text(scan::get(response, "service_tier"));
}

/// A whole answer.
pub(super) fn body(body: &[u8], seen: &mut Seen) {
    seen.id = tap::text(scan::get(body, "id"));
    seen.model = tap::text(scan::get(body, "model"));
    for item in scan::elements(scan::get(body, "output").unwrap_or_default()) {
        if let Some(arguments) = scan::get(item, "arguments") {
            seen.finish = Some(Finish::ToolCalls);
            tap::piece(seen, Some(arguments));
        }
        for key in ["content", "summary"] {
            for part in scan::elements(scan::get(item, key).unwrap_or_default()) {
                tap::piece(seen, scan::get(part, "text").or_else(|| scan::get(part, "refusal")));
            }
        }
    }
    let status = scan::get(body, "status").and_then(scan::string);
    conclude(body, status.as_deref(), seen);
    if status.as_deref() == Some("failed") {
        let error: Option<Value> = scan::get(body, "error").and_then(|e| serde_json::from_slice(e).ok());
        seen.failure = error.and_then(|e| failure::of_value(502, &json!({"error": e})));
    }
}
