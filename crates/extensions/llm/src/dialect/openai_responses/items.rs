//! Items: messages, function calls and their outputs, reasoning.

use crate::Result;
use crate::canonical::{Extra, Media, Message, Modality, Part, PartKind, Role, Source};
use crate::dialect::openai::media;
use crate::dialect::openai_chat::messages::describe;
use crate::dialect::{Dialect, Notes};
use crate::json::{Fields, Path};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::OpenAiResponses;

/// Reads items into messages. What the model said and did in a row is one message.
pub(super) fn read_all(items: Vec<Value>, path: Path<'_>) -> Result<Vec<Message>> {
    let mut out: Vec<Message> = Vec::new();
    for (i, item) in items.into_iter().enumerate() {
        let (role, parts, extra) = read(Fields::of(item, path.index(i))?)?;
        match out.last_mut().filter(|m| m.role == role && matches!(role, Role::Assistant | Role::Tool)) {
            Some(last) => last.parts.extend(parts),
            None => out.push(Message { role, parts, name: None, extra }),
        }
    }
    Ok(out)
}

fn read(mut item: Fields<'_>) -> Result<(Role, Vec<Part>, Extra)> {
    let kind = item.string("type")?;
    match kind.as_deref() {
        None | Some("message") => {
            let role = match item.need_string("role")?.as_str() {
                "system" => Role::System,
                "developer" => Role::Developer,
                "user" => Role::User,
                "assistant" => Role::Assistant,
                _ => return Err(item.must_be("role", "system, developer, user or assistant")),
            };
            let content = item.take("content").ok_or_else(|| item.must_be("content", "a string or an array"))?;
            let parts = read_content(content, item.path("content"))?;
            // Ids and states are the server's bookkeeping.
            let _ = (item.take("id"), item.take("status"));
            Ok((role, parts, Extra::new(HERE, item.rest())))
        }
        Some("function_call_output") => {
            let call_id = item.need_string("call_id")?;
            let content = match item.take("output") {
                Some(output) => read_content(output, item.path("output"))?,
                None => Vec::new(),
            };
            let result = PartKind::ToolResult { call_id, name: None, content, is_error: false };
            Ok((Role::Tool, vec![Part::new(result)], Extra::default()))
        }
        Some(kind) => {
            let kind = kind.to_owned();
            Ok((Role::Assistant, read_output_item(&kind, item)?, Extra::default()))
        }
    }
}

/// Reads an item of an answer.
pub(super) fn read_output(mut item: Fields<'_>) -> Result<Vec<Part>> {
    let kind = item.need_string("type")?;
    if kind == "message" {
        let content = item.take("content").unwrap_or_else(|| json!([]));
        return read_content(content, item.path("content"));
    }
    read_output_item(&kind, item)
}

fn read_output_item(kind: &str, mut item: Fields<'_>) -> Result<Vec<Part>> {
    let part = match kind {
        "function_call" => Part::new(PartKind::ToolCall {
            id: item.need_string("call_id")?,
            name: item.need_string("name")?,
            arguments: item.string("arguments")?.unwrap_or_default(),
            signature: None,
        }),
        "reasoning" => {
            let mut texts = item.each("summary", |mut s| s.need_string("text"))?.unwrap_or_default();
            texts.extend(item.each("content", |mut s| s.need_string("text"))?.unwrap_or_default());
            let signature = item.string("encrypted_content")?;
            let mut part = Part::new(PartKind::Reasoning { text: texts.join("\n\n"), signature, redacted: None });
            if let Some(id) = item.take("id") {
                part.extra = Extra::new(HERE, Map::from_iter([("id".to_owned(), id)]));
            }
            part
        }
        _ => {
            let mut value = item.rest();
            value.insert("type".into(), kind.into());
            Part::new(PartKind::Unknown { dialect: HERE, value: Value::Object(value) })
        }
    };
    Ok(vec![part])
}

