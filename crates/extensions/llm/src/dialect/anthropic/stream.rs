//! Streams: named server-sent events that open, fill and close one content block after another.

use super::{blocks, error_object, read_finish, read_usage, write_finish, write_usage};
use crate::Result;
use crate::canonical::{Delta, Event, Failure, Finish, Part, PartKind, PartOpen, Usage};
use crate::dialect::openai_chat::response::call_id;
use crate::dialect::sequencer::Sequencer;
use crate::dialect::sse::{Data, JsonEvents, write};
use crate::dialect::{Dialect, Leniency, Notes, Reply, StreamDecoder, StreamEncoder, failure};
use crate::json::Path;
use serde_json::{Map, Value, json};

/// More content blocks than any answer has.
const MAX_BLOCKS: usize = 16 * 1024;

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
    finished: bool,
    /// The part of each open block, by the block's index. `None` for blocks that come whole.
    open: Vec<(u64, Option<u32>)>,
    next_part: u32,
    usage: Usage,
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
        let (name, value) = match data {
            Data::Json(name, value) => (name, value),
            Data::Done => return Ok(()),
        };
        if self.over {
            return Ok(());
        }
        let kind = value.get("type").and_then(Value::as_str).unwrap_or(name).to_owned();
        match kind.as_str() {
            "message_start" => self.start(&value, out),
            "content_block_start" => self.block_start(value, out)?,
            "content_block_delta" => self.block_delta(&value, out),
            "content_block_stop" => self.block_stop(&value, out),
            "message_delta" => self.message_delta(&value, out),
            "message_stop" => {
                self.over = true;
                out.push(Event::End);
            }
            "error" => {
                self.over = true;
                let failure = failure::of_value(200, &value).map(|f| Failure { status: f.kind.status(), ..f });
                out.push(Event::Failure(
                    failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream")),
                ));
            }
            // `ping`, and whatever is invented next.
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, value: &Value, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text = |key: &str| value.get("message")?.get(key)?.as_str().map(str::to_owned);
        out.push(Event::Start { id: text("id"), model: text("model"), created: None });
        if let Some(usage) = value.pointer("/message/usage").and_then(read_usage) {
            self.usage = usage;
            out.push(Event::Usage(usage));
        }
    }

    fn block_start(&mut self, mut value: Value, out: &mut Vec<Event>) -> Result<()> {
        let index = value.get("index").and_then(Value::as_u64).unwrap_or(0);
        let Some(block) = value.get_mut("content_block").map(Value::take) else { return Ok(()) };
        if self.open.len() >= MAX_BLOCKS {
            return Err(crate::Error::Shape { path: "content_block".into(), want: "one of at most 16384" });
        }
        let part = self.next_part;
        self.next_part += 1;
        let block = blocks::read_block(block, Path::Root)?;
        let mut first = None;
        let open = match block.kind {
            PartKind::Text { text } => {
                first = Some(Delta::Text(text));
                PartOpen::Text
            }
            PartKind::Reasoning { text, redacted: None, .. } => {
                first = Some(Delta::Text(text));
                PartOpen::Reasoning
            }
            PartKind::ToolCall { id, name, arguments, signature } => {
                first = Some(Delta::Arguments(arguments));
                PartOpen::ToolCall { id, name, signature }
            }
            _ => PartOpen::Whole(Box::new(block)),
        };
        let whole = matches!(open, PartOpen::Whole(_));
        out.push(Event::PartStart { choice: 0, part, open });
        match first {
            Some(Delta::Text(t) | Delta::Arguments(t)) if t.is_empty() => {}
            Some(delta) => out.push(Event::Delta { choice: 0, part, delta }),
            None => {}
        }
        if whole {
            out.push(Event::PartEnd { choice: 0, part });
        }
        self.open.push((index, (!whole).then_some(part)));
        Ok(())
    }

    fn part_of(&self, value: &Value) -> Option<u32> {
        let index = value.get("index").and_then(Value::as_u64).unwrap_or(0);
        self.open.iter().rev().find(|(i, _)| *i == index).and_then(|(_, part)| *part)
    }

    fn block_delta(&mut self, value: &Value, out: &mut Vec<Event>) {
        let Some(part) = self.part_of(value) else { return };
        let Some(delta) = value.get("delta") else { return };
        let text = |key: &str| delta.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let delta = match delta.get("type").and_then(Value::as_str) {
            Some("text_delta") => Delta::Text(text("text")),
            Some("thinking_delta") => Delta::Text(text("thinking")),
            Some("input_json_delta") => Delta::Arguments(text("partial_json")),
            Some("signature_delta") => Delta::Signature(text("signature")),
            // Citations have no place in another dialect's stream.
            _ => return,
        };
        let (Delta::Text(t) | Delta::Arguments(t) | Delta::Signature(t)) = &delta;
        if !t.is_empty() {
            out.push(Event::Delta { choice: 0, part, delta });
        }
    }

    fn block_stop(&mut self, value: &Value, out: &mut Vec<Event>) {
        let part = self.part_of(value);
        let index = value.get("index").and_then(Value::as_u64).unwrap_or(0);
        self.open.retain(|(i, _)| *i != index);
        out.extend(part.map(|part| Event::PartEnd { choice: 0, part }));
    }

    fn message_delta(&mut self, value: &Value, out: &mut Vec<Event>) {
        if let Some(word) = value.pointer("/delta/stop_reason").and_then(Value::as_str)
            && !std::mem::replace(&mut self.finished, true)
        {
            let sequence = value.pointer("/delta/stop_sequence").and_then(Value::as_str);
            for (_, part) in self.open.drain(..) {
                out.extend(part.map(|part| Event::PartEnd { choice: 0, part }));
            }
            out.push(Event::Finish { choice: 0, finish: read_finish(word, sequence) });
        }
        // The counts are running totals. Older versions repeat only the output here.
        if let Some(usage) = value.get("usage").and_then(read_usage) {
            if usage.input > 0 {
                self.usage = usage;
            } else {
                self.usage.output = usage.output;
                self.usage.reasoning = usage.reasoning;
            }
            out.push(Event::Usage(self.usage));
        }
    }
}

