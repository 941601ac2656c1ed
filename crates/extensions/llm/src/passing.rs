//! Answers that pass by without being understood (images, speech, transcripts, files, batches): bytes of any kind and
//! length, of which only what they used is read.

use crate::dialect::openai;
use crate::json::scan;
use crate::json::watch::Watch;
use crate::seen::Seen;
use crate::tap;
use gibbon_frames::sse;
use serde_json::Value;

/// Watches such an answer in constant memory.
#[derive(Debug)]
pub struct PassingTap {
    form: Form,
    seen: Seen,
}

#[derive(Debug)]
enum Form {
    Object(Watch),
    Events(sse::Splitter),
    /// Bytes that say nothing.
    Opaque,
}

impl PassingTap {
    /// Watches an answer with this `Content-Type`.
    #[must_use]
    pub fn new(media_type: &str) -> Self {
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let form = match media_type.as_str() {
            "application/json" => Form::Object(Watch::new(&["usage", "model", "id"])),
            "text/event-stream" => Form::Events(sse::Splitter::default()),
            _ => Form::Opaque,
        };
        Self { form, seen: Seen::default() }
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        let seen = &mut self.seen;
        match &mut self.form {
            Form::Object(watch) => watch.push(chunk),
            Form::Events(splitter) => {
                if splitter.push(chunk, |event| read(event.data, seen)).is_err() {
                    self.form = Form::Opaque;
                }
            }
            Form::Opaque => {}
        }
    }

    /// The answer has ended.
    pub fn finish(&mut self) {
        self.seen.ended = true;
        if let Form::Object(watch) = &self.form {
            self.seen.usage = watch.get("usage").and_then(usage);
            self.seen.model = tap::text(watch.get("model"));
            self.seen.id = tap::text(watch.get("id"));
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// An event: the last one says what all used.
fn read(data: &[u8], seen: &mut Seen) {
    if let Some(used) = scan::get(data, "usage").and_then(usage) {
        seen.usage = Some(used);
    }
}

/// Tokens under either of OpenAI's names. A length in seconds is none.
fn usage(text: &[u8]) -> Option<crate::canonical::Usage> {
    let value: Value = serde_json::from_slice(text).ok()?;
    if value.get("prompt_tokens").is_some() {
        return openai::read_usage(&value);
    }
    let count = |field: &str| value.get(field).and_then(Value::as_u64);
    let detail = |group: &str, field: &str| value.get(group).and_then(|g| g.get(field)).and_then(Value::as_u64);
    Some(crate::canonical::Usage {
        input: count("input_tokens")?,
        output: count("output_tokens").unwrap_or(0),
        cache_read: detail("input_tokens_details", "cached_tokens")
            .or_else(|| detail("input_token_details", "cached_tokens"))
            .unwrap_or(0),
        input_audio: detail("input_tokens_details", "audio_tokens")
            .or_else(|| detail("input_token_details", "audio_tokens"))
            .unwrap_or(0),
        ..crate::canonical::Usage::default()
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn seen(media: &str, body: &str) -> Seen {
        let mut tap = PassingTap::new(media);
        body.as_bytes().chunks(7).for_each(|chunk| tap.push(chunk));
        tap.finish();
        tap.seen().clone()
    }

    #[test]
    fn what_was_used_is_read_wherever_it_stands() {
        let image = format!(
            r#"{{"created":1,"data":[{{"b64_json":"{}"}}],"usage":{{"input_tokens":5,"output_tokens":1056,"total_tokens":1061}}}}"#,
            "A".repeat(100_000)
        );
        let used = seen("application/json; charset=utf-8", &image).usage.unwrap();
        assert_eq!((used.input, used.output), (5, 1056));
        let spoken = r#"{"text":"Hi","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":3,"total_tokens":17}}"#;
        assert_eq!(seen("application/json", spoken).usage.unwrap().input_audio, 14);
        let run = "event: thread.run.completed\ndata: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
        assert_eq!(seen("text/event-stream", run).usage.unwrap().output, 4);
    }

    #[test]
    fn what_says_nothing_counts_nothing() {
        assert_eq!(seen("audio/mpeg", r#"{"usage":{"input_tokens":1}}"#).usage, None);
        assert_eq!(seen("application/json", r#"{"usage":{"type":"duration","seconds":9}}"#).usage, None);
        assert_eq!(seen("text/event-stream", "data: [DONE]\n\n").usage, None);
    }
}
