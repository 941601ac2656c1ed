//! Streams: named events that open, fill and close items and their parts, between
//! `response.created` and `response.completed`.

use super::response::{item_id, output_item};
use super::{conclude, envelope, items, read_finish, read_usage};
use crate::Result;
use crate::canonical::{Delta, Event, Failure, FailureKind, Finish, Part, PartKind, PartOpen, Usage};
use crate::dialect::openai_chat::response::call_id;
use crate::dialect::sequencer::Sequencer;
use crate::dialect::sse::{Data, JsonEvents, write};
use crate::dialect::{Dialect, Leniency, Notes, Reply, StreamDecoder, StreamEncoder, failure};
use crate::json::{Fields, Path};
use serde_json::{Map, Value, json};

/// More items than any answer has.
const MAX_PARTS: u32 = 16 * 1024;
/// The last event repeats the whole answer, so the writer must keep it; this bounds what it keeps.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

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
    calls: bool,
    next_part: u32,
    open: Vec<Open>,
}

/// A part that is being written.
#[derive(Debug)]
struct Open {
    output: u64,
    /// Its place in a message; `None` for items that are a part by themselves.
    content: Option<u64>,
    part: u32,
    /// Something of it has come.
    begun: bool,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        self.events.push(chunk, &mut |data| state.read(data, out))
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        self.events.finish(&mut |data| state.read(data, out))?;
        if !std::mem::replace(&mut state.over, true) {
            out.push(Event::Failure(Failure::new(502, "the provider's stream broke off")));
        }
        Ok(())
    }
}

