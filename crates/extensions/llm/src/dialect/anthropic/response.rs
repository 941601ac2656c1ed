//! Whole answers.

use super::{blocks, read_finish, read_usage, write_finish, write_usage};
use crate::Result;
use crate::canonical::{Choice, Extra, Part, PartKind, Response, Usage};
use crate::dialect::openai_chat::response::call_id;
use crate::dialect::{Dialect, Encoded, Leniency, Notes, Reply};
use crate::json::Fields;
use crate::{Error, dialect::Codec};
use serde_json::{Map, Value};

/// Reads an answer.
pub(super) fn read(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let content = f.take("content").ok_or_else(|| f.must_be("content", "an array of content blocks"))?;
    let parts = blocks::read_content(content, f.path("content"))?;
    let sequence = f.lenient_string("stop_sequence");
    let finish = f.lenient_string("stop_reason").map(|w| read_finish(&w, sequence.as_deref()));
    let usage = f.take("usage").as_ref().and_then(read_usage);
    let (id, model) = (f.lenient_string("id"), f.lenient_string("model"));
    let (_, _) = (f.take("type"), f.take("role"));
    Ok(Response {
        id,
        model,
        created: None,
        choices: vec![Choice { parts, finish, logprobs: None }],
        usage,
        extra: Extra::new(Dialect::Anthropic, f.rest()),
    })
}

/// Writes an answer.
pub(super) fn write(response: &Response, reply: &Reply) -> Result<Encoded> {
    let choice = match response.choices.as_slice() {
        [choice] => choice,
        [] => &Choice::default(),
        _ => return Err(several()),
    };
    let mut notes = Notes::new(Dialect::Anthropic, Leniency::Lenient);
    let mut body = Map::new();
    body.insert("id".into(), response.id.as_deref().unwrap_or(&reply.id).into());
    body.insert("type".into(), "message".into());
    body.insert("role".into(), "assistant".into());
    body.insert("model".into(), response.model.as_deref().unwrap_or(&reply.model).into());
    let parts: Vec<Part> = choice.parts.iter().enumerate().map(|(i, p)| with_id(p, i, reply)).collect();
    body.insert("content".into(), write_blocks(&parts, &mut notes)?.into());
    let (reason, sequence) = choice.finish.as_ref().map_or((None, None), |f| {
        let (reason, sequence) = write_finish(f);
        (Some(reason), sequence)
    });
    body.insert("stop_reason".into(), reason.into());
    body.insert("stop_sequence".into(), sequence.into());
    let usage = response.usage.unwrap_or_else(|| Usage::new(reply.input_estimate, 0));
    body.insert("usage".into(), write_usage(&usage).into());
    if let Some(own) = response.extra.of(Dialect::Anthropic) {
        for (key, value) in own {
            body.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    Ok(notes.done(body))
}

/// Answers, unlike requests, may hold thoughts without a signature: the client asked to see them.
fn write_blocks(parts: &[Part], notes: &mut Notes) -> Result<Vec<Value>> {
    let mut out = Vec::with_capacity(parts.len());
    for part in parts {
        match &part.kind {
            PartKind::Reasoning { text, signature: None, redacted: None } => {
                out.push(serde_json::json!({"type": "thinking", "thinking": text, "signature": ""}));
            }
            _ => out.extend(blocks::write_blocks(std::slice::from_ref(part), notes)?),
        }
    }
    Ok(out)
}

fn with_id(part: &Part, at: usize, reply: &Reply) -> Part {
    let mut part = part.clone();
    if let PartKind::ToolCall { id, .. } = &mut part.kind {
        *id = call_id(id, reply, 0, at as u32);
    }
    part
}

fn several() -> Error {
    super::Anthropic.lacks("several alternative answers")
}
