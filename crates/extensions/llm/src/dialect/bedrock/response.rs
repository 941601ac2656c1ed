//! Whole answers.

use super::{blocks, read_finish, read_usage, write_finish, write_usage};
use crate::Result;
use crate::canonical::{Choice, Extra, Part, PartKind, Response, Usage};
use crate::dialect::openai_chat::response::call_id;
use crate::dialect::{Codec, Dialect, Encoded, Leniency, Notes, Reply};
use crate::json::Fields;
use serde_json::{Map, Value, json};

/// Reads an answer. The service names neither itself nor the model in it.
pub(super) fn read(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let parts = f.inner("output", |mut o| {
        o.inner("message", |mut m| {
            let items = m.array("content")?.unwrap_or_default();
            blocks::read_all(items, m.path("content"))
        })
    })?;
    let parts = parts.flatten().ok_or_else(|| f.must_be("output.message", "an object"))?;
    let finish = f.lenient_string("stopReason").map(|w| read_finish(&w));
    let usage = f.take("usage").as_ref().and_then(read_usage);
    let choices = vec![Choice { parts, finish, logprobs: None }];
    Ok(Response { choices, usage, extra: Extra::new(Dialect::Bedrock, f.rest()), ..Response::default() })
}

/// Writes an answer.
pub(super) fn write(response: &Response, reply: &Reply) -> Result<Encoded> {
    let choice = match response.choices.as_slice() {
        [choice] => choice,
        [] => &Choice::default(),
        _ => return Err(super::Bedrock.lacks("several alternative answers")),
    };
    let mut notes = Notes::new(Dialect::Bedrock, Leniency::Lenient);
    let mut content = Vec::with_capacity(choice.parts.len());
    for (at, part) in choice.parts.iter().enumerate() {
        content.extend(write_part(part, at, reply, &mut notes)?);
    }
    let mut body = Map::new();
    body.insert("output".into(), json!({"message": {"role": "assistant", "content": content}}));
    body.insert("stopReason".into(), choice.finish.as_ref().map_or("end_turn", write_finish).into());
    let usage = response.usage.unwrap_or_else(|| Usage::new(reply.input_estimate, 0));
    body.insert("usage".into(), write_usage(&usage));
    match response.extra.of(Dialect::Bedrock) {
        Some(own) => body.extend(own.clone()),
        None => drop(body.insert("metrics".into(), json!({"latencyMs": 0}))),
    }
    Ok(notes.done(body))
}

fn write_part(part: &Part, at: usize, reply: &Reply, notes: &mut Notes) -> Result<Vec<Value>> {
    let mut part = part.clone();
    match &mut part.kind {
        PartKind::ToolCall { id, .. } => *id = call_id(id, reply, 0, at as u32),
        // Answers may hold thoughts without a signature.
        PartKind::Reasoning { text, signature: None, redacted: None } => {
            return Ok(vec![json!({"reasoningContent": {"reasoningText": {"text": text}}})]);
        }
        _ => {}
    }
    blocks::write_all(std::slice::from_ref(&part), notes)
}
