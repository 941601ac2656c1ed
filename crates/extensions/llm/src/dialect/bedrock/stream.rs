//! Streams: AWS event stream messages whose `:event-type` says what their JSON is.

use super::{blocks, error_type, read_finish, read_usage, write_finish, write_usage};
use crate::canonical::{Delta, Event, Failure, Finish, Part, PartKind, PartOpen, Usage};
use crate::dialect::openai_chat::response::call_id;
use crate::dialect::sequencer::Sequencer;
use crate::dialect::{Dialect, Leniency, Notes, Reply, StreamDecoder, StreamEncoder, failure};
use crate::{Error, Result};
use gibbon_frames::aws;
use serde_json::{Value, json};

/// More content blocks than any answer has.
const MAX_BLOCKS: u32 = 16 * 1024;

/// Reads a stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    splitter: aws::Splitter,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    finished: bool,
    next_part: u32,
    /// The part of each open block, by the block's index.
    open: Vec<(u64, u32)>,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        let (state, mut result) = (&mut self.state, Ok(()));
        self.splitter.push(chunk, |message| {
            if result.is_ok() {
                result = state.message(message, out);
            }
        })?;
        result
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()> {
        self.splitter.finish()?;
        if !std::mem::replace(&mut self.state.over, true) {
            out.push(if self.state.finished {
                Event::End
            } else {
                Event::Failure(Failure::new(502, "the provider's stream broke off"))
            });
        }
        Ok(())
    }
}

impl State {
    fn message(&mut self, message: aws::Message<'_>, out: &mut Vec<Event>) -> Result<()> {
        if self.over {
            return Ok(());
        }
        let kind = message.text(":message-type").unwrap_or("event");
        if kind != "event" {
            self.over = true;
            out.push(Event::Failure(exception(message)));
            return Ok(());
        }
        let value: Value = serde_json::from_slice(message.payload)
            .map_err(|_| Error::NotJson { what: "event of the provider's stream" })?;
        let index = value.get("contentBlockIndex").and_then(Value::as_u64).unwrap_or(0);
        match message.text(":event-type").unwrap_or_default() {
            "messageStart" => out.push(Event::Start { id: None, model: None, created: None }),
            "contentBlockStart" => self.block_start(index, &value, out)?,
            "contentBlockDelta" => self.block_delta(index, &value, out)?,
            "contentBlockStop" => {
                if let Some(at) = self.open.iter().position(|(i, _)| *i == index) {
                    let (_, part) = self.open.remove(at);
                    out.push(Event::PartEnd { choice: 0, part });
                }
            }
            "messageStop" => {
                let word = value.get("stopReason").and_then(Value::as_str).unwrap_or("end_turn");
                for (_, part) in self.open.drain(..) {
                    out.push(Event::PartEnd { choice: 0, part });
                }
                if !std::mem::replace(&mut self.finished, true) {
                    out.push(Event::Finish { choice: 0, finish: read_finish(word) });
                }
            }
            "metadata" => out.extend(value.get("usage").and_then(read_usage).map(Event::Usage)),
            _ => {}
        }
        Ok(())
    }

    fn number(&mut self) -> Result<u32> {
        if self.next_part >= MAX_BLOCKS {
            return Err(Error::Shape { path: "contentBlockIndex".into(), want: "one of at most 16384 blocks" });
        }
        let part = self.next_part;
        self.next_part += 1;
        Ok(part)
    }

    fn begin(&mut self, index: u64, open: PartOpen, out: &mut Vec<Event>) -> Result<u32> {
        let part = self.number()?;
        self.open.push((index, part));
        out.push(Event::PartStart { choice: 0, part, open });
        Ok(part)
    }

    fn block_start(&mut self, index: u64, value: &Value, out: &mut Vec<Event>) -> Result<()> {
        // Only tool calls say that they begin with more than their first piece.
        let Some(call) = value.pointer("/start/toolUse") else { return Ok(()) };
        let text = |key: &str| call.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let open = PartOpen::ToolCall { id: text("toolUseId"), name: text("name"), signature: None };
        self.begin(index, open, out).map(|_| ())
    }

    fn block_delta(&mut self, index: u64, value: &Value, out: &mut Vec<Event>) -> Result<()> {
        let Some(delta) = value.get("delta") else { return Ok(()) };
        let text = |path: &str| delta.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let (open, delta) = if let Some(t) = text("/text") {
            (PartOpen::Text, Delta::Text(t))
        } else if let Some(t) = text("/toolUse/input") {
            (PartOpen::ToolCall { id: String::new(), name: String::new(), signature: None }, Delta::Arguments(t))
        } else if let Some(t) = text("/reasoningContent/text") {
            (PartOpen::Reasoning, Delta::Text(t))
        } else if let Some(t) = text("/reasoningContent/signature") {
            (PartOpen::Reasoning, Delta::Signature(t))
        } else if let Some(data) = text("/reasoningContent/redactedContent") {
            let kind = PartKind::Reasoning { text: String::new(), signature: None, redacted: Some(data) };
            self.begin(index, PartOpen::Whole(Box::new(Part::new(kind))), out)?;
            return Ok(());
        } else {
            return Ok(());
        };
        let part = match self.open.iter().rev().find(|(i, _)| *i == index) {
            Some((_, part)) => *part,
            None => self.begin(index, open, out)?,
        };
        let (Delta::Text(t) | Delta::Arguments(t) | Delta::Signature(t)) = &delta;
        if !t.is_empty() {
            out.push(Event::Delta { choice: 0, part, delta });
        }
        Ok(())
    }
}

