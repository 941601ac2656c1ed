//! Whole answers.

use super::messages::{self, ReasoningFields};
use crate::Result;
use crate::canonical::{Choice, Extra, Finish, Part, PartKind, Response};
use crate::dialect::{Dialect, Encoded, Notes, Reply, openai};
use crate::json::Fields;
use serde_json::{Map, Value, json};

/// Reads an answer.
pub(super) fn read(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let choices = f.each("choices", read_choice)?.ok_or_else(|| f.must_be("choices", "an array"))?;
    let usage = f.take("usage").as_ref().and_then(openai::read_usage);
    let _ = f.take("object");
    Ok(Response {
        id: f.lenient_string("id"),
        model: f.lenient_string("model"),
        created: f.take("created").and_then(|c| c.as_u64()),
        choices,
        usage,
        extra: Extra::new(Dialect::OpenAiChat, f.rest()),
    })
}

fn read_choice(mut choice: Fields<'_>) -> Result<Choice> {
    let mut parts = Vec::new();
    if let Some(mut message) = choice.take("message") {
        // Some servers leave the role out of answers.
        if let Some(m) = message.as_object_mut() {
            m.insert("role".into(), "assistant".into());
        }
        parts = messages::read(Fields::of(message, choice.path("message"))?)?.parts;
        parts.retain(|p| p.as_text() != Some(""));
    }
    let mut finish = choice.lenient_string("finish_reason").map(|w| openai::read_finish(&w));
    let calls = parts.iter().any(|p| matches!(p.kind, PartKind::ToolCall { .. }));
    if calls && finish == Some(Finish::Stop) {
        finish = Some(Finish::ToolCalls);
    }
    Ok(Choice { parts, finish, logprobs: choice.take("logprobs") })
}

/// Writes an answer.
pub(super) fn write(response: &Response, reply: &Reply) -> Encoded {
    // Answers are written whatever they hold: the client has paid for them.
    let mut notes = Notes::new(Dialect::OpenAiChat, crate::dialect::Leniency::Lenient);
    let mut body = Map::new();
    body.insert("id".into(), response.id.as_deref().unwrap_or(&reply.id).into());
    body.insert("object".into(), "chat.completion".into());
    body.insert("created".into(), response.created.unwrap_or(reply.created).into());
    body.insert("model".into(), response.model.as_deref().unwrap_or(&reply.model).into());
    let choices: Vec<Value> = response
        .choices
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let finish = c.finish.as_ref().map(openai::write_finish);
            let message = write_message(&c.parts, i, reply, &mut notes);
            let mut choice = Map::new();
            choice.insert("index".into(), i.into());
            choice.insert("message".into(), message.into());
            if let Some(logprobs) = &c.logprobs {
                choice.insert("logprobs".into(), logprobs.clone());
            }
            choice.insert("finish_reason".into(), finish.into());
            Value::Object(choice)
        })
        .collect();
    body.insert("choices".into(), choices.into());
    if let Some(usage) = &response.usage {
        body.insert("usage".into(), openai::write_usage(usage));
    }
    if let Some(own) = response.extra.of(Dialect::OpenAiChat) {
        for (key, value) in own {
            body.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    notes.done(body)
}

fn write_message(parts: &[Part], choice: usize, reply: &Reply, notes: &mut Notes) -> Map<String, Value> {
    let mut m = Map::new();
    m.insert("role".into(), "assistant".into());
    let mut text: Option<String> = None;
    let mut refusal: Option<String> = None;
    let mut calls = Vec::new();
    let mut images = Vec::new();
    let mut reasoning = ReasoningFields::default();
    for (at, part) in parts.iter().enumerate() {
        match &part.kind {
            PartKind::Text { text: t } => text.get_or_insert_default().push_str(t),
            PartKind::Refusal { text: t } => refusal.get_or_insert_default().push_str(t),
            PartKind::Reasoning { text, signature, redacted } => {
                reasoning.add(text, signature.as_deref(), redacted.as_deref());
            }
            PartKind::ToolCall { id, name, arguments, signature } => {
                let id = call_id(id, reply, choice as u32, at as u32);
                calls.push(Value::Object(messages::write_call(&id, name, arguments, signature.as_deref())));
            }
            PartKind::Media(media) if openai::media::url_of(&media.source).is_some() => {
                let url = openai::media::url_of(&media.source);
                images.push(json!({"type": "image_url", "image_url": {"url": url}}));
            }
            _ => drop(notes.hint(messages::describe(part))),
        }
    }
    m.insert("content".into(), text.into());
    if let Some(refusal) = refusal {
        m.insert("refusal".into(), refusal.into());
    }
    reasoning.write(&mut m);
    if !images.is_empty() {
        m.insert("images".into(), images.into());
    }
    if !calls.is_empty() {
        m.insert("tool_calls".into(), calls.into());
    }
    m
}

/// The id of a tool call; made from the answer's own where the provider gave none. Short, because
/// OpenAI refuses ids above 40 characters when they come back.
pub(in crate::dialect) fn call_id(id: &str, reply: &Reply, choice: u32, part: u32) -> String {
    if !id.is_empty() {
        return id.to_owned();
    }
    let unique: String = reply.id.chars().filter(char::is_ascii_alphanumeric).collect();
    let tail = unique.get(unique.len().saturating_sub(20)..).unwrap_or_default();
    format!("call_{tail}_{choice}_{part}")
}
