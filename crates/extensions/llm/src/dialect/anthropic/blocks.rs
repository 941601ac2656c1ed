//! Content blocks.

use crate::Result;
use crate::canonical::{CacheMarker, Extra, Media, Modality, Part, PartKind, Source};
use crate::dialect::openai_chat::messages::{describe, read_cache};
use crate::dialect::{Dialect, Notes};
use crate::json::{Fields, Path};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Anthropic;

/// Reads content: a text, or an array of blocks.
pub(super) fn read_content(content: Value, path: Path<'_>) -> Result<Vec<Part>> {
    match content {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(items) => {
            let read = |(i, item)| read_block(item, path.index(i));
            items.into_iter().enumerate().map(read).collect()
        }
        _ => Err(path.must_be("a string or an array of content blocks")),
    }
}

pub(super) fn read_block(value: Value, path: Path<'_>) -> Result<Part> {
    let mut f = Fields::of(value, path)?;
    let cache = read_cache(&mut f);
    let kind = f.need_string("type")?;
    let kind = match kind.as_str() {
        "text" => PartKind::Text { text: f.need_string("text")? },
        "image" => PartKind::Media(read_media(&mut f, Modality::Image)?),
        // A document of content blocks keeps its shape: only this dialect knows it.
        "document" if f.peek_in("source", "type") != Some("content") => {
            PartKind::Media(read_media(&mut f, Modality::File)?)
        }
        "tool_use" => PartKind::ToolCall {
            id: f.need_string("id")?,
            name: f.need_string("name")?,
            arguments: f
                .object("input")?
                .filter(|o| !o.is_empty())
                .map_or_else(String::new, |o| Value::Object(o).to_string()),
            signature: None,
        },
        "tool_result" => {
            let call_id = f.need_string("tool_use_id")?;
            let content = match f.take("content") {
                Some(content) => read_content(content, f.path("content"))?,
                None => Vec::new(),
            };
            let is_error = f.boolean("is_error")?.unwrap_or(false);
            PartKind::ToolResult { call_id, name: None, content, is_error }
        }
        "thinking" => PartKind::Reasoning {
            text: f.string("thinking")?.unwrap_or_default(),
            signature: f.string("signature")?.filter(|s| !s.is_empty()),
            redacted: None,
        },
        "redacted_thinking" => {
            PartKind::Reasoning { text: String::new(), signature: None, redacted: Some(f.need_string("data")?) }
        }
        _ => {
            let mut value = f.rest();
            value.insert("type".into(), kind.into());
            let kind = PartKind::Unknown { dialect: HERE, value: Value::Object(value) };
            return Ok(Part { kind, cache, extra: Extra::default() });
        }
    };
    Ok(Part { kind, cache, extra: Extra::new(HERE, f.rest()) })
}

fn read_media(f: &mut Fields<'_>, modality: Modality) -> Result<Media> {
    let source = f.inner("source", |mut s| match s.need_string("type")?.as_str() {
        "base64" => Ok(Source::Data { mime: s.need_string("media_type")?, base64: s.need_string("data")? }),
        "url" => Ok(Source::Url { url: s.need_string("url")?, mime: s.string("media_type")? }),
        "file" => Ok(Source::FileId(s.need_string("file_id")?)),
        "text" => Ok(Source::Text(s.need_string("data")?)),
        _ => Err(s.must_be("type", "base64, url, file or text")),
    })?;
    let source = source.ok_or_else(|| f.must_be("source", "an object"))?;
    Ok(Media { modality, source, name: f.string("title")?, detail: None })
}

/// Writes parts as content: a bare text where that says it all.
pub(super) fn write_content(parts: &[Part], notes: &mut Notes) -> Result<Value> {
    if let [part] = parts
        && let Some(text) = part.as_text()
        && part.is_plain()
    {
        return Ok(text.into());
    }
    Ok(write_blocks(parts, notes)?.into())
}

/// Writes parts as blocks. Empty texts are left out: the API refuses them, and they say nothing.
pub(super) fn write_blocks(parts: &[Part], notes: &mut Notes) -> Result<Vec<Value>> {
    let mut out = Vec::with_capacity(parts.len());
    for part in parts.iter().filter(|p| p.as_text() != Some("")) {
        out.extend(write_block(part, notes)?);
    }
    Ok(out)
}

fn write_block(part: &Part, notes: &mut Notes) -> Result<Option<Value>> {
    let block = match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => json!({"type": "text", "text": text}),
        PartKind::Media(media) => match write_media(media) {
            Some(block) => block,
            None => {
                notes.refuse(describe(part))?;
                return Ok(None);
            }
        },
        PartKind::ToolCall { id, name, arguments, .. } => {
            json!({"type": "tool_use", "id": id, "name": name, "input": arguments_object(arguments)?})
        }
        PartKind::ToolResult { call_id, content, is_error, .. } => {
            let mut block = Map::new();
            block.insert("type".into(), "tool_result".into());
            block.insert("tool_use_id".into(), call_id.as_str().into());
            if !content.is_empty() {
                block.insert("content".into(), write_content(content, notes)?);
            }
            if *is_error {
                block.insert("is_error".into(), true.into());
            }
            Value::Object(block)
        }
        PartKind::Reasoning { redacted: Some(data), .. } => json!({"type": "redacted_thinking", "data": data}),
        PartKind::Reasoning { text, signature: Some(signature), .. } => {
            json!({"type": "thinking", "thinking": text, "signature": signature})
        }
        // Without its signature a thought is refused when it comes back.
        PartKind::Reasoning { .. } => {
            notes.hint("reasoning without a signature")?;
            return Ok(None);
        }
        PartKind::Unknown { dialect: HERE, value } => value.clone(),
        PartKind::Unknown { .. } => {
            notes.refuse(describe(part))?;
            return Ok(None);
        }
    };
    let Value::Object(mut block) = block else { return Ok(Some(block)) };
    if let Some(cache) = &part.cache {
        block.insert("cache_control".into(), write_cache(cache));
    }
    notes.inner(&part.extra, &mut block)?;
    Ok(Some(Value::Object(block)))
}

/// Writes a cache marker.
pub(super) fn write_cache(cache: &CacheMarker) -> Value {
    match &cache.ttl {
        Some(ttl) => json!({"type": "ephemeral", "ttl": ttl}),
        None => json!({"type": "ephemeral"}),
    }
}

fn write_media(media: &Media) -> Option<Value> {
    let kind = match media.modality {
        Modality::Image => "image",
        Modality::File | Modality::Text => "document",
        Modality::Audio | Modality::Video => return None,
    };
    let source = match &media.source {
        Source::Data { mime, base64 } => json!({"type": "base64", "media_type": mime, "data": base64}),
        Source::Url { url, .. } => json!({"type": "url", "url": url}),
        Source::FileId(id) => json!({"type": "file", "file_id": id}),
        Source::Text(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
    };
    let mut block = json!({"type": kind, "source": source});
    if let (Some(name), "document", Some(o)) = (&media.name, kind, block.as_object_mut()) {
        o.insert("title".into(), name.as_str().into());
    }
    Some(block)
}

/// The arguments of a call as the object this and other dialects want.
pub(in crate::dialect) fn arguments_object(arguments: &str) -> Result<Value> {
    let text = arguments.trim();
    if text.is_empty() {
        return Ok(json!({}));
    }
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(crate::Error::Shape { path: "the arguments of a tool call".into(), want: "a JSON object" }),
    }
}
