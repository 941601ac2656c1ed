//! The messages of a chat: reading and writing. Other dialects that borrowed the shape use it too.

use crate::Result;
use crate::canonical::{CacheMarker, Extra, Message, Part, PartKind, Role};
use crate::dialect::{Dialect, Notes, openai::media};
use crate::json::{Fields, Path};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::OpenAiChat;

/// Reads one message of a request or an answer.
pub(in crate::dialect) fn read(mut m: Fields<'_>) -> Result<Message> {
    let role = match m.need_string("role")?.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" | "model" => Role::Assistant,
        "tool" | "function" => Role::Tool,
        _ => return Err(m.must_be("role", "system, developer, user, assistant or tool")),
    };
    let name = m.string("name")?;
    let mut parts = Vec::new();
    if role == Role::Assistant {
        read_reasoning(&mut m, &mut parts)?;
    }
    if let Some(content) = m.take("content") {
        parts.extend(read_content(content, m.path("content"))?);
    }
    if role == Role::Tool {
        let call_id = m.string("tool_call_id")?.unwrap_or_default();
        let result = PartKind::ToolResult { call_id, name: name.clone(), content: parts, is_error: false };
        let mut part = Part::new(result);
        part.cache = read_cache(&mut m);
        return Ok(Message { role, parts: vec![part], name, extra: Extra::new(HERE, m.rest()) });
    }
    if role == Role::Assistant {
        if let Some(text) = m.string("refusal")? {
            parts.push(Part::new(PartKind::Refusal { text }));
        }
        parts.extend(m.each("tool_calls", read_call)?.unwrap_or_default());
    }
    if let (Some(cache), Some(last)) = (read_cache(&mut m), parts.last_mut()) {
        last.cache = Some(cache);
    }
    Ok(Message { role, parts, name, extra: Extra::new(HERE, m.rest()) })
}

/// Reads `content`: a text, or an array of parts.
pub(in crate::dialect) fn read_content(content: Value, path: Path<'_>) -> Result<Vec<Part>> {
    match content {
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(items) => {
            let read = |(i, item)| read_part(item, path.index(i));
            items.into_iter().enumerate().map(read).collect()
        }
        _ => Err(path.must_be("a string or an array of parts")),
    }
}

fn read_part(value: Value, path: Path<'_>) -> Result<Part> {
    if let Value::String(text) = value {
        return Ok(Part::text(text));
    }
    let mut f = Fields::of(value, path)?;
    let cache = read_cache(&mut f);
    let kind = f.need_string("type")?;
    let (kind, rest) = match kind.as_str() {
        "text" | "input_text" | "output_text" => {
            let text = f.need_string("text")?;
            (PartKind::Text { text }, f.rest())
        }
        "refusal" => {
            let text = f.need_string("refusal")?;
            (PartKind::Refusal { text }, f.rest())
        }
        "image_url" | "video_url" | "input_audio" | "file" => {
            let (media, rest) = media::read_part(&kind, f)?;
            (PartKind::Media(media), rest)
        }
        // Magistral's reasoning inside the content.
        "thinking" => {
            let text = match f.take("thinking") {
                Some(Value::String(text)) => text,
                Some(content) => texts(&read_content(content, f.path("thinking"))?),
                None => String::new(),
            };
            let signature = f.string("signature")?;
            (PartKind::Reasoning { text, signature, redacted: None }, f.rest())
        }
        other => {
            let mut value = f.rest();
            value.insert("type".into(), other.into());
            (PartKind::Unknown { dialect: HERE, value: Value::Object(value) }, Map::new())
        }
    };
    Ok(Part { kind, cache, extra: Extra::new(HERE, rest) })
}

/// The texts of parts, one after the other.
pub(in crate::dialect) fn texts(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect()
}

/// Reads `cache_control`, which OpenAI itself does not know but several of its imitators pass on.
pub(in crate::dialect) fn read_cache(f: &mut Fields<'_>) -> Option<CacheMarker> {
    let marker = f.take("cache_control")?;
    let ttl = marker.get("ttl").and_then(Value::as_str).map(str::to_owned);
    Some(CacheMarker { ttl })
}

/// Reads the reasoning of an assistant message under the names servers give it.
pub(in crate::dialect) fn read_reasoning(m: &mut Fields<'_>, parts: &mut Vec<Part>) -> Result<()> {
    let text = m.lenient_string("reasoning_content");
    let alias = m.lenient_string("reasoning");
    let blocks = m.each("thinking_blocks", |mut b| {
        Ok(PartKind::Reasoning {
            text: b.string("thinking")?.unwrap_or_default(),
            signature: b.string("signature")?,
            redacted: b.string("data")?,
        })
    })?;
    match blocks {
        // The blocks repeat the text, with signatures.
        Some(blocks) => parts.extend(blocks.into_iter().map(Part::new)),
        None => {
            let text = text.or(alias).filter(|t| !t.is_empty());
            parts.extend(text.map(|text| Part::new(PartKind::Reasoning { text, signature: None, redacted: None })));
        }
    }
    Ok(())
}

