//! Whole answers.

use super::{conclude, envelope, items, read_finish, read_usage};
use crate::canonical::{Choice, Extra, Failure, Part, PartKind, Response};
use crate::dialect::openai_chat::response::call_id;
use crate::dialect::{Codec, Dialect, Encoded, Leniency, Notes, Reply, failure};
use crate::json::Fields;
use crate::{Error, Result};
use serde_json::{Value, json};

/// What an answer repeats of the request, and the rest of the server's bookkeeping.
const ECHO: &[&str] = &[
    "object",
    "instructions",
    "metadata",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
    "temperature",
    "top_p",
    "text",
    "reasoning",
    "truncation",
    "store",
    "background",
    "max_output_tokens",
    "max_tool_calls",
    "previous_response_id",
    "service_tier",
    "top_logprobs",
    "user",
    "output_text",
    "completed_at",
    "frequency_penalty",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "billing",
    "conversation",
    "prompt",
];

/// Reads an answer. One that has failed is a failure, whatever its HTTP status.
pub(super) fn read(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let status = f.lenient_string("status");
    let error = f.take("error");
    if status.as_deref() == Some("failed") || (status.is_none() && error.is_some()) {
        let failure = error.and_then(|e| failure::of_value(500, &json!({"error": e})));
        return Err(Error::Failed(Box::new(
            failure.unwrap_or_else(|| Failure::new(500, "the provider failed without saying why")),
        )));
    }
    let output = f.each("output", items::read_output)?.ok_or_else(|| f.must_be("output", "an array of items"))?;
    let parts: Vec<Part> = output.into_iter().flatten().collect();
    let reason = f.inner("incomplete_details", |mut d| Ok(d.lenient_string("reason")))?.flatten();
    let calls = parts.iter().any(|p| matches!(p.kind, PartKind::ToolCall { .. }));
    let finish = read_finish(status.as_deref(), reason.as_deref(), calls);
    let (id, model) = (f.lenient_string("id"), f.lenient_string("model"));
    let created = f.take("created_at").and_then(|c| c.as_f64()).map(|c| c as u64);
    let usage = f.take("usage").as_ref().and_then(read_usage);
    for key in ECHO {
        let _ = f.take(key);
    }
    Ok(Response {
        id,
        model,
        created,
        choices: vec![Choice { parts, finish, logprobs: None }],
        usage,
        extra: Extra::new(Dialect::OpenAiResponses, f.rest()),
    })
}

/// Writes an answer.
pub(super) fn write(response: &Response, reply: &Reply) -> Result<Encoded> {
    let choice = match response.choices.as_slice() {
        [choice] => choice,
        [] => &Choice::default(),
        _ => return Err(super::OpenAiResponses.lacks("several alternative answers")),
    };
    let mut notes = Notes::new(Dialect::OpenAiResponses, Leniency::Lenient);
    let id = response.id.as_deref().unwrap_or(&reply.id);
    let mut output = Vec::with_capacity(choice.parts.len());
    for (at, part) in choice.parts.iter().enumerate() {
        output.extend(output_item(part, at as u32, reply, &mut notes)?);
    }
    let model = response.model.as_deref().unwrap_or(&reply.model);
    let mut body = envelope(id, model, response.created.unwrap_or(reply.created), output);
    conclude(&mut body, choice.finish.as_ref(), response.usage.as_ref());
    if let Some(own) = response.extra.of(Dialect::OpenAiResponses) {
        for (key, value) in own {
            body.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    Ok(notes.done(body))
}

/// A part of an answer as an item of its own.
pub(super) fn output_item(part: &Part, at: u32, reply: &Reply, notes: &mut Notes) -> Result<Option<Value>> {
    Ok(match &part.kind {
        PartKind::ToolCall { id, name, arguments, .. } => {
            let call = call_id(id, reply, 0, at);
            Some(items::call_item(&call, name, arguments, Some(&item_id("fc", reply, at))))
        }
        PartKind::Reasoning { text, signature, redacted } => {
            let own = part.extra.of(Dialect::OpenAiResponses).and_then(|x| x.get("id")).cloned();
            let id = own.unwrap_or_else(|| item_id("rs", reply, at).into());
            let sealed = signature.as_deref().or(redacted.as_deref());
            Some(items::reasoning_item(Some(id), text, sealed))
        }
        PartKind::Unknown { dialect: Dialect::OpenAiResponses, value } => Some(value.clone()),
        _ => items::write_part(part, true, notes)?.map(|mut content| {
            if let Some(o) = content.as_object_mut().filter(|o| o.contains_key("text")) {
                o.entry("annotations").or_insert_with(|| json!([]));
            }
            json!({"type": "message", "id": item_id("msg", reply, at), "status": "completed",
                "role": "assistant", "content": [content]})
        }),
    })
}

/// An id for an item.
pub(super) fn item_id(prefix: &str, reply: &Reply, at: u32) -> String {
    let unique: String = reply.id.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{prefix}_{unique}{at}")
}