impl State {
    fn read(&mut self, data: Data<'_>, out: &mut Vec<Event>) -> Result<()> {
        let Data::Json(name, mut value) = data else { return Ok(()) };
        if self.over {
            return Ok(());
        }
        let kind = value.get("type").and_then(Value::as_str).unwrap_or(name).to_owned();
        let output = value.get("output_index").and_then(Value::as_u64).unwrap_or(0);
        let content = value.get("content_index").and_then(Value::as_u64);
        let text = |v: &Value| v.get("delta").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "response.created" | "response.in_progress" | "response.queued" => self.start(&value, out),
            "response.output_item.added" => self.item_added(output, &value, out)?,
            "response.content_part.added" => {
                let open = match value.pointer("/part/type").and_then(Value::as_str) {
                    Some("refusal") => PartOpen::Refusal,
                    Some("reasoning_text") => return Ok(()),
                    _ => PartOpen::Text,
                };
                self.begin(output, Some(content.unwrap_or(0)), open, out)?;
            }
            "response.output_text.delta" => {
                let part = self.part(output, Some(content.unwrap_or(0)), PartOpen::Text, out)?;
                push_delta(part, Delta::Text(text(&value)), out);
            }
            "response.refusal.delta" => {
                let part = self.part(output, Some(content.unwrap_or(0)), PartOpen::Refusal, out)?;
                push_delta(part, Delta::Text(text(&value)), out);
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let part = self.part(output, None, PartOpen::Reasoning, out)?;
                push_delta(part, Delta::Text(text(&value)), out);
            }
            // Several summaries are one text here, with a blank line between, as in whole answers.
            "response.reasoning_summary_part.added" if value.get("summary_index").and_then(Value::as_u64) > Some(0) => {
                let part = self.part(output, None, PartOpen::Reasoning, out)?;
                push_delta(part, Delta::Text("\n\n".to_owned()), out);
            }
            "response.function_call_arguments.delta" => {
                if let Some(open) = self.open.iter_mut().find(|o| o.output == output && o.content.is_none()) {
                    open.begun = true;
                    push_delta(open.part, Delta::Arguments(text(&value)), out);
                }
            }
            "response.content_part.done" => self.end(output, Some(content.unwrap_or(0)), out),
            "response.output_item.done" => {
                let item = value.get_mut("item").map(Value::take).unwrap_or_default();
                self.item_done(output, item, out)?;
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                self.conclude(&kind, &value, out);
            }
            "error" => {
                self.over = true;
                let failure = failure::of_value(502, &value);
                out.push(Event::Failure(
                    failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream")),
                ));
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, value: &Value, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text = |key: &str| value.get("response")?.get(key)?.as_str().map(str::to_owned);
        let created = value.pointer("/response/created_at").and_then(Value::as_f64).map(|c| c as u64);
        out.push(Event::Start { id: text("id"), model: text("model"), created });
    }

    fn begin(&mut self, output: u64, content: Option<u64>, open: PartOpen, out: &mut Vec<Event>) -> Result<u32> {
        if self.next_part >= MAX_PARTS {
            return Err(crate::Error::Shape { path: "output_index".into(), want: "one of at most 16384 items" });
        }
        let part = self.next_part;
        self.next_part += 1;
        self.open.push(Open { output, content, part, begun: false });
        out.push(Event::PartStart { choice: 0, part, open });
        Ok(part)
    }

    /// The part at a place; begins it if the event that announces it was left out.
    fn part(&mut self, output: u64, content: Option<u64>, open: PartOpen, out: &mut Vec<Event>) -> Result<u32> {
        match self.open.iter_mut().find(|o| o.output == output && o.content == content) {
            Some(open) => {
                open.begun = true;
                Ok(open.part)
            }
            None => self.begin(output, content, open, out),
        }
    }

    fn end(&mut self, output: u64, content: Option<u64>, out: &mut Vec<Event>) {
        if let Some(at) = self.open.iter().position(|o| o.output == output && o.content == content) {
            let open = self.open.remove(at);
            out.push(Event::PartEnd { choice: 0, part: open.part });
        }
    }

    fn item_added(&mut self, output: u64, value: &Value, out: &mut Vec<Event>) -> Result<()> {
        let text = |key: &str| value.get("item")?.get(key)?.as_str().map(str::to_owned);
        match text("type").as_deref() {
            Some("function_call") => {
                self.calls = true;
                let open = PartOpen::ToolCall {
                    id: text("call_id").unwrap_or_default(),
                    name: text("name").unwrap_or_default(),
                    signature: None,
                };
                self.begin(output, None, open, out)?;
            }
            Some("reasoning") => {
                self.begin(output, None, PartOpen::Reasoning, out)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn item_done(&mut self, output: u64, item: Value, out: &mut Vec<Event>) -> Result<()> {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let open = self.open.iter().find(|o| o.output == output && o.content.is_none());
        match (kind.as_str(), open) {
            ("function_call", Some(open)) if !open.begun => {
                let arguments = item.get("arguments").and_then(Value::as_str).filter(|a| *a != "{}");
                let arguments = arguments.unwrap_or_default();
                push_delta(open.part, Delta::Arguments(arguments.to_owned()), out);
            }
            ("reasoning", Some(open)) => {
                if let Some(sealed) = item.get("encrypted_content").and_then(Value::as_str) {
                    push_delta(open.part, Delta::Signature(sealed.to_owned()), out);
                }
            }
            ("function_call" | "reasoning" | "message" | "", _) => {}
            // What only this dialect knows comes whole.
            _ => {
                for part in items::read_output(Fields::of(item, Path::Root)?)? {
                    let open = PartOpen::Whole(Box::new(part));
                    self.begin(output, None, open, out)?;
                }
            }
        }
        let parts: Vec<Option<u64>> = self.open.iter().filter(|o| o.output == output).map(|o| o.content).collect();
        for content in parts {
            self.end(output, content, out);
        }
        Ok(())
    }

    fn conclude(&mut self, kind: &str, value: &Value, out: &mut Vec<Event>) {
        self.start(value, out);
        self.over = true;
        let response = value.get("response").cloned().unwrap_or_default();
        if matches!(kind, "response.failed" | "response.cancelled") {
            let failure = failure::of_value(502, &response);
            out.push(Event::Failure(failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream"))));
            return;
        }
        for open in self.open.drain(..) {
            out.push(Event::PartEnd { choice: 0, part: open.part });
        }
        let reason = response.pointer("/incomplete_details/reason").and_then(Value::as_str);
        let status = kind.strip_prefix("response.");
        out.extend(read_finish(status, reason, self.calls).map(|finish| Event::Finish { choice: 0, finish }));
        out.extend(response.get("usage").and_then(read_usage).map(Event::Usage));
        out.push(Event::End);
    }
}

fn push_delta(part: u32, delta: Delta, out: &mut Vec<Event>) {
    let (Delta::Text(t) | Delta::Arguments(t) | Delta::Signature(t)) = &delta;
    if !t.is_empty() {
        out.push(Event::Delta { choice: 0, part, delta });
    }
}

/// Writes a stream.
#[derive(Debug)]
pub(super) struct Encoder {
    sequencer: Sequencer,
    writer: Writer,
}

#[derive(Debug)]
struct Writer {
    reply: Reply,
    id: String,
    model: String,
    created: u64,
    /// Counts the events.
    sequence: u64,
    /// The part that is being written, as far as it has come.
    open: Option<Part>,
    output: Vec<Value>,
    size: usize,
    finish: Option<Finish>,
    usage: Option<Usage>,
    over: bool,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        let writer = Writer {
            id: reply.id.clone(),
            model: reply.model.clone(),
            created: reply.created,
            reply,
            sequence: 0,
            open: None,
            output: Vec::new(),
            size: 0,
            finish: None,
            usage: None,
            over: false,
        };
        Self { sequencer: Sequencer::default(), writer }
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        let writer = &mut self.writer;
        self.sequencer.push(event, &mut |event| writer.push(event, out));
    }
}

impl Writer {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, created } => {
                if let Some(id) = id {
                    self.id.clone_from(id);
                }
                if let Some(model) = model {
                    self.model.clone_from(model);
                }
                self.created = created.unwrap_or(self.created);
                let response = Value::Object(self.envelope());
                self.emit("response.created", json!({"response": response}), out);
                self.emit("response.in_progress", json!({"response": response}), out);
            }
            Event::PartStart { part, open, .. } => self.begin(*part, open, out),
            Event::Delta { part, delta, .. } => self.grow(*part, delta, out),
            Event::PartEnd { part, .. } => self.end(*part, out),
            Event::Finish { finish, .. } => self.finish = Some(finish.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failure(failure) => self.fail(failure, out),
            Event::End => {
                let mut response = self.envelope();
                response.insert("output".into(), std::mem::take(&mut self.output).into());
                conclude(&mut response, self.finish.as_ref(), self.usage.as_ref());
                let complete = response.get("status") == Some(&Value::from("completed"));
                let kind = if complete { "response.completed" } else { "response.incomplete" };
                self.emit(kind, json!({"response": response}), out);
                self.over = true;
            }
        }
    }

    fn envelope(&self) -> Map<String, Value> {
        envelope(&self.id, &self.model, self.created, Vec::new())
    }

    fn emit(&mut self, kind: &str, fields: Value, out: &mut Vec<u8>) {
        let mut event = Map::new();
        event.insert("type".into(), kind.into());
        event.insert("sequence_number".into(), self.sequence.into());
        self.sequence += 1;
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        write(out, Some(kind), &Value::Object(event));
    }

    fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        let mut response = self.envelope();
        let code = failure.code.clone().unwrap_or_else(|| match failure.kind {
            FailureKind::RateLimit => "rate_limit_exceeded".to_owned(),
            _ => "server_error".to_owned(),
        });
        response.insert("status".into(), "failed".into());
        response.insert("error".into(), json!({"code": code, "message": failure.message}));
        self.emit("response.failed", json!({"response": response}), out);
        self.over = true;
    }

    fn begin(&mut self, at: u32, open: &PartOpen, out: &mut Vec<u8>) {
        let kind = match open {
            PartOpen::Text => PartKind::Text { text: String::new() },
            PartOpen::Refusal => PartKind::Refusal { text: String::new() },
            PartOpen::Reasoning => PartKind::Reasoning { text: String::new(), signature: None, redacted: None },
            PartOpen::ToolCall { id, name, .. } => PartKind::ToolCall {
                id: call_id(id, &self.reply, 0, at),
                name: name.clone(),
                arguments: String::new(),
                signature: None,
            },
            PartOpen::Whole(part) => part.kind.clone(),
        };
        let part = Part::new(kind);
        let id = self.item_id(&part, at);
        let item = match &part.kind {
            PartKind::ToolCall { id: call, name, .. } => {
                json!({"type": "function_call", "id": id, "status": "in_progress", "call_id": call, "name": name, "arguments": ""})
            }
            PartKind::Reasoning { .. } => json!({"type": "reasoning", "id": id, "summary": []}),
            PartKind::Unknown { dialect: Dialect::OpenAiResponses, value } => value.clone(),
            _ => json!({"type": "message", "id": id, "status": "in_progress", "role": "assistant", "content": []}),
        };
        self.emit("response.output_item.added", json!({"output_index": at, "item": item}), out);
        match &part.kind {
            PartKind::Text { .. } => {
                self.content_added(at, &id, json!({"type": "output_text", "text": "", "annotations": []}), out)
            }
            PartKind::Refusal { .. } => self.content_added(at, &id, json!({"type": "refusal", "refusal": ""}), out),
            _ => {}
        }
        self.open = Some(part);
    }

    fn item_id(&self, part: &Part, at: u32) -> String {
        let prefix = match part.kind {
            PartKind::ToolCall { .. } => "fc",
            PartKind::Reasoning { .. } => "rs",
            _ => "msg",
        };
        item_id(prefix, &self.reply, at)
    }

    fn content_added(&mut self, at: u32, id: &str, part: Value, out: &mut Vec<u8>) {
        let fields = json!({"item_id": id, "output_index": at, "content_index": 0, "part": part});
        self.emit("response.content_part.added", fields, out);
    }

    fn grow(&mut self, at: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(mut part) = self.open.take() else { return };
        let (Delta::Text(more) | Delta::Arguments(more) | Delta::Signature(more)) = delta;
        self.size += more.len();
        if self.size > MAX_ANSWER {
            return self.fail(&Failure::new(502, "the provider's answer is too long"), out);
        }
        let id = self.item_id(&part, at);
        let mut fields = json!({"item_id": id, "output_index": at});
        let mut place = |key: &str| {
            if let Some(o) = fields.as_object_mut() {
                o.insert(key.to_owned(), 0.into());
            }
        };
        let kind = match (&mut part.kind, delta) {
            (PartKind::Text { text }, Delta::Text(more)) => {
                text.push_str(more);
                place("content_index");
                "response.output_text.delta"
            }
            (PartKind::Refusal { text }, Delta::Text(more)) => {
                text.push_str(more);
                place("content_index");
                "response.refusal.delta"
            }
            (PartKind::Reasoning { text, .. }, Delta::Text(more)) => {
                place("summary_index");
                if text.is_empty() {
                    let mut added = fields.clone();
                    if let Some(o) = added.as_object_mut() {
                        o.insert("part".into(), json!({"type": "summary_text", "text": ""}));
                    }
                    self.emit("response.reasoning_summary_part.added", added, out);
                }
                text.push_str(more);
                "response.reasoning_summary_text.delta"
            }
            (PartKind::ToolCall { arguments, .. }, Delta::Arguments(more)) => {
                arguments.push_str(more);
                "response.function_call_arguments.delta"
            }
            (PartKind::Reasoning { signature, .. }, Delta::Signature(more)) => {
                signature.get_or_insert_default().push_str(more);
                self.open = Some(part);
                return;
            }
            _ => {
                self.open = Some(part);
                return;
            }
        };
        if let Some(o) = fields.as_object_mut() {
            o.insert("delta".into(), more.as_str().into());
        }
        self.open = Some(part);
        self.emit(kind, fields, out);
    }

    fn end(&mut self, at: u32, out: &mut Vec<u8>) {
        let Some(part) = self.open.take() else { return };
        let id = self.item_id(&part, at);
        let place = json!({"item_id": id, "output_index": at});
        let with = |more: Value| {
            let mut fields = place.clone();
            if let (Some(o), Value::Object(more)) = (fields.as_object_mut(), more) {
                o.extend(more);
            }
            fields
        };
        match &part.kind {
            PartKind::Text { text } => {
                self.emit("response.output_text.done", with(json!({"content_index": 0, "text": text})), out);
                let content = json!({"type": "output_text", "text": text, "annotations": []});
                self.emit("response.content_part.done", with(json!({"content_index": 0, "part": content})), out);
            }
            PartKind::Refusal { text } => {
                self.emit("response.refusal.done", with(json!({"content_index": 0, "refusal": text})), out);
                let content = json!({"type": "refusal", "refusal": text});
                self.emit("response.content_part.done", with(json!({"content_index": 0, "part": content})), out);
            }
            PartKind::Reasoning { text, .. } if !text.is_empty() => {
                let done = with(json!({"summary_index": 0, "text": text}));
                self.emit("response.reasoning_summary_text.done", done, out);
                let summary = json!({"type": "summary_text", "text": text});
                let done = with(json!({"summary_index": 0, "part": summary}));
                self.emit("response.reasoning_summary_part.done", done, out);
            }
            PartKind::ToolCall { arguments, name, .. } => {
                let arguments = if arguments.is_empty() { "{}" } else { arguments };
                let done = with(json!({"name": name, "arguments": arguments}));
                self.emit("response.function_call_arguments.done", done, out);
            }
            _ => {}
        }
        let mut notes = Notes::new(Dialect::OpenAiResponses, Leniency::Lenient);
        let item = output_item(&part, at, &self.reply, &mut notes).ok().flatten();
        let item = item.unwrap_or_else(
            || json!({"type": "message", "id": id, "status": "completed", "role": "assistant", "content": []}),
        );
        self.emit("response.output_item.done", json!({"output_index": at, "item": item}), out);
        self.output.push(item);
    }
}
