//! Reading model, tokens and the end of an answer out of bytes that pass through unchanged. Nothing
//! is built but what is kept: this runs on every event of every stream.

use crate::canonical::{Failure, Finish};
use crate::dialect::{Codec, Dialect};
use crate::json::scan;
use crate::seen::Seen;
use gibbon_frames::{FrameError, aws, json_array, lines, sse};
use memchr::memchr2;

/// What was seen of a whole answer that passes through.
#[must_use]
pub fn body(dialect: Dialect, body: &[u8]) -> Seen {
    let mut seen = Seen { first_token: true, ended: true, ..Seen::default() };
    dialect.codec().tap_body(body, &mut seen);
    seen
}

/// Watches a stream that passes through.
#[derive(Debug)]
pub struct StreamTap {
    codec: &'static dyn Codec,
    splitter: Splitter,
    seen: Seen,
    likeness: Likeness,
}

/// The framings a provider may stream in, told apart by media type and first byte.
#[derive(Debug)]
enum Splitter {
    Sse(sse::Splitter),
    Aws(aws::Splitter),
    Lines(lines::Splitter),
    Array(json_array::Splitter),
    /// Framing broken: the bytes still pass, but are no longer understood.
    Lost,
}

impl StreamTap {
    /// Watches a stream of `dialect` with the given `Content-Type`.
    #[must_use]
    pub fn new(dialect: Dialect, media_type: &str) -> Self {
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let splitter = match media_type {
            "application/vnd.amazon.eventstream" => Splitter::Aws(aws::Splitter::default()),
            "application/x-ndjson" | "application/stream+json" | "application/jsonl" => {
                Splitter::Lines(lines::Splitter::default())
            }
            "application/json" => Splitter::Array(json_array::Splitter::default()),
            _ => Splitter::Sse(sse::Splitter::default()),
        };
        Self { codec: dialect.codec(), splitter, seen: Seen::default(), likeness: Likeness::default() }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        let (codec, seen, likeness) = (self.codec, &mut self.seen, &mut self.likeness);
        let result = match &mut self.splitter {
            Splitter::Sse(s) => s.push(chunk, |e| event(codec, e, seen, likeness)),
            Splitter::Aws(s) => s.push(chunk, |m| message(codec, m, seen)),
            Splitter::Lines(s) => s.push(chunk, |l| codec.tap_event("", l, seen)),
            Splitter::Array(s) => s.push(chunk, |e| codec.tap_event("", e, seen)),
            Splitter::Lost => Ok(()),
        };
        self.keep(result);
    }

    /// The body has ended.
    pub fn finish(&mut self) {
        let (codec, seen, likeness) = (self.codec, &mut self.seen, &mut self.likeness);
        let result = match &mut self.splitter {
            Splitter::Sse(s) => s.finish(|e| event(codec, e, seen, likeness)),
            Splitter::Lines(s) => s.finish(|l| codec.tap_event("", l, seen)),
            Splitter::Aws(s) => s.finish(),
            Splitter::Array(s) => s.finish(),
            Splitter::Lost => Ok(()),
        };
        self.keep(result);
        // Dialects without an end mark end with the body.
        if self.seen.finish.is_some() && self.seen.failure.is_none() {
            self.seen.ended = true;
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    fn keep(&mut self, result: Result<(), FrameError>) {
        if result.is_err() {
            self.splitter = Splitter::Lost;
        }
    }
}

fn event(codec: &dyn Codec, e: sse::Event<'_>, seen: &mut Seen, likeness: &mut Likeness) {
    if e.data == b"[DONE]" {
        seen.ended = true;
        return;
    }
    // Named events say by their name what they are, and are read each for itself.
    if !e.name.is_empty() {
        codec.tap_event(std::str::from_utf8(e.name).unwrap_or_default(), e.data, seen);
        return;
    }
    if let Some(count) = likeness.characters(e.data) {
        seen.first_token |= count > 0;
        seen.characters += count;
        return;
    }
    let before = seen.characters;
    codec.tap_event("", e.data, seen);
    let counted = seen.characters - before;
    if counted > 0 && seen.failure.is_none() {
        likeness.learn(e.data, codec.only_text(e.data), counted);
    }
}

/// What the last event of a stream looked like around its text. Most events differ from the one before in nothing else,
/// and one that does not says nothing new but how much text it has: it need not be read as JSON.
#[derive(Debug, Default)]
struct Likeness {
    /// Up to and with the opening quote of the text.
    before: Box<[u8]>,
    /// From its closing quote on.
    behind: Box<[u8]>,
    /// Events since the last that was like the one before it.
    unlike: u8,
}

impl Likeness {
    /// A stream of which so many events in a row were unlike the one before does not repeat itself.
    const GIVEN_UP: u8 = 16;

    /// The characters of the text of `data`, if all around it is as it was in the last event.
    fn characters(&mut self, data: &[u8]) -> Option<u64> {
        if self.before.is_empty() {
            return None;
        }
        let text = data.strip_prefix(&*self.before)?.strip_suffix(&*self.behind)?;
        // A quote would end the text earlier, and an escape is one character: both are for a closer look.
        if memchr2(b'"', b'\\', text).is_some() {
            return None;
        }
        self.unlike = 0;
        Some(text.iter().filter(|b| !(0x80..=0xBF).contains(*b)).count() as u64)
    }

    /// Takes an event for the next one's likeness. `text` is where its text stands, between its quotes; `counted` are all
    /// characters that were counted in the event.
    fn learn(&mut self, data: &[u8], text: Option<&[u8]>, counted: u64) {
        if self.unlike == Self::GIVEN_UP {
            return;
        }
        self.unlike += 1;
        // If something else in it counts as well, it is not alike.
        let Some(value) = text.filter(|text| characters(text) == counted) else { return };
        let Some(start) = (value.as_ptr() as usize).checked_sub(data.as_ptr() as usize) else { return };
        let (Some(before), Some(behind)) = (data.get(..=start), data.get(start + value.len() - 1..)) else { return };
        if *self.before != *before {
            self.before = before.into();
        }
        if *self.behind != *behind {
            self.behind = behind.into();
        }
    }
}

fn message(codec: &dyn Codec, m: aws::Message<'_>, seen: &mut Seen) {
    if let Some(kind) = m.text(":exception-type") {
        let text = scan::get(m.payload, "message").and_then(scan::string).unwrap_or_default();
        seen.failure = Some(Failure { code: Some(kind.to_owned()), ..Failure::new(502, text) });
        return;
    }
    codec.tap_event(m.text(":event-type").unwrap_or_default(), m.payload, seen);
}

/// Characters of the JSON string `value`: escapes count as one, so that an estimate of the tokens
/// is the same whichever way the text is written.
pub(crate) fn characters(value: &[u8]) -> u64 {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")) else { return 0 };
    let mut count = 0u64;
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => {
                count += 1;
                if bytes.next() == Some(&b'u') {
                    let _ = bytes.nth(3);
                }
            }
            // Continuation bytes belong to the character before.
            0x80..=0xBF => {}
            _ => count += 1,
        }
    }
    count
}

