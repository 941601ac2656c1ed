//! Watching answers that pass through: whole ones and the events of a stream have one shape.

use super::{read_finish, read_usage};
use crate::canonical::Finish;
use crate::dialect::failure;
use crate::json::scan;
use crate::seen::Seen;
use crate::tap;

pub(super) fn event(data: &[u8], seen: &mut Seen) {
    for member in scan::members(data) {
        match member.key.as_ref() {
            "responseId" if seen.id.is_none() => seen.id = tap::text(Some(member.value)),
            "modelVersion" if seen.model.is_none() => seen.model = tap::text(Some(member.value)),
            // Running totals, repeated in every event: the last counts.
            "usageMetadata" => {
                if let Some(usage) = serde_json::from_slice(member.value).ok().and_then(|v| read_usage(&v)) {
                    seen.usage = Some(usage);
                }
            }
            "candidates" => scan::elements(member.value).for_each(|c| candidate(c, seen)),
            "promptFeedback" if scan::get(member.value, "blockReason").is_some() => {
                seen.finish = Some(Finish::ContentFilter);
            }
            "error" => seen.failure = serde_json::from_slice(data).ok().and_then(|v| failure::of_value(502, &v)),
            _ => {}
        }
    }
}

fn candidate(candidate: &[u8], seen: &mut Seen) {
    let mut calls = false;
    let mut word = None;
    for member in scan::members(candidate) {
        match member.key.as_ref() {
            "content" => {
                for part in scan::elements(scan::get(member.value, "parts").unwrap_or_default()) {
                    calls |= part_of(part, seen);
                }
            }
            "finishReason" => word = Some(member.value),
            _ => {}
        }
    }
    if calls {
        seen.finish = Some(Finish::ToolCalls);
    }
    let called = seen.finish == Some(Finish::ToolCalls);
    tap::finish(seen, word, |w| match read_finish(w) {
        Finish::Stop if called => Finish::ToolCalls,
        finish => finish,
    });
}

/// Counts a part; whether it is a call.
fn part_of(part: &[u8], seen: &mut Seen) -> bool {
    let mut call = false;
    for member in scan::members(part) {
        match member.key.as_ref() {
            "text" => tap::piece(seen, Some(member.value)),
            "functionCall" => {
                call = true;
                tap::object(seen, scan::get(member.value, "args"));
            }
            "inlineData" => seen.first_token = true,
            _ => {}
        }
    }
    call
}
