//! Reading streams: `chat.completion.chunk` objects in server-sent events, ended by `[DONE]`. What
//! compatible servers make of that is read, too.

use super::messages;
use crate::canonical::{Delta, Event, Failure, Finish, PartKind, PartOpen};
use crate::dialect::sse::{Data, JsonEvents};
use crate::dialect::{StreamDecoder, failure, openai};
use crate::{Error, Result};
use serde_json::{Map, Value};

/// More parallel calls, or alternatives, than any answer has.
const MAX_CALLS: usize = 1024;
const MAX_CHOICES: usize = 128;

/// Reads a stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    events: JsonEvents,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    over: bool,
    choices: Vec<ChoiceState>,
}

#[derive(Debug, Default)]
struct ChoiceState {
    next_part: u32,
    /// The text, reasoning or refusal that is being written.
    open: Option<(Kind, u32)>,
    calls: Vec<Call>,
    finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
}

/// A tool call that is being written.
#[derive(Debug)]
struct Call {
    index: u64,
    id: String,
    /// Its part, once its name is known.
    part: Option<u32>,
    /// Arguments that came before the name.
    early: String,
    balance: Balance,
    ended: bool,
}

/// Whether a growing JSON text is a whole value yet. Lets a call end when the next begins, and not
/// only with the answer.
#[derive(Debug, Default)]
struct Balance {
    depth: u32,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl Balance {
    fn feed(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.in_string {
                match (self.escaped, byte) {
                    (true, _) => self.escaped = false,
                    (false, b'\\') => self.escaped = true,
                    (false, b'"') => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.begun = true;
                    self.depth += 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.begun && self.depth == 0 && !self.in_string
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        self.events.push(chunk, &mut |data| state.read(data, out))
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        self.events.finish(&mut |data| state.read(data, out))?;
        if !state.over {
            state.over = true;
            // Some servers end the body without `[DONE]`; a finish reason says as much.
            let whole = !state.choices.is_empty() && state.choices.iter().all(|c| c.finished);
            out.push(if whole {
                Event::End
            } else {
                Event::Failure(Failure::new(502, "the provider's stream broke off"))
            });
        }
        Ok(())
    }
}

impl State {
    fn read(&mut self, data: Data<'_>, out: &mut Vec<Event>) -> Result<()> {
        if self.over {
            return Ok(());
        }
        let mut value = match data {
            Data::Done => {
                self.close_all(out);
                out.push(Event::End);
                self.over = true;
                return Ok(());
            }
            Data::Json(_, value) => value,
        };
        if value.get("error").is_some_and(|e| !e.is_null()) || value.get("object") == Some(&Value::from("error")) {
            let failure = failure::of_value(502, &value)
                .unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream"));
            out.push(Event::Failure(failure));
            self.over = true;
            return Ok(());
        }
        self.start(&value, out);
        let usage = value.get("usage").and_then(openai::read_usage);
        let usage = usage.or_else(|| value.pointer("/x_groq/usage").and_then(openai::read_usage));
        if let Some(Value::Array(choices)) = value.get_mut("choices").map(Value::take) {
            for choice in choices {
                self.choice(choice, out)?;
            }
        }
        out.extend(usage.map(Event::Usage));
        Ok(())
    }

    fn start(&mut self, value: &Value, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned);
        let created = value.get("created").and_then(Value::as_u64).filter(|c| *c > 0);
        out.push(Event::Start { id: text("id"), model: text("model"), created });
    }

    fn choice(&mut self, mut choice: Value, out: &mut Vec<Event>) -> Result<()> {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0) as usize;
        if index >= MAX_CHOICES {
            return Err(Error::Shape { path: "choices[].index".into(), want: "below 128" });
        }
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, ChoiceState::default);
        }
        let Some(state) = self.choices.get_mut(index) else { return Ok(()) };
        let finish = choice.get("finish_reason").and_then(Value::as_str).map(openai::read_finish);
        if let Some(Value::Object(delta)) = choice.get_mut("delta").map(Value::take) {
            state.delta(index as u32, delta, out)?;
        }
        if let Some(mut finish) = finish
            && !std::mem::replace(&mut state.finished, true)
        {
            state.close(index as u32, out);
            if finish == Finish::Stop && !state.calls.is_empty() {
                finish = Finish::ToolCalls;
            }
            out.push(Event::Finish { choice: index as u32, finish });
        }
        Ok(())
    }

    fn close_all(&mut self, out: &mut Vec<Event>) {
        for (index, choice) in self.choices.iter_mut().enumerate() {
            choice.close(index as u32, out);
        }
    }
}