fn read_content(content: Value, path: Path<'_>) -> Result<Vec<Part>> {
    match content {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(items) => {
            let read = |(i, item)| read_part(Fields::of(item, path.index(i))?);
            items.into_iter().enumerate().map(read).collect()
        }
        _ => Err(path.must_be("a string or an array of parts")),
    }
}

fn read_part(mut f: Fields<'_>) -> Result<Part> {
    let kind = f.need_string("type")?;
    let file_id = |f: &mut Fields<'_>| f.string("file_id");
    let kind = match kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" => {
            let text = f.need_string("text")?;
            // Empty on most answers; only what is in them is worth keeping.
            for key in ["annotations", "logprobs"] {
                if let Some(value) = f.take(key).filter(|v| v.as_array().is_none_or(|a| !a.is_empty())) {
                    let extra = Extra::new(HERE, Map::from_iter([(key.to_owned(), value)]));
                    return Ok(Part { kind: PartKind::Text { text }, cache: None, extra });
                }
            }
            PartKind::Text { text }
        }
        "refusal" => PartKind::Refusal { text: f.need_string("refusal")? },
        "input_image" => {
            let source = match (f.string("image_url")?, file_id(&mut f)?) {
                (Some(url), _) => media::read_url(url),
                (None, Some(id)) => Source::FileId(id),
                (None, None) => return Err(f.must_be("image_url", "a string, or file_id")),
            };
            // The default, which most clients spell out.
            let detail = f.string("detail")?.filter(|d| d != "auto");
            PartKind::Media(Media { modality: Modality::Image, source, name: None, detail })
        }
        "input_file" => {
            let name = f.string("filename")?;
            let source = match (f.string("file_data")?, f.string("file_url")?, file_id(&mut f)?) {
                (Some(data), ..) => media::read_url(data),
                (None, Some(url), _) => Source::Url { url, mime: None },
                (None, None, Some(id)) => Source::FileId(id),
                _ => return Err(f.must_be("file_data", "a data URI, or file_url, or file_id")),
            };
            PartKind::Media(Media { modality: Modality::File, source, name, detail: None })
        }
        _ => {
            let mut value = f.rest();
            value.insert("type".into(), kind.into());
            return Ok(Part::new(PartKind::Unknown { dialect: HERE, value: Value::Object(value) }));
        }
    };
    Ok(Part { kind, cache: None, extra: Extra::new(HERE, f.rest()) })
}

/// Writes a message as items: what is said in one, calls, results and thoughts each in their own.
pub(super) fn write(message: &Message, notes: &mut Notes, out: &mut Vec<Value>) -> Result<()> {
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    if message.name.is_some() && message.role != Role::Tool {
        notes.hint("the name of a speaker")?;
    }
    let mut said: Vec<Value> = Vec::new();
    let flush = |said: &mut Vec<Value>, out: &mut Vec<Value>| {
        if !said.is_empty() {
            out.push(json!({"type": "message", "role": role, "content": std::mem::take(said)}));
        }
    };
    for part in &message.parts {
        if part.cache.is_some() {
            notes.hint("a cache marker")?;
        }
        if part.as_text() == Some("") && message.parts.len() > 1 {
            continue;
        }
        let item = match &part.kind {
            PartKind::ToolCall { id, name, arguments, .. } => Some(call_item(id, name, arguments, None)),
            PartKind::ToolResult { call_id, content, is_error, .. } => {
                if *is_error {
                    notes.hint("the error flag of a tool result")?;
                }
                let output = write_output(content, notes)?;
                Some(json!({"type": "function_call_output", "call_id": call_id, "output": output}))
            }
            PartKind::Reasoning { text, signature, redacted } => {
                let own = part.extra.of(HERE).and_then(|x| x.get("id"));
                match (signature, redacted) {
                    // The encrypted form says it all; an id is the server's own bookkeeping.
                    (Some(_), None) => Some(reasoning_item(own.cloned(), text, signature.as_deref())),
                    _ => {
                        notes.hint("reasoning that is not encrypted")?;
                        continue;
                    }
                }
            }
            PartKind::Unknown { dialect: HERE, value } if message.role == Role::Assistant => Some(value.clone()),
            _ => None,
        };
        match item {
            Some(item) => {
                flush(&mut said, out);
                out.push(item);
            }
            None => said.extend(write_part(part, message.role == Role::Assistant, notes)?),
        }
    }
    flush(&mut said, out);
    Ok(())
}