/// Writes a stream.
#[derive(Debug)]
pub(super) struct Encoder {
    reply: Reply,
    sequencer: Sequencer,
    writer: Writer,
}

#[derive(Debug, Default)]
struct Writer {
    /// The open block is reasoning.
    thinking: bool,
    /// A block that came whole needs no closing of its own kind.
    finish: Option<Finish>,
    usage: Option<Usage>,
    over: bool,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self { reply, sequencer: Sequencer::default(), writer: Writer::default() }
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        let (reply, writer) = (&self.reply, &mut self.writer);
        self.sequencer.push(event, &mut |event| writer.push(event, reply, out));
    }
}

impl Writer {
    fn push(&mut self, event: &Event, reply: &Reply, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, .. } => {
                let usage = write_usage(&Usage::new(reply.input_estimate, 0));
                let message = json!({
                    "id": id.as_ref().unwrap_or(&reply.id), "type": "message", "role": "assistant",
                    "model": model.as_ref().unwrap_or(&reply.model), "content": [],
                    "stop_reason": null, "stop_sequence": null, "usage": usage,
                });
                self.emit("message_start", json!({"message": message}), out);
            }
            Event::PartStart { part, open, .. } => self.open(*part, open, reply, out),
            Event::Delta { part, delta, .. } => {
                let delta = match delta {
                    Delta::Text(text) if self.thinking => json!({"type": "thinking_delta", "thinking": text}),
                    Delta::Text(text) => json!({"type": "text_delta", "text": text}),
                    Delta::Arguments(text) => json!({"type": "input_json_delta", "partial_json": text}),
                    Delta::Signature(text) => json!({"type": "signature_delta", "signature": text}),
                };
                self.emit("content_block_delta", json!({"index": part, "delta": delta}), out);
            }
            Event::PartEnd { part, .. } => self.emit("content_block_stop", json!({"index": part}), out),
            Event::Finish { finish, .. } => self.finish = Some(finish.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failure(failure) => {
                write(out, Some("error"), &error_object(failure));
                self.over = true;
            }
            Event::End => {
                let finish = self.finish.take().unwrap_or(Finish::Stop);
                let (reason, sequence) = write_finish(&finish);
                let usage = self.usage.unwrap_or_else(|| Usage::new(reply.input_estimate, 0));
                let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
                self.emit("message_delta", json!({"delta": delta, "usage": write_usage(&usage)}), out);
                self.emit("message_stop", json!({}), out);
                self.over = true;
            }
        }
    }

    fn open(&mut self, part: u32, open: &PartOpen, reply: &Reply, out: &mut Vec<u8>) {
        self.thinking = matches!(open, PartOpen::Reasoning);
        let block = match open {
            PartOpen::Text | PartOpen::Refusal => json!({"type": "text", "text": ""}),
            PartOpen::Reasoning => json!({"type": "thinking", "thinking": "", "signature": ""}),
            PartOpen::ToolCall { id, name, .. } => {
                json!({"type": "tool_use", "id": call_id(id, reply, 0, part), "name": name, "input": {}})
            }
            PartOpen::Whole(whole) => whole_block(whole),
        };
        self.emit("content_block_start", json!({"index": part, "content_block": block}), out);
    }

    fn emit(&self, kind: &str, fields: Value, out: &mut Vec<u8>) {
        let mut event = Map::new();
        event.insert("type".into(), kind.into());
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        write(out, Some(kind), &Value::Object(event));
    }
}

/// A part that came whole, as a block; an empty text where this dialect has no such block, so that
/// the numbering stays without gaps.
fn whole_block(part: &Part) -> Value {
    let mut notes = Notes::new(Dialect::Anthropic, Leniency::Lenient);
    let written = blocks::write_blocks(std::slice::from_ref(part), &mut notes).unwrap_or_default();
    written.into_iter().next().unwrap_or_else(|| json!({"type": "text", "text": ""}))
}
