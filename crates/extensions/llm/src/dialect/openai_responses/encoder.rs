//! Writing streams: named events that open, fill and close items and their parts, between
//! `response.created` and `response.completed`.

use super::response::{item_id, output_item};
use super::{conclude, envelope};
use crate::canonical::{Delta, Event, Failure, FailureKind, Finish, Part, PartKind, PartOpen, Usage};
use crate::dialect::openai_chat::response::call_id;
use crate::dialect::sequencer::Sequencer;
use crate::dialect::sse::write;
use crate::dialect::{Dialect, Leniency, Notes, Reply, StreamEncoder};
use serde_json::{Map, Value, json};

/// The last event repeats the whole answer, so the writer must keep it; this bounds what it keeps.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

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
