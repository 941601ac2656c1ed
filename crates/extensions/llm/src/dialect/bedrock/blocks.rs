//! Content blocks: objects with one key that says what they are.

use crate::Result;
use crate::canonical::{CacheMarker, Extra, Media, Modality, Part, PartKind, Source};
use crate::dialect::anthropic::arguments_object;
use crate::dialect::openai_chat::messages::describe;
use crate::dialect::{Dialect, Notes};
use crate::json::{Fields, Path};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Bedrock;

/// Reads blocks. A cache point marks the block before it.
pub(super) fn read_all(items: Vec<Value>, path: Path<'_>) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::with_capacity(items.len());
    for (i, item) in items.into_iter().enumerate() {
        let at = path.index(i);
        if let Some(point) = item.get("cachePoint") {
            let ttl = point.get("ttl").and_then(Value::as_str).map(str::to_owned);
            if let Some(last) = parts.last_mut() {
                last.cache = Some(CacheMarker { ttl });
            }
            continue;
        }
        parts.push(read(item, at)?);
    }
    Ok(parts)
}

/// Reads one block.
pub(super) fn read(value: Value, path: Path<'_>) -> Result<Part> {
    let mut f = Fields::of(value, path)?;
    if let Some(text) = f.string("text")? {
        return Ok(Part { kind: PartKind::Text { text }, cache: None, extra: Extra::new(HERE, f.rest()) });
    }
    let kind = if let Some(media) = f.inner("image", |m| read_media(m, Modality::Image))? {
        PartKind::Media(media)
    } else if let Some(media) = f.inner("document", |m| read_media(m, Modality::File))? {
        PartKind::Media(media)
    } else if let Some(media) = f.inner("video", |m| read_media(m, Modality::Video))? {
        PartKind::Media(media)
    } else if let Some(call) = f.inner("toolUse", |mut c| {
        let arguments = c.object("input")?.filter(|o| !o.is_empty());
        Ok(PartKind::ToolCall {
            id: c.need_string("toolUseId")?,
            name: c.need_string("name")?,
            arguments: arguments.map_or_else(String::new, |o| Value::Object(o).to_string()),
            signature: None,
        })
    })? {
        call
    } else if let Some(result) = f.inner("toolResult", read_result)? {
        result
    } else if let Some(reasoning) = f.inner("reasoningContent", read_reasoning)? {
        reasoning
    } else {
        PartKind::Unknown { dialect: HERE, value: Value::Object(f.rest()) }
    };
    Ok(Part::new(kind))
}

fn read_result(mut r: Fields<'_>) -> Result<PartKind> {
    let items = r.array("content")?.unwrap_or_default();
    let path = r.path("content");
    let mut content = Vec::with_capacity(items.len());
    for (i, mut item) in items.into_iter().enumerate() {
        content.push(match item.get_mut("json").map(Value::take) {
            Some(json) => Part::text(json.to_string()),
            None => read(item, path.index(i))?,
        });
    }
    let is_error = r.string("status")?.as_deref() == Some("error");
    Ok(PartKind::ToolResult { call_id: r.need_string("toolUseId")?, name: None, content, is_error })
}

fn read_reasoning(mut r: Fields<'_>) -> Result<PartKind> {
    let redacted = r.string("redactedContent")?;
    let text = r.inner("reasoningText", |mut t| Ok((t.string("text")?.unwrap_or_default(), t.string("signature")?)))?;
    let (text, signature) = text.unwrap_or_default();
    Ok(PartKind::Reasoning { text, signature, redacted })
}

fn read_media(mut m: Fields<'_>, modality: Modality) -> Result<Media> {
    let format = m.string("format")?;
    let name = m.string("name")?;
    let source = m.inner("source", |mut s| {
        if let Some(base64) = s.string("bytes")? {
            return Ok(Source::Data { mime: mime(modality, format.as_deref()), base64 });
        }
        if let Some(text) = s.string("text")? {
            return Ok(Source::Text(text));
        }
        let url = s.inner("s3Location", |mut l| l.need_string("uri"))?;
        let url = url.ok_or_else(|| s.must_be("bytes", "base64, or s3Location an object"))?;
        Ok(Source::Url { url, mime: Some(mime(modality, format.as_deref())) })
    })?;
    let source = source.ok_or_else(|| m.must_be("source", "an object"))?;
    Ok(Media { modality, source, name, detail: None })
}

