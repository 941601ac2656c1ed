//! What the dialects that stream server-sent events share: each event's data is one JSON object.

use crate::{Error, Result};
use gibbon_frames::sse::Splitter;
use serde_json::Value;

/// The bytes of a stream as JSON values.
#[derive(Debug, Default)]
pub(super) struct JsonEvents {
    splitter: Splitter,
}

/// The data of one event.
pub(super) enum Data<'a> {
    /// A JSON value, with the event's name.
    Json(&'a str, Value),
    /// `[DONE]`.
    Done,
}

impl JsonEvents {
    /// Takes the next bytes; `read` sees each event. Empty events are skipped.
    pub(super) fn push(&mut self, chunk: &[u8], read: &mut dyn FnMut(Data<'_>) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        self.splitter.push(chunk, |e| each(e, &mut result, read))?;
        result
    }

    /// The body has ended.
    pub(super) fn finish(&mut self, read: &mut dyn FnMut(Data<'_>) -> Result<()>) -> Result<()> {
        let mut result = Ok(());
        self.splitter.finish(|e| each(e, &mut result, read))?;
        result
    }
}

fn each(event: gibbon_frames::sse::Event<'_>, result: &mut Result<()>, read: &mut dyn FnMut(Data<'_>) -> Result<()>) {
    let data = event.data.trim_ascii();
    if result.is_err() || data.is_empty() {
        return;
    }
    if data == b"[DONE]" {
        *result = read(Data::Done);
        return;
    }
    *result = match serde_json::from_slice(data) {
        Ok(value) => read(Data::Json(std::str::from_utf8(event.name).unwrap_or_default(), value)),
        Err(_) => Err(Error::NotJson { what: "event of the provider's stream" }),
    };
}

/// Appends one event with JSON data.
pub(super) fn write(out: &mut Vec<u8>, name: Option<&str>, value: &Value) {
    gibbon_frames::sse::write(out, name, value.to_string().as_bytes());
}