/// A function call.
pub(super) fn call_item(call_id: &str, name: &str, arguments: &str, id: Option<&str>) -> Value {
    let arguments = if arguments.is_empty() { "{}" } else { arguments };
    let mut item = Map::new();
    item.insert("type".into(), "function_call".into());
    if let Some(id) = id {
        item.insert("id".into(), id.into());
        item.insert("status".into(), "completed".into());
    }
    item.insert("call_id".into(), call_id.into());
    item.insert("name".into(), name.into());
    item.insert("arguments".into(), arguments.into());
    Value::Object(item)
}

/// A reasoning item.
pub(super) fn reasoning_item(id: Option<Value>, text: &str, signature: Option<&str>) -> Value {
    let summary = if text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": text}]) };
    let mut item = Map::new();
    item.insert("type".into(), "reasoning".into());
    if let Some(id) = id {
        item.insert("id".into(), id);
    }
    item.insert("summary".into(), summary);
    if let Some(s) = signature {
        item.insert("encrypted_content".into(), s.into());
    }
    Value::Object(item)
}

fn write_output(content: &[Part], notes: &mut Notes) -> Result<Value> {
    match content {
        [] => Ok("".into()),
        [one] if one.as_text().is_some() => Ok(one.as_text().into()),
        parts => {
            let mut out = Vec::with_capacity(parts.len());
            for part in parts {
                out.extend(write_part(part, false, notes)?);
            }
            Ok(out.into())
        }
    }
}

/// Writes a part of what is said.
pub(super) fn write_part(part: &Part, assistant: bool, notes: &mut Notes) -> Result<Option<Value>> {
    let written = match &part.kind {
        PartKind::Text { text } => {
            let kind = if assistant { "output_text" } else { "input_text" };
            Some(json!({"type": kind, "text": text}))
        }
        PartKind::Refusal { text } if assistant => Some(json!({"type": "refusal", "refusal": text})),
        PartKind::Media(media) if !assistant => write_media(media),
        PartKind::Unknown { dialect: HERE, value } => Some(value.clone()),
        _ => None,
    };
    let Some(Value::Object(mut written)) = written else {
        notes.refuse(describe(part))?;
        return Ok(None);
    };
    notes.inner(&part.extra, &mut written)?;
    Ok(Some(Value::Object(written)))
}

fn write_media(media: &Media) -> Option<Value> {
    let mut part = Map::new();
    match (media.modality, &media.source) {
        (Modality::Image, source) => {
            part.insert("type".into(), "input_image".into());
            match source {
                Source::FileId(id) => part.insert("file_id".into(), id.as_str().into()),
                source => part.insert("image_url".into(), media::url_of(source)?.into()),
            };
            part.insert("detail".into(), media.detail.as_deref().unwrap_or("auto").into());
        }
        (Modality::File, source) => {
            part.insert("type".into(), "input_file".into());
            match source {
                Source::FileId(id) => part.insert("file_id".into(), id.as_str().into()),
                Source::Url { url, .. } => part.insert("file_url".into(), url.as_str().into()),
                source => {
                    part.insert("filename".into(), media.name.as_deref().unwrap_or("file").into());
                    part.insert("file_data".into(), media::url_of(source)?.into())
                }
            };
        }
        _ => return None,
    }
    Some(Value::Object(part))
}