/// Formats of documents and the MIME types they stand for.
const DOCUMENTS: &[(&str, &str)] = &[
    ("pdf", "application/pdf"),
    ("txt", "text/plain"),
    ("csv", "text/csv"),
    ("html", "text/html"),
    ("md", "text/markdown"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
];

fn mime(modality: Modality, format: Option<&str>) -> String {
    let format = format.unwrap_or_default();
    match modality {
        Modality::Image => format!("image/{format}"),
        Modality::Video => format!("video/{format}"),
        _ => DOCUMENTS.iter().find(|(f, _)| *f == format).map_or("application/octet-stream", |(_, m)| m).to_owned(),
    }
}

fn format(modality: Modality, mime: &str) -> Option<&str> {
    let mime = mime.split(';').next().unwrap_or_default();
    match modality {
        Modality::Image => mime.strip_prefix("image/").map(|f| if f == "jpg" { "jpeg" } else { f }),
        Modality::Video => mime.strip_prefix("video/").map(|f| if f == "quicktime" { "mov" } else { f }),
        _ => DOCUMENTS.iter().find(|(_, m)| *m == mime).map(|(f, _)| *f),
    }
}

/// Writes parts as blocks, with cache points behind those that are marked. Empty texts are left
/// out: the service refuses them, and they say nothing.
pub(super) fn write_all(parts: &[Part], notes: &mut Notes) -> Result<Vec<Value>> {
    let mut out = Vec::with_capacity(parts.len());
    for part in parts.iter().filter(|p| p.as_text() != Some("")) {
        let Some(block) = write(part, notes)? else { continue };
        out.push(block);
        out.extend(part.cache.as_ref().map(cache_point));
    }
    Ok(out)
}

/// The block that marks what comes before it for caching.
pub(super) fn cache_point(cache: &CacheMarker) -> Value {
    match &cache.ttl {
        Some(ttl) => json!({"cachePoint": {"type": "default", "ttl": ttl}}),
        None => json!({"cachePoint": {"type": "default"}}),
    }
}

fn write(part: &Part, notes: &mut Notes) -> Result<Option<Value>> {
    let block = match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => json!({"text": text}),
        PartKind::Media(media) => match write_media(media) {
            Some(block) => block,
            None => {
                notes.refuse(describe(part))?;
                return Ok(None);
            }
        },
        PartKind::ToolCall { id, name, arguments, .. } => {
            json!({"toolUse": {"toolUseId": id, "name": name, "input": arguments_object(arguments)?}})
        }
        PartKind::ToolResult { call_id, content, is_error, .. } => {
            let mut content = write_all(content, notes)?;
            if content.is_empty() {
                // The service wants at least one block.
                content.push(json!({"text": " "}));
            }
            let mut result = Map::new();
            result.insert("toolUseId".into(), call_id.as_str().into());
            result.insert("content".into(), content.into());
            if *is_error {
                result.insert("status".into(), "error".into());
            }
            json!({"toolResult": result})
        }
        PartKind::Reasoning { redacted: Some(data), .. } => json!({"reasoningContent": {"redactedContent": data}}),
        PartKind::Reasoning { text, signature: Some(signature), .. } => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        }
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
    notes.inner(&part.extra, &mut block)?;
    Ok(Some(Value::Object(block)))
}

fn write_media(media: &Media) -> Option<Value> {
    let (key, modality) = match media.modality {
        Modality::Image => ("image", Modality::Image),
        Modality::Video => ("video", Modality::Video),
        Modality::File | Modality::Text => ("document", Modality::File),
        Modality::Audio => return None,
    };
    let mut block = Map::new();
    match &media.source {
        Source::Data { mime, base64 } => {
            block.insert("format".into(), format(modality, mime)?.into());
            block.insert("source".into(), json!({"bytes": base64}));
        }
        Source::Url { url, mime } if url.starts_with("s3://") => {
            block.insert("format".into(), format(modality, mime.as_deref()?)?.into());
            block.insert("source".into(), json!({"s3Location": {"uri": url}}));
        }
        Source::Text(text) if key == "document" => {
            block.insert("format".into(), "txt".into());
            block.insert("source".into(), json!({"text": text}));
        }
        _ => return None,
    }
    if key == "document" {
        block.insert("name".into(), document_name(media.name.as_deref()).into());
    }
    Some(json!({key: block}))
}

/// A name as the service allows it: letters, digits, single blanks, hyphens, brackets.
fn document_name(name: Option<&str>) -> String {
    let mut out = String::new();
    for c in name.unwrap_or_default().chars().take(200) {
        match c {
            c if c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']') => out.push(c),
            _ if out.ends_with(' ') => {}
            _ => out.push(' '),
        }
    }
    let out = out.trim();
    if out.is_empty() { "document".to_owned() } else { out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::document_name;

    #[test]
    fn names_of_documents_are_made_acceptable() {
        for (name, expected) in [
            (None, "document"),
            (Some("../a__b.pdf"), "a b pdf"),
            (Some("Bill (1)"), "Bill (1)"),
            (Some("é"), "document"),
        ] {
            assert_eq!(document_name(name), expected);
        }
    }
}
