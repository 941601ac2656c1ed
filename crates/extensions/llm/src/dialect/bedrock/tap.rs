//! Watching answers that pass through.

use super::{read_finish, read_usage};
use crate::json::scan;
use crate::seen::Seen;
use crate::tap;

/// One event of a stream.
pub(super) fn event(name: &str, data: &[u8], seen: &mut Seen) {
    match name {
        "contentBlockDelta" => {
            let Some(delta) = scan::get(data, "delta") else { return };
            for member in scan::members(delta) {
                match member.key.as_ref() {
                    "text" => tap::piece(seen, Some(member.value)),
                    "toolUse" => tap::piece(seen, scan::get(member.value, "input")),
                    "reasoningContent" => tap::piece(seen, scan::get(member.value, "text")),
                    _ => {}
                }
            }
        }
        "contentBlockStart" => seen.first_token = true,
        "messageStop" => tap::finish(seen, scan::get(data, "stopReason"), read_finish),
        "metadata" => usage(scan::get(data, "usage"), seen),
        _ => {}
    }
}

fn usage(value: Option<&[u8]>, seen: &mut Seen) {
    if let Some(usage) = value.and_then(|v| serde_json::from_slice(v).ok()).and_then(|v| read_usage(&v)) {
        seen.usage = Some(usage);
    }
}

/// A whole answer.
pub(super) fn body(body: &[u8], seen: &mut Seen) {
    tap::finish(seen, scan::get(body, "stopReason"), read_finish);
    usage(scan::get(body, "usage"), seen);
    let message = scan::get(body, "output").and_then(|o| scan::get(o, "message"));
    let content = message.and_then(|m| scan::get(m, "content")).unwrap_or_default();
    for block in scan::elements(content) {
        for member in scan::members(block) {
            match member.key.as_ref() {
                "text" => tap::piece(seen, Some(member.value)),
                "toolUse" => tap::object(seen, scan::get(member.value, "input")),
                "reasoningContent" => {
                    tap::piece(seen, scan::get(member.value, "reasoningText").and_then(|t| scan::get(t, "text")));
                }
                _ => {}
            }
        }
    }
}