fn read_call(mut call: Fields<'_>) -> Result<Part> {
    let id = call.string("id")?.unwrap_or_default();
    let kind = call.string("type")?.unwrap_or_else(|| "function".to_owned());
    if kind != "function" {
        let mut value = call.rest();
        value.insert("id".into(), id.into());
        value.insert("type".into(), kind.into());
        return Ok(Part::new(PartKind::Unknown { dialect: HERE, value: Value::Object(value) }));
    }
    let signature = call
        .take("extra_content")
        .and_then(|e| e.pointer("/google/thought_signature").and_then(Value::as_str).map(str::to_owned));
    let function = call.inner("function", |mut f| {
        let name = f.need_string("name")?;
        Ok((name, read_arguments(f.take("arguments"))))
    })?;
    let (name, arguments) = function.ok_or_else(|| call.must_be("function", "an object"))?;
    // `index` only orders the pieces of a stream; imitators leave it in whole answers.
    let _ = call.take("index");
    let kind = PartKind::ToolCall { id, name, arguments, signature };
    Ok(Part { kind, cache: None, extra: Extra::new(HERE, call.rest()) })
}

/// Arguments as JSON text, also where a server sends them as the object itself.
pub(in crate::dialect) fn read_arguments(value: Option<Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

/// Writes one message of a request; a message of tool results becomes several.
pub(in crate::dialect) fn write(message: &Message, notes: &mut Notes, out: &mut Vec<Value>) -> Result<()> {
    let mut m = Map::new();
    match message.role {
        Role::Tool => return write_results(message, notes, out),
        Role::System => m.insert("role".into(), "system".into()),
        Role::Developer => m.insert("role".into(), "developer".into()),
        Role::User => m.insert("role".into(), "user".into()),
        Role::Assistant => m.insert("role".into(), "assistant".into()),
    };
    if let Some(name) = &message.name {
        m.insert("name".into(), name.as_str().into());
    }
    if message.role == Role::Assistant {
        write_assistant(&message.parts, notes, &mut m)?;
    } else {
        let parts: Vec<&Part> = message.parts.iter().collect();
        m.insert("content".into(), write_content(&parts, notes)?);
    }
    notes.inner(&message.extra, &mut m)?;
    out.push(Value::Object(m));
    Ok(())
}

/// Writes parts as `content`: a bare text where that says it all.
fn write_content(parts: &[&Part], notes: &mut Notes) -> Result<Value> {
    if let [part] = parts
        && let Some(text) = part.as_text()
        && part.is_plain()
    {
        return Ok(text.into());
    }
    let mut items = Vec::with_capacity(parts.len());
    for part in parts {
        items.extend(write_part(part, notes)?.map(Value::Object));
    }
    Ok(items.into())
}

fn write_part(part: &Part, notes: &mut Notes) -> Result<Option<Map<String, Value>>> {
    let written = match &part.kind {
        PartKind::Text { text } => to_map(json!({"type": "text", "text": text})),
        PartKind::Refusal { text } => to_map(json!({"type": "refusal", "refusal": text})),
        PartKind::Media(media) => media::write_part(media),
        PartKind::Unknown { dialect: HERE, value } => to_map(value.clone()),
        _ => None,
    };
    let Some(mut written) = written else {
        notes.refuse(describe(part))?;
        return Ok(None);
    };
    if part.cache.is_some() {
        notes.hint("a cache marker")?;
    }
    notes.inner(&part.extra, &mut written)?;
    Ok(Some(written))
}

/// What a part is, for an error about it.
pub(in crate::dialect) fn describe(part: &Part) -> String {
    use crate::canonical::{Modality as M, Source as S};
    let what = match &part.kind {
        PartKind::Text { .. } => "text here",
        PartKind::ToolCall { .. } => "a tool call here",
        PartKind::ToolResult { .. } => "a tool result here",
        PartKind::Reasoning { .. } => "reasoning here",
        PartKind::Refusal { .. } => "a refusal here",
        PartKind::Unknown { value, .. } => {
            let kind = value.get("type").and_then(Value::as_str).filter(|k| k.len() < 64).unwrap_or("unknown");
            return format!("a content part of type `{kind}`");
        }
        PartKind::Media(media) => {
            let kind = match media.modality {
                M::Text => "text",
                M::Image => "an image",
                M::Audio => "audio",
                M::Video => "a video",
                M::File => "a file",
            };
            let source = match media.source {
                S::Data { .. } => "data",
                S::Url { .. } => "address",
                S::FileId(_) => "file id",
                S::Text(_) => "text",
            };
            return format!("{kind} given by {source} here");
        }
    };
    what.to_owned()
}

/// Adds what an assistant said to a message object of a request.
fn write_assistant(parts: &[Part], notes: &mut Notes, m: &mut Map<String, Value>) -> Result<()> {
    let mut said = Vec::new();
    let mut calls = Vec::new();
    let mut reasoning = ReasoningFields::default();
    for part in parts {
        match &part.kind {
            PartKind::ToolCall { id, name, arguments, signature } => {
                let mut call = write_call(id, name, arguments, signature.as_deref());
                notes.inner(&part.extra, &mut call)?;
                calls.push(Value::Object(call));
            }
            PartKind::Reasoning { text, signature, redacted } => {
                reasoning.add(text, signature.as_deref(), redacted.as_deref());
            }
            PartKind::Refusal { text } if parts.iter().all(|p| p.as_text().is_none()) => {
                m.insert("refusal".into(), text.as_str().into());
            }
            PartKind::Unknown { dialect: HERE, value } if value.get("id").is_some() => calls.push(value.clone()),
            _ => said.push(part),
        }
    }
    // An empty text beside calls says nothing; alone it is the whole answer.
    if !calls.is_empty() {
        said.retain(|p| p.as_text() != Some(""));
    }
    let content = if said.is_empty() { Value::Null } else { write_content(&said, notes)? };
    m.insert("content".into(), content);
    reasoning.write(m);
    if !calls.is_empty() {
        m.insert("tool_calls".into(), calls.into());
    }
    Ok(())
}

/// A tool call in OpenAI's shape.
pub(in crate::dialect) fn write_call(
    id: &str,
    name: &str,
    arguments: &str,
    signature: Option<&str>,
) -> Map<String, Value> {
    let arguments = if arguments.is_empty() { "{}" } else { arguments };
    let mut call = Map::new();
    call.insert("id".into(), id.into());
    call.insert("type".into(), "function".into());
    call.insert("function".into(), json!({"name": name, "arguments": arguments}));
    if let Some(s) = signature {
        call.insert("extra_content".into(), json!({"google": {"thought_signature": s}}));
    }
    call
}

/// Reasoning as `reasoning_content`, and as `thinking_blocks` when there are signatures to keep.
#[derive(Default)]
pub(in crate::dialect) struct ReasoningFields {
    text: String,
    blocks: Vec<Value>,
    signed: bool,
}

impl ReasoningFields {
    /// Adds one part.
    pub(in crate::dialect) fn add(&mut self, text: &str, signature: Option<&str>, redacted: Option<&str>) {
        self.text.push_str(text);
        self.signed |= signature.is_some() || redacted.is_some();
        self.blocks.push(match redacted {
            Some(data) => json!({"type": "redacted_thinking", "data": data}),
            None => {
                let mut block = json!({"type": "thinking", "thinking": text});
                if let (Some(s), Some(o)) = (signature, block.as_object_mut()) {
                    o.insert("signature".into(), s.into());
                }
                block
            }
        });
    }

    /// Adds the fields to a message.
    pub(in crate::dialect) fn write(self, m: &mut Map<String, Value>) {
        if !self.text.is_empty() {
            m.insert("reasoning_content".into(), self.text.into());
        }
        if self.signed {
            m.insert("thinking_blocks".into(), self.blocks.into());
        }
    }
}

fn write_results(message: &Message, notes: &mut Notes, out: &mut Vec<Value>) -> Result<()> {
    for part in &message.parts {
        let PartKind::ToolResult { call_id, content, is_error, .. } = &part.kind else {
            notes.refuse(describe(part))?;
            continue;
        };
        if *is_error {
            notes.hint("the error flag of a tool result")?;
        }
        let mut m = Map::new();
        m.insert("role".into(), "tool".into());
        m.insert("tool_call_id".into(), call_id.as_str().into());
        if let Some(bad) = content.iter().find(|p| p.as_text().is_none()) {
            notes.refuse(format!("{} in a tool result", describe(bad)))?;
        }
        let parts: Vec<&Part> = content.iter().filter(|p| p.as_text().is_some()).collect();
        let content = if parts.is_empty() { "".into() } else { write_content(&parts, notes)? };
        m.insert("content".into(), content);
        if part.cache.is_some() {
            notes.hint("a cache marker")?;
        }
        notes.inner(&message.extra, &mut m)?;
        out.push(Value::Object(m));
    }
    Ok(())
}

fn to_map(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(o) => Some(o),
        _ => None,
    }
}
