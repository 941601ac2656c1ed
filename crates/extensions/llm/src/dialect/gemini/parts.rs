//! Parts of a content: text, thoughts, data, calls and their results.

use super::either;
use crate::Result;
use crate::canonical::{Extra, Media, Part, PartKind, Source};
use crate::dialect::anthropic::arguments_object;
use crate::dialect::openai::media::modality_of;
use crate::dialect::openai_chat::messages::describe;
use crate::dialect::{Dialect, Notes};
use crate::json::{Fields, Path};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Gemini;

/// Reads one part. Calls and results come without ids unless the sender gave them some.
pub(super) fn read(value: Value, path: Path<'_>) -> Result<Part> {
    let mut f = Fields::of(value, path)?;
    let signature = either(&mut f, "thoughtSignature").and_then(into_string);
    let thought = f.boolean("thought")?.unwrap_or(false);
    if let Some(text) = f.string("text")? {
        let mut extra = f.rest();
        let kind = if thought {
            PartKind::Reasoning { text, signature, redacted: None }
        } else {
            if let Some(s) = signature {
                extra.insert("thoughtSignature".into(), s.into());
            }
            PartKind::Text { text }
        };
        return Ok(Part { kind, cache: None, extra: Extra::new(HERE, extra) });
    }
    let kind = if let Some(data) = either(&mut f, "inlineData") {
        let mut d = Fields::of(data, f.path("inlineData"))?;
        let mime = either(&mut d, "mimeType").and_then(into_string).unwrap_or_default();
        let source = Source::Data { base64: d.need_string("data")?, mime };
        PartKind::Media(media(source, d.string("displayName")?))
    } else if let Some(data) = either(&mut f, "fileData") {
        let mut d = Fields::of(data, f.path("fileData"))?;
        let url = either(&mut d, "fileUri").and_then(into_string);
        let url = url.ok_or_else(|| d.must_be("fileUri", "a string"))?;
        let mime = either(&mut d, "mimeType").and_then(into_string);
        PartKind::Media(media(Source::Url { url, mime }, d.string("displayName")?))
    } else if let Some(call) = either(&mut f, "functionCall") {
        let mut c = Fields::of(call, f.path("functionCall"))?;
        let arguments = c.object("args")?.filter(|o| !o.is_empty());
        PartKind::ToolCall {
            id: c.string("id")?.unwrap_or_default(),
            name: c.need_string("name")?,
            arguments: arguments.map_or_else(String::new, |o| Value::Object(o).to_string()),
            signature,
        }
    } else if let Some(response) = either(&mut f, "functionResponse") {
        let mut r = Fields::of(response, f.path("functionResponse"))?;
        let (content, is_error) = read_result(r.take("response"));
        PartKind::ToolResult {
            call_id: r.string("id")?.unwrap_or_default(),
            name: Some(r.need_string("name")?),
            content,
            is_error,
        }
    } else {
        let mut value = f.rest();
        if let Some(s) = signature {
            value.insert("thoughtSignature".into(), s.into());
        }
        if value.is_empty() && thought {
            return Ok(Part::new(PartKind::Reasoning { text: String::new(), signature: None, redacted: None }));
        }
        return Ok(Part::new(PartKind::Unknown { dialect: HERE, value: Value::Object(value) }));
    };
    Ok(Part { kind, cache: None, extra: Extra::new(HERE, f.rest()) })
}

fn into_string(value: Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s),
        _ => None,
    }
}

fn media(source: Source, name: Option<String>) -> Media {
    let mime = match &source {
        Source::Data { mime, .. } => mime.as_str(),
        Source::Url { mime, .. } => mime.as_deref().unwrap_or_default(),
        _ => "",
    };
    Media { modality: modality_of(mime), source, name, detail: None }
}

