//! Whole answers.

use super::{parts, read_finish, read_usage, write_finish, write_usage};
use crate::Result;
use crate::canonical::{Choice, Extra, Finish, PartKind, Response};
use crate::dialect::{Dialect, Encoded, Leniency, Notes, Reply};
use crate::json::Fields;
use serde_json::{Map, Value};

/// Reads an answer.
pub(super) fn read(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let mut choices = f.each("candidates", read_candidate)?.unwrap_or_default();
    let blocked = f.take("promptFeedback").is_some_and(|p| p.get("blockReason").is_some());
    if choices.is_empty() {
        if !blocked {
            return Err(f.must_be("candidates", "an array with at least one candidate"));
        }
        choices.push(Choice { finish: Some(Finish::ContentFilter), ..Choice::default() });
    }
    Ok(Response {
        id: f.lenient_string("responseId"),
        model: f.lenient_string("modelVersion"),
        created: None,
        usage: f.take("usageMetadata").as_ref().and_then(read_usage),
        choices,
        extra: Extra::new(Dialect::Gemini, f.rest()),
    })
}

fn read_candidate(mut candidate: Fields<'_>) -> Result<Choice> {
    let parts = candidate.inner("content", |mut content| {
        let items = content.array("parts")?.unwrap_or_default();
        let path = content.path("parts");
        items.into_iter().enumerate().map(|(i, p)| parts::read(p, path.index(i))).collect::<Result<Vec<_>>>()
    })?;
    let parts = parts.unwrap_or_default();
    let finish = candidate.lenient_string("finishReason").map(|w| finish_of(&w, parts.iter().any(is_call)));
    Ok(Choice { parts, finish, logprobs: None })
}

fn is_call(part: &crate::canonical::Part) -> bool {
    matches!(part.kind, PartKind::ToolCall { .. })
}

/// The service says `STOP` also when it waits for a tool.
pub(super) fn finish_of(word: &str, calls: bool) -> Finish {
    match read_finish(word) {
        Finish::Stop if calls => Finish::ToolCalls,
        finish => finish,
    }
}

/// Writes an answer.
pub(super) fn write(response: &Response, reply: &Reply) -> Result<Encoded> {
    let mut notes = Notes::new(Dialect::Gemini, Leniency::Lenient);
    let mut candidates = Vec::with_capacity(response.choices.len());
    for (i, choice) in response.choices.iter().enumerate() {
        let mut written = Vec::with_capacity(choice.parts.len());
        for part in &choice.parts {
            written.extend(parts::write(part, &|_| None, &mut notes)?);
        }
        let mut c = Map::new();
        c.insert("content".into(), parts::content("model", written));
        if let Some(finish) = &choice.finish {
            c.insert("finishReason".into(), write_finish(finish).into());
        }
        c.insert("index".into(), i.into());
        candidates.push(Value::Object(c));
    }
    let mut body = Map::new();
    body.insert("candidates".into(), candidates.into());
    if let Some(usage) = &response.usage {
        body.insert("usageMetadata".into(), write_usage(usage));
    }
    body.insert("modelVersion".into(), response.model.as_deref().unwrap_or(&reply.model).into());
    body.insert("responseId".into(), response.id.as_deref().unwrap_or(&reply.id).into());
    if let Some(own) = response.extra.of(Dialect::Gemini) {
        for (key, value) in own {
            body.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    Ok(notes.done(body))
}
