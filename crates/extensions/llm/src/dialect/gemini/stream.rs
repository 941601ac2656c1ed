//! Streams: every event is a whole answer object that holds what is new. Framed as server-sent
//! events when asked with `alt=sse`, else as one JSON array. No mark ends it but the end of the body.

use super::response::finish_of;
use super::{error_object, parts, read_usage, write_finish, write_usage};
use crate::canonical::{Delta, Event, Failure, Finish, PartKind, PartOpen, Usage};
use crate::dialect::sse::{Data, JsonEvents};
use crate::dialect::{Dialect, Leniency, Notes, Reply, StreamDecoder, StreamEncoder, failure};
use crate::json::Path;
use crate::{Error, Result};
use gibbon_frames::{DEFAULT_LIMIT, json_array};
use serde_json::{Map, Value, json};

/// More candidates, or parts of one, than any answer has.
const MAX_CANDIDATES: usize = 128;
const MAX_PARTS: u32 = 64 * 1024;

/// Reads a stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    framing: Framing,
    state: State,
}

#[derive(Debug, Default)]
enum Framing {
    /// Not a byte yet.
    #[default]
    Unknown,
    Sse(JsonEvents),
    Array(json_array::Splitter),
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    over: bool,
    candidates: Vec<Candidate>,
}