/// The text of a JSON string, for the short strings that are kept.
pub(crate) fn text(value: Option<&[u8]>) -> Option<String> {
    value.and_then(scan::string).map(std::borrow::Cow::into_owned)
}

/// The service tier that a whole answer names: OpenAI beside its usage, Anthropic in it.
#[must_use]
pub fn service_tier(body: &[u8]) -> Option<String> {
    let named = |object: &[u8]| text(scan::get(object, "service_tier"));
    named(body).or_else(|| named(scan::get(body, "usage")?))
}

/// Notes a finish reason unless it is null.
pub(crate) fn finish(seen: &mut Seen, value: Option<&[u8]>, read: impl FnOnce(&str) -> Finish) {
    if let Some(word) = value.and_then(scan::string) {
        seen.finish = Some(read(&word));
    }
}

/// Counts a piece of the answer.
pub(crate) fn piece(seen: &mut Seen, value: Option<&[u8]>) {
    let n = value.map_or(0, characters);
    if n > 0 {
        seen.first_token = true;
        seen.characters += n;
    }
}

/// Counts the arguments of a call that come as an object.
pub(crate) fn object(seen: &mut Seen, value: Option<&[u8]>) {
    seen.first_token = true;
    if let Some(value) = value.filter(|v| *v != b"{}") {
        seen.characters += value.iter().filter(|b| !(0x80..=0xBF).contains(*b)).count() as u64;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An event of a chat, as providers write them.
    fn events() -> impl Strategy<Value = Vec<String>> {
        let said = prop_oneof![
            "[a-zé\"\\\\\n]{0,6}".prop_map(|t| serde_json::json!({ "content": t })),
            "[a-z]{0,3}".prop_map(|t| serde_json::json!({"content": t, "reasoning_content": t})),
            "[a-z]{1,3}".prop_map(|t| serde_json::json!({"tool_calls": [{"function": {"arguments": t}}]})),
            Just(serde_json::json!({"content": null})),
        ];
        let one =
            (said, prop_oneof![9 => Just(None), 1 => Just(Some("stop"))], 0..2u8).prop_map(|(delta, finish, index)| {
                let choice = serde_json::json!({"index": index, "delta": delta, "finish_reason": finish});
                let event = serde_json::json!({"id": "c", "model": "m", "choices": [choice], "usage": null});
                format!("data: {event}\n\n")
            });
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn events_that_are_alike_count_as_if_each_was_read(events in events(), size in 1usize..200) {
            let mut tap = StreamTap::new(Dialect::OpenAiChat, "text/event-stream");
            for chunk in events.concat().as_bytes().chunks(size) {
                tap.push(chunk);
            }
            let mut read = Seen::default();
            for event in &events {
                Dialect::OpenAiChat.codec().tap_event("", event["data: ".len()..].trim_end().as_bytes(), &mut read);
            }
            prop_assert_eq!(tap.seen(), &read);
        }
    }

    #[test]
    fn escapes_and_multibyte_characters_count_once() {
        for (json, expected) in [(r#""abc""#, 3), (r#""a\n\u00e9é""#, 4), (r#""""#, 0), ("null", 0), (r#""\\\"""#, 2)]
        {
            assert_eq!(characters(json.as_bytes()), expected, "{json}");
        }
    }
}