impl ChoiceState {
    fn delta(&mut self, choice: u32, mut delta: Map<String, Value>, out: &mut Vec<Event>) -> Result<()> {
        let mut taken = |keys: &[&str]| {
            keys.iter().find_map(|k| match delta.get_mut(*k).map(Value::take) {
                Some(Value::String(s)) if !s.is_empty() => Some(s),
                _ => None,
            })
        };
        if let Some(text) = taken(&["reasoning_content", "reasoning"]) {
            self.text(choice, Kind::Reasoning, text, out);
        }
        if let Some(text) = taken(&["content"]) {
            self.text(choice, Kind::Text, text, out);
        }
        if let Some(text) = taken(&["refusal"]) {
            self.text(choice, Kind::Refusal, text, out);
        }
        // Mistral and Databricks stream content as an array of parts.
        if let Some(content @ Value::Array(_)) = delta.get("content") {
            let parts = messages::read_content(content.clone(), crate::json::Path::Root)?;
            for part in parts {
                match part.kind {
                    PartKind::Text { text } => self.text(choice, Kind::Text, text, out),
                    PartKind::Reasoning { text, .. } => self.text(choice, Kind::Reasoning, text, out),
                    _ => {}
                }
            }
        }
        if let Some(Value::Array(blocks)) = delta.get("thinking_blocks") {
            let signatures = blocks.iter().filter_map(|b| b.get("signature")?.as_str());
            for signature in signatures.filter(|s| !s.is_empty()) {
                let part = self.open(choice, Kind::Reasoning, out);
                out.push(Event::Delta { choice, part, delta: Delta::Signature(signature.to_owned()) });
            }
        }
        if let Some(Value::Array(calls)) = delta.get_mut("tool_calls").map(Value::take) {
            for call in calls {
                self.call(choice, &call, out)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, choice: u32, kind: Kind, text: String, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let part = self.open(choice, kind, out);
        out.push(Event::Delta { choice, part, delta: Delta::Text(text) });
    }

    /// The part of this kind being written; begins one if another kind is.
    fn open(&mut self, choice: u32, kind: Kind, out: &mut Vec<Event>) -> u32 {
        if let Some((open, part)) = self.open
            && open == kind
        {
            return part;
        }
        self.close_text(choice, out);
        let part = self.number();
        let open = match kind {
            Kind::Text => PartOpen::Text,
            Kind::Reasoning => PartOpen::Reasoning,
            Kind::Refusal => PartOpen::Refusal,
        };
        out.push(Event::PartStart { choice, part, open });
        self.open = Some((kind, part));
        part
    }

    fn number(&mut self) -> u32 {
        let part = self.next_part;
        self.next_part += 1;
        part
    }

    fn close_text(&mut self, choice: u32, out: &mut Vec<Event>) {
        if let Some((_, part)) = self.open.take() {
            out.push(Event::PartEnd { choice, part });
        }
    }

    fn close(&mut self, choice: u32, out: &mut Vec<Event>) {
        self.close_text(choice, out);
        for call in &mut self.calls {
            if let (Some(part), false) = (call.part, call.ended) {
                out.push(Event::PartEnd { choice, part });
            }
            call.ended = true;
        }
    }

    fn call(&mut self, choice: u32, piece: &Value, out: &mut Vec<Event>) -> Result<()> {
        let text = |path: &str| piece.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let id = text("/id");
        let index = piece.get("index").and_then(Value::as_u64);
        let at = match self.find_call(index, id) {
            Some(at) => at,
            None => self.begin_call(choice, index, id, out)?,
        };
        let name = text("/function/name");
        let signature = piece.pointer("/extra_content/google/thought_signature").and_then(Value::as_str);
        let arguments = messages::read_arguments(piece.pointer("/function/arguments").cloned());
        let next = self.next_part;
        let Some(call) = self.calls.get_mut(at) else { return Ok(()) };
        if call.part.is_none() && !name.is_empty() {
            call.part = Some(next);
            self.next_part += 1;
            let open = PartOpen::ToolCall {
                id: call.id.clone(),
                name: name.to_owned(),
                signature: signature.map(str::to_owned),
            };
            out.push(Event::PartStart { choice, part: next, open });
            let early = std::mem::take(&mut call.early);
            if !early.is_empty() {
                out.push(Event::Delta { choice, part: next, delta: Delta::Arguments(early) });
            }
        }
        if arguments.is_empty() {
            return Ok(());
        }
        call.balance.feed(&arguments);
        match call.part {
            Some(part) if !call.ended => {
                out.push(Event::Delta { choice, part, delta: Delta::Arguments(arguments) });
            }
            Some(_) => {}
            None if call.early.len() + arguments.len() <= gibbon_frames::DEFAULT_LIMIT => {
                call.early.push_str(&arguments);
            }
            None => return Err(Error::Shape { path: "tool_calls[].function.name".into(), want: "sent first" }),
        }
        Ok(())
    }

    /// The call a piece belongs to. Servers differ: index only, id only, or index 0 for every call
    /// with ids of their own.
    fn find_call(&self, index: Option<u64>, id: &str) -> Option<usize> {
        let at = match index {
            Some(index) => self.calls.iter().rposition(|c| c.index == index)?,
            None if id.is_empty() => self.calls.len().checked_sub(1)?,
            None => return self.calls.iter().position(|c| c.id == id),
        };
        let known = self.calls.get(at).is_some_and(|c| id.is_empty() || c.id.is_empty() || c.id == id);
        known.then_some(at)
    }

    fn begin_call(&mut self, choice: u32, index: Option<u64>, id: &str, out: &mut Vec<Event>) -> Result<usize> {
        if self.calls.len() >= MAX_CALLS {
            return Err(Error::Shape { path: "tool_calls".into(), want: "at most 1024 calls" });
        }
        self.close_text(choice, out);
        for call in &mut self.calls {
            if let (Some(part), false, true) = (call.part, call.ended, call.balance.is_whole()) {
                out.push(Event::PartEnd { choice, part });
                call.ended = true;
            }
        }
        let index = index.unwrap_or(self.calls.len() as u64);
        self.calls.push(Call {
            index,
            id: id.to_owned(),
            part: None,
            early: String::new(),
            balance: Balance::default(),
            ended: false,
        });
        Ok(self.calls.len() - 1)
    }
}