#[derive(Debug, Default)]
struct Candidate {
    next_part: u32,
    /// The part that is being written, and whether it is a thought.
    open: Option<(bool, u32)>,
    calls: bool,
    finished: bool,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        if let Framing::Unknown = self.framing {
            let Some(first) = chunk.iter().find(|b| !b.is_ascii_whitespace()) else { return Ok(()) };
            self.framing = match first {
                b'[' | b'{' => Framing::Array(json_array::Splitter::default()),
                _ => Framing::Sse(JsonEvents::default()),
            };
        }
        let state = &mut self.state;
        match &mut self.framing {
            Framing::Unknown => Ok(()),
            Framing::Sse(events) => events.push(chunk, &mut |data| match data {
                Data::Json(_, value) => state.read(value, out),
                Data::Done => Ok(()),
            }),
            Framing::Array(splitter) => {
                let mut result = Ok(());
                splitter.push(chunk, |element| {
                    if result.is_ok() {
                        result = match serde_json::from_slice(element) {
                            Ok(value) => state.read(value, out),
                            Err(_) => Err(Error::NotJson { what: "element of the provider's stream" }),
                        };
                    }
                })?;
                result
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        match &mut self.framing {
            Framing::Unknown => {}
            Framing::Sse(events) => events.finish(&mut |data| match data {
                Data::Json(_, value) => state.read(value, out),
                Data::Done => Ok(()),
            })?,
            Framing::Array(splitter) => splitter.finish()?,
        }
        if !std::mem::replace(&mut state.over, true) {
            let whole = !state.candidates.is_empty() && state.candidates.iter().all(|c| c.finished);
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
    fn read(&mut self, mut value: Value, out: &mut Vec<Event>) -> Result<()> {
        if self.over {
            return Ok(());
        }
        if value.get("error").is_some() {
            let status = value.pointer("/error/code").and_then(Value::as_u64).and_then(|c| u16::try_from(c).ok());
            let failure = failure::of_value(status.unwrap_or(502), &value);
            out.push(Event::Failure(failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream"))));
            self.over = true;
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            out.push(Event::Start { id: text("responseId"), model: text("modelVersion"), created: None });
        }
        let usage = value.get("usageMetadata").and_then(read_usage);
        let blocked = value.pointer("/promptFeedback/blockReason").is_some();
        if let Some(Value::Array(candidates)) = value.get_mut("candidates").map(Value::take) {
            for (at, candidate) in candidates.into_iter().enumerate() {
                self.candidate(at, candidate, out)?;
            }
        }
        if blocked && self.candidates.is_empty() {
            self.candidates.push(Candidate { finished: true, ..Candidate::default() });
            out.push(Event::Finish { choice: 0, finish: Finish::ContentFilter });
        }
        out.extend(usage.map(Event::Usage));
        Ok(())
    }

    fn candidate(&mut self, at: usize, mut value: Value, out: &mut Vec<Event>) -> Result<()> {
        let index = value.get("index").and_then(Value::as_u64).map_or(at, |i| i as usize);
        if index >= MAX_CANDIDATES {
            return Err(Error::Shape { path: "candidates[].index".into(), want: "below 128" });
        }
        if self.candidates.len() <= index {
            self.candidates.resize_with(index + 1, Candidate::default);
        }
        let Some(candidate) = self.candidates.get_mut(index) else { return Ok(()) };
        let choice = index as u32;
        if let Some(Value::Array(parts)) = value.pointer_mut("/content/parts").map(Value::take) {
            for part in parts {
                candidate.part(choice, part, out)?;
            }
        }
        if let Some(word) = value.get("finishReason").and_then(Value::as_str)
            && !std::mem::replace(&mut candidate.finished, true)
        {
            candidate.close(choice, out);
            out.push(Event::Finish { choice, finish: finish_of(word, candidate.calls) });
        }
        Ok(())
    }
}

impl Candidate {
    fn part(&mut self, choice: u32, value: Value, out: &mut Vec<Event>) -> Result<()> {
        let part = parts::read(value, Path::Root)?;
        match part.kind {
            PartKind::Text { text } => {
                if !text.is_empty() {
                    let part = self.open(choice, false, out)?;
                    out.push(Event::Delta { choice, part, delta: Delta::Text(text) });
                }
            }
            PartKind::Reasoning { text, signature, .. } => {
                let part = self.open(choice, true, out)?;
                if !text.is_empty() {
                    out.push(Event::Delta { choice, part, delta: Delta::Text(text) });
                }
                out.extend(signature.map(|s| Event::Delta { choice, part, delta: Delta::Signature(s) }));
            }
            PartKind::ToolCall { id, name, arguments, signature } => {
                self.close(choice, out);
                self.calls = true;
                let part = self.number()?;
                out.push(Event::PartStart { choice, part, open: PartOpen::ToolCall { id, name, signature } });
                if !arguments.is_empty() {
                    out.push(Event::Delta { choice, part, delta: Delta::Arguments(arguments) });
                }
                out.push(Event::PartEnd { choice, part });
            }
            _ => {
                self.close(choice, out);
                let number = self.number()?;
                out.push(Event::PartStart { choice, part: number, open: PartOpen::Whole(Box::new(part)) });
                out.push(Event::PartEnd { choice, part: number });
            }
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u32> {
        if self.next_part >= MAX_PARTS {
            return Err(Error::Shape { path: "candidates[].content.parts".into(), want: "at most 65536 parts" });
        }
        let part = self.next_part;
        self.next_part += 1;
        Ok(part)
    }

    fn open(&mut self, choice: u32, thought: bool, out: &mut Vec<Event>) -> Result<u32> {
        if let Some((open, part)) = self.open
            && open == thought
        {
            return Ok(part);
        }
        self.close(choice, out);
        let part = self.number()?;
        let open = if thought { PartOpen::Reasoning } else { PartOpen::Text };
        out.push(Event::PartStart { choice, part, open });
        self.open = Some((thought, part));
        Ok(part)
    }

    fn close(&mut self, choice: u32, out: &mut Vec<Event>) {
        if let Some((_, part)) = self.open.take() {
            out.push(Event::PartEnd { choice, part });
        }
    }
}

/// Writes a stream.
#[derive(Debug)]
pub(super) struct Encoder {
    reply: Reply,
    id: String,
    model: String,
    usage: Option<Usage>,
    finishes: Vec<(u32, Finish)>,
    /// Parts that are thoughts, or calls that wait for the end of their arguments.
    open: Vec<(u32, u32, Open)>,
    held: usize,
    begun: bool,
    over: bool,
}

#[derive(Debug)]
enum Open {
    Thought,
    Call { name: String, arguments: String, signature: Option<String> },
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            id: reply.id.clone(),
            model: reply.model.clone(),
            reply,
            usage: None,
            finishes: Vec::new(),
            open: Vec::new(),
            held: 0,
            begun: false,
            over: false,
        }
    }

    fn emit(&mut self, value: &Value, out: &mut Vec<u8>) {
        if !self.reply.array {
            crate::dialect::sse::write(out, None, value);
            return;
        }
        out.extend_from_slice(if self.begun { b",\r\n" } else { b"[" });
        self.begun = true;
        out.extend_from_slice(value.to_string().as_bytes());
    }

    fn part(&mut self, choice: u32, part: Value, out: &mut Vec<u8>) {
        let content = parts::content("model", vec![part]);
        let candidates = vec![json!({"content": content, "index": choice})];
        let chunk = self.chunk(candidates);
        self.emit(&chunk, out);
    }

    fn chunk(&self, candidates: Vec<Value>) -> Value {
        let mut chunk = Map::new();
        chunk.insert("candidates".into(), candidates.into());
        if let Some(usage) = &self.usage {
            chunk.insert("usageMetadata".into(), write_usage(usage));
        }
        chunk.insert("modelVersion".into(), self.model.as_str().into());
        chunk.insert("responseId".into(), self.id.as_str().into());
        Value::Object(chunk)
    }

    fn start(&mut self, choice: u32, part: u32, open: &PartOpen, out: &mut Vec<u8>) {
        match open {
            PartOpen::Text | PartOpen::Refusal => {}
            PartOpen::Reasoning => self.open.push((choice, part, Open::Thought)),
            PartOpen::ToolCall { name, signature, .. } => {
                let open = Open::Call { name: name.clone(), arguments: String::new(), signature: signature.clone() };
                self.open.push((choice, part, open));
            }
            PartOpen::Whole(whole) => {
                let mut notes = Notes::new(Dialect::Gemini, Leniency::Lenient);
                if let Ok(Some(value)) = parts::write(whole, &|_| None, &mut notes) {
                    self.part(choice, value, out);
                }
            }
        }
    }

    fn grow(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let open = self.open.iter_mut().find(|(c, p, _)| (*c, *p) == (choice, part)).map(|(_, _, o)| o);
        let value = match (open, delta) {
            (Some(Open::Call { arguments, .. }), Delta::Arguments(more)) => {
                self.held += more.len();
                if self.held <= DEFAULT_LIMIT {
                    arguments.push_str(more);
                    return;
                }
                let failure = Failure::new(502, "the arguments of the provider's tool calls are too long");
                return self.push(&Event::Failure(failure), out);
            }
            (Some(Open::Thought), Delta::Text(text)) => json!({"text": text, "thought": true}),
            (Some(Open::Thought), Delta::Signature(s)) => {
                json!({"text": "", "thought": true, "thoughtSignature": s})
            }
            (None, Delta::Text(text)) => json!({"text": text}),
            _ => return,
        };
        self.part(choice, value, out);
    }

    fn end(&mut self, choice: u32, part: u32, out: &mut Vec<u8>) {
        let Some(at) = self.open.iter().position(|(c, p, _)| (*c, *p) == (choice, part)) else { return };
        let (_, _, open) = self.open.remove(at);
        if let Open::Call { name, arguments, signature } = open {
            self.held = self.held.saturating_sub(arguments.len());
            // What is no object cannot be said here; an empty one lets the client's tool complain.
            let args = crate::dialect::anthropic::arguments_object(&arguments).unwrap_or_else(|_| json!({}));
            let mut value = json!({"functionCall": {"name": name, "args": args}});
            if let (Some(s), Some(o)) = (signature, value.as_object_mut()) {
                o.insert("thoughtSignature".into(), s.into());
            }
            self.part(choice, value, out);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        for (choice, part) in self.open.iter().map(|(c, p, _)| (*c, *p)).collect::<Vec<_>>() {
            self.end(choice, part, out);
        }
        let candidates: Vec<Value> = std::mem::take(&mut self.finishes)
            .iter()
            .map(|(choice, finish)| {
                let content = parts::content("model", vec![json!({"text": ""})]);
                json!({"content": content, "finishReason": write_finish(finish), "index": choice})
            })
            .collect();
        let chunk = self.chunk(candidates);
        self.emit(&chunk, out);
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, .. } => {
                if let Some(id) = id {
                    self.id.clone_from(id);
                }
                if let Some(model) = model {
                    self.model.clone_from(model);
                }
            }
            Event::PartStart { choice, part, open } => self.start(*choice, *part, open, out),
            Event::Delta { choice, part, delta } => self.grow(*choice, *part, delta, out),
            Event::PartEnd { choice, part } => self.end(*choice, *part, out),
            Event::Finish { choice, finish } => self.finishes.push((*choice, finish.clone())),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failure(failure) => {
                let error = error_object(failure);
                self.emit(&error, out);
                self.close_array(out);
            }
            Event::End => {
                self.finish(out);
                self.close_array(out);
            }
        }
    }
}

impl Encoder {
    fn close_array(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        if self.reply.array {
            out.extend_from_slice(b"]");
        }
    }
}