/// An exception in mid-stream, told by a modelled payload or by headers alone.
fn exception(message: aws::Message<'_>) -> Failure {
    let name = message.text(":exception-type").or_else(|| message.text(":error-code"));
    let body: Option<Value> = serde_json::from_slice(message.payload).ok();
    let text = body.as_ref().and_then(|b| b.get("message")).and_then(Value::as_str);
    let text = text.or_else(|| message.text(":error-message")).unwrap_or("the provider failed in mid-stream");
    let kind = name.and_then(failure::kind_of).unwrap_or(crate::canonical::FailureKind::Server);
    Failure { code: name.map(str::to_owned), ..Failure::of(kind, text) }
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
    reasoning: bool,
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
            Event::Start { .. } => emit("messageStart", &json!({"role": "assistant"}), out),
            Event::PartStart { part, open, .. } => self.open(*part, open, reply, out),
            Event::Delta { part, delta, .. } => {
                let delta = match delta {
                    Delta::Text(text) if self.reasoning => json!({"reasoningContent": {"text": text}}),
                    Delta::Text(text) => json!({"text": text}),
                    Delta::Arguments(text) => json!({"toolUse": {"input": text}}),
                    Delta::Signature(text) => json!({"reasoningContent": {"signature": text}}),
                };
                emit("contentBlockDelta", &json!({"contentBlockIndex": part, "delta": delta}), out);
            }
            Event::PartEnd { part, .. } => emit("contentBlockStop", &json!({"contentBlockIndex": part}), out),
            Event::Finish { finish, .. } => self.finish = Some(finish.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failure(failure) => {
                let name = error_type(failure);
                // Exceptions in streams begin with a small letter.
                let name = name.char_indices().map(|(i, c)| if i == 0 { c.to_ascii_lowercase() } else { c });
                let name: String = name.collect();
                let headers = [
                    (":exception-type", name.as_str()),
                    (":content-type", "application/json"),
                    (":message-type", "exception"),
                ];
                let _ = aws::write(out, &headers, json!({"message": failure.message}).to_string().as_bytes());
                self.over = true;
            }
            Event::End => {
                let reason = self.finish.as_ref().map_or("end_turn", write_finish);
                emit("messageStop", &json!({"stopReason": reason}), out);
                let usage = self.usage.unwrap_or_else(|| Usage::new(reply.input_estimate, 0));
                emit("metadata", &json!({"usage": write_usage(&usage), "metrics": {"latencyMs": 0}}), out);
                self.over = true;
            }
        }
    }

    fn open(&mut self, part: u32, open: &PartOpen, reply: &Reply, out: &mut Vec<u8>) {
        self.reasoning = matches!(open, PartOpen::Reasoning);
        match open {
            PartOpen::Text | PartOpen::Refusal | PartOpen::Reasoning => {}
            PartOpen::ToolCall { id, name, .. } => {
                let start = json!({"toolUse": {"toolUseId": call_id(id, reply, 0, part), "name": name}});
                emit("contentBlockStart", &json!({"contentBlockIndex": part, "start": start}), out);
            }
            PartOpen::Whole(whole) => {
                if let Some(delta) = whole_delta(whole) {
                    emit("contentBlockDelta", &json!({"contentBlockIndex": part, "delta": delta}), out);
                }
            }
        }
    }
}

/// A part that came whole, as the one piece of its block; only a redacted thought can be said so.
fn whole_delta(part: &Part) -> Option<Value> {
    let mut notes = Notes::new(Dialect::Bedrock, Leniency::Lenient);
    let block = blocks::write_all(std::slice::from_ref(part), &mut notes).ok()?.into_iter().next()?;
    block.get("reasoningContent").is_some().then_some(block)
}

fn emit(kind: &str, value: &Value, out: &mut Vec<u8>) {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    // Fails only above 16 MiB, which no piece of an answer reaches: pieces are bounded on the way in.
    let _ = aws::write(out, &headers, value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(value: Value) -> Part {
        blocks::read(value, crate::json::Path::Root).unwrap_or_else(|_| Part::text(""))
    }

    #[test]
    fn only_redacted_thoughts_come_whole() {
        let redacted = block(json!({"reasoningContent": {"redactedContent": "QQ=="}}));
        assert_eq!(whole_delta(&redacted), Some(json!({"reasoningContent": {"redactedContent": "QQ=="}})));
        assert_eq!(whole_delta(&block(json!({"image": {"format": "png", "source": {"bytes": "QQ=="}}}))), None);
    }
}
