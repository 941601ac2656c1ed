//! Watching answers that pass through.

use super::{read_finish, read_usage};
use crate::canonical::Usage;
use crate::dialect::failure;
use crate::json::scan;
use crate::seen::Seen;
use crate::tap;
use serde_json::Value;

/// One event of a stream.
pub(super) fn event(name: &str, data: &[u8], seen: &mut Seen) {
    let kind = scan::get(data, "type").and_then(scan::string);
    match kind.as_deref().unwrap_or(name) {
        "content_block_delta" => {
            let Some(delta) = scan::get(data, "delta") else { return };
            for member in scan::members(delta) {
                if matches!(member.key.as_ref(), "text" | "thinking" | "partial_json") {
                    tap::piece(seen, Some(member.value));
                }
            }
        }
        "content_block_start" => seen.first_token = true,
        "message_start" => {
            let Some(message) = scan::get(data, "message") else { return };
            seen.id = tap::text(scan::get(message, "id"));
            seen.model = tap::text(scan::get(message, "model"));
            seen.usage = usage(scan::get(message, "usage"));
            seen.service_tier = tap::service_tier(message);
        }
        "message_delta" => {
            let delta = scan::get(data, "delta").unwrap_or_default();
            tap::finish(seen, scan::get(delta, "stop_reason"), |w| read_finish(w, None));
            if let Some(now) = usage(scan::get(data, "usage")) {
                let before = seen.usage.unwrap_or_default();
                seen.usage = Some(if now.input > 0 {
                    now
                } else {
                    Usage { output: now.output, reasoning: now.reasoning, ..before }
                });
            }
        }
        "message_stop" => seen.ended = true,
        "error" => {
            let value: Option<Value> = serde_json::from_slice(data).ok();
            seen.failure = value.and_then(|v| failure::of_value(502, &v));
        }
        _ => {}
    }
}

fn usage(value: Option<&[u8]>) -> Option<Usage> {
    serde_json::from_slice(value?).ok().and_then(|v| read_usage(&v))
}

/// A whole answer.
pub(super) fn body(body: &[u8], seen: &mut Seen) {
    for member in scan::members(body) {
        match member.key.as_ref() {
            "id" => seen.id = tap::text(Some(member.value)),
            "model" => seen.model = tap::text(Some(member.value)),
            "usage" => seen.usage = usage(Some(member.value)),
            "stop_reason" => tap::finish(seen, Some(member.value), |w| read_finish(w, None)),
            "content" => {
                for block in scan::elements(member.value) {
                    for member in scan::members(block) {
                        match member.key.as_ref() {
                            "text" | "thinking" => tap::piece(seen, Some(member.value)),
                            "input" => tap::object(seen, Some(member.value)),
                            _ => {}
                        }
                    }
                }
            }
            _ => {}
        }
    }
}
