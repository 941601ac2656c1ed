//! Watching answers that pass through. Serves chat and text completions: they differ in where the
//! text stands.

use crate::dialect::{failure, openai};
use crate::json::scan;
use crate::seen::Seen;
use crate::tap;

/// One chunk of a stream.
pub(in crate::dialect) fn event(data: &[u8], seen: &mut Seen) {
    for member in scan::members(data) {
        match member.key.as_ref() {
            "id" if seen.id.is_none() => seen.id = tap::text(Some(member.value)),
            // Azure's first chunk has an empty model.
            "model" if seen.model.is_none() => seen.model = tap::text(Some(member.value)).filter(|m| !m.is_empty()),
            "choices" => scan::elements(member.value).for_each(|c| choice(c, seen)),
            "service_tier" => seen.service_tier = tap::text(Some(member.value)),
            "usage" if member.value != b"null" => usage(member.value, seen),
            "x_groq" => {
                if let Some(value) = scan::get(member.value, "usage") {
                    usage(value, seen);
                }
            }
            "error" if member.value != b"null" => {
                seen.failure = serde_json::from_slice(data).ok().and_then(|v| failure::of_value(502, &v));
            }
            _ => {}
        }
    }
}

fn usage(value: &[u8], seen: &mut Seen) {
    if let Some(usage) = serde_json::from_slice(value).ok().and_then(|v| openai::read_usage(&v)) {
        seen.usage = Some(usage);
    }
}

fn choice(choice: &[u8], seen: &mut Seen) {
    for member in scan::members(choice) {
        match member.key.as_ref() {
            "text" => tap::piece(seen, Some(member.value)),
            "delta" | "message" => said(member.value, seen),
            "finish_reason" => tap::finish(seen, Some(member.value), openai::read_finish),
            _ => {}
        }
    }
}

fn said(message: &[u8], seen: &mut Seen) {
    for member in scan::members(message) {
        match member.key.as_ref() {
            "content" | "refusal" | "reasoning_content" => tap::piece(seen, Some(member.value)),
            "tool_calls" => {
                for call in scan::elements(member.value) {
                    seen.first_token = true;
                    tap::piece(seen, scan::get(call, "function").and_then(|f| scan::get(f, "arguments")));
                }
            }
            _ => {}
        }
    }
}

/// The JSON string that an event of one choice adds to its answer.
pub(in crate::dialect) fn only_text(data: &[u8]) -> Option<&[u8]> {
    let mut choices = scan::elements(scan::get(data, "choices")?);
    let (choice, None) = (choices.next()?, choices.next()) else { return None };
    scan::get(scan::get(choice, "delta")?, "content").filter(|text| text.starts_with(b"\""))
}

/// A whole answer: the same fields in the same places.
pub(in crate::dialect) fn body(body: &[u8], seen: &mut Seen) {
    event(body, seen);
}