/// A result is an object here; one with a single text under a usual name is that text.
fn read_result(response: Option<Value>) -> (Vec<Part>, bool) {
    let Some(response) = response else { return (Vec::new(), false) };
    if let Value::Object(o) = &response
        && o.len() == 1
        && let Some((key, Value::String(text))) = o.iter().next()
        && matches!(key.as_str(), "result" | "output" | "error")
    {
        return (vec![Part::text(text.as_str())], key == "error");
    }
    (vec![Part::text(response.to_string())], false)
}

/// Writes one part of a request or an answer; `None` when it was left out with leave.
pub(super) fn write(part: &Part, name_of: &dyn Fn(&str) -> Option<String>, notes: &mut Notes) -> Result<Option<Value>> {
    let written = match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => json!({"text": text}),
        PartKind::Reasoning { redacted: Some(_), .. } => {
            notes.hint("encrypted reasoning of another provider")?;
            return Ok(None);
        }
        PartKind::Reasoning { text, signature, .. } => {
            let mut p = json!({"text": text, "thought": true});
            sign(&mut p, signature.as_deref());
            p
        }
        PartKind::Media(m) => match write_media(m) {
            Some(p) => p,
            None => {
                notes.refuse(describe(part))?;
                return Ok(None);
            }
        },
        PartKind::ToolCall { name, arguments, signature, .. } => {
            let mut p = json!({"functionCall": {"name": name, "args": arguments_object(arguments)?}});
            sign(&mut p, signature.as_deref());
            p
        }
        PartKind::ToolResult { call_id, name, content, is_error } => {
            let name = name.clone().or_else(|| name_of(call_id));
            let name = name.ok_or_else(|| crate::Error::Shape {
                path: "the call id of a tool result".into(),
                want: "that of an earlier tool call, whose name is needed",
            })?;
            json!({"functionResponse": {"name": name, "response": write_result(content, *is_error, notes)?}})
        }
        PartKind::Unknown { dialect: HERE, value } => value.clone(),
        PartKind::Unknown { .. } => {
            notes.refuse(describe(part))?;
            return Ok(None);
        }
    };
    if part.cache.is_some() {
        notes.hint("a cache marker")?;
    }
    let Value::Object(mut written) = written else { return Ok(Some(written)) };
    notes.inner(&part.extra, &mut written)?;
    Ok(Some(Value::Object(written)))
}

fn sign(part: &mut Value, signature: Option<&str>) {
    if let (Some(s), Some(o)) = (signature, part.as_object_mut()) {
        o.insert("thoughtSignature".into(), s.into());
    }
}

fn write_result(content: &[Part], is_error: bool, notes: &mut Notes) -> Result<Value> {
    let mut text = String::new();
    for part in content {
        match part.as_text() {
            Some(t) => text.push_str(t),
            None => notes.refuse(format!("{} in a tool result", describe(part)))?,
        }
    }
    if is_error {
        return Ok(json!({"error": text}));
    }
    match serde_json::from_str(&text) {
        Ok(object @ Value::Object(_)) => Ok(object),
        _ => Ok(json!({"result": text})),
    }
}

fn write_media(media: &Media) -> Option<Value> {
    Some(match &media.source {
        Source::Data { mime, base64 } => json!({"inlineData": {"mimeType": mime, "data": base64}}),
        Source::Url { url, mime } => {
            let mime = mime.as_deref().or_else(|| mime_of_url(url))?;
            json!({"fileData": {"mimeType": mime, "fileUri": url}})
        }
        Source::Text(text) => {
            json!({"inlineData": {"mimeType": "text/plain", "data": BASE64_STANDARD.encode(text)}})
        }
        Source::FileId(_) => return None,
    })
}

/// The MIME type an address ends in: the service insists on one.
fn mime_of_url(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
    Some(match extension.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "heic" => "image/heic",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        "mov" => "video/quicktime",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "flac" => "audio/flac",
        _ => return None,
    })
}

/// The role and parts of a content.
pub(super) fn content(role: &str, parts: Vec<Value>) -> Value {
    let mut c = Map::new();
    c.insert("role".into(), role.into());
    c.insert("parts".into(), parts.into());
    Value::Object(c)
}
