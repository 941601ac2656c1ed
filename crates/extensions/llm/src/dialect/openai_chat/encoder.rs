//! Writing streams: `chat.completion.chunk` objects in server-sent events, ended by `[DONE]`.

use super::messages;
use super::response::call_id;
use crate::canonical::{Delta, Event, PartKind, PartOpen, Usage};
use crate::dialect::{Reply, StreamEncoder, openai};
use serde_json::{Map, Value, json};

/// Parts that grow by text other than the answer itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
    Refusal,
}

/// Writes a stream.
#[derive(Debug)]
pub(super) struct Encoder {
    reply: Reply,
    id: String,
    model: String,
    created: u64,
    usage: Option<Usage>,
    /// Per alternative: parts that are tool calls, by part number, in order.
    calls: Vec<Vec<u32>>,
    /// Per alternative: the parts that are reasoning or refusals.
    kinds: Vec<Vec<(u32, Kind)>>,
    begun: Vec<bool>,
    over: bool,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            id: reply.id.clone(),
            model: reply.model.clone(),
            created: reply.created,
            reply,
            usage: None,
            calls: Vec::new(),
            kinds: Vec::new(),
            begun: Vec::new(),
            over: false,
        }
    }

    /// Writes one chunk around the JSON text of a delta.
    fn chunk(&self, choice: u32, delta: &Value, finish: Option<&str>, out: &mut Vec<u8>) {
        let choices = json!([{"index": choice, "delta": delta, "finish_reason": finish}]);
        self.object(&choices, None, out);
    }

    fn object(&self, choices: &Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = Map::new();
        chunk.insert("id".into(), self.id.as_str().into());
        chunk.insert("object".into(), "chat.completion.chunk".into());
        chunk.insert("created".into(), self.created.into());
        chunk.insert("model".into(), self.model.as_str().into());
        chunk.insert("choices".into(), choices.clone());
        if let Some(usage) = usage {
            chunk.insert("usage".into(), usage);
        }
        crate::dialect::sse::write(out, None, &Value::Object(chunk));
    }

    /// The first chunk of an alternative names the role.
    fn begin(&mut self, choice: u32, out: &mut Vec<u8>) {
        let at = choice as usize;
        if self.begun.len() <= at {
            self.begun.resize(at + 1, false);
            self.calls.resize(at + 1, Vec::new());
            self.kinds.resize(at + 1, Vec::new());
        }
        if let Some(begun) = self.begun.get_mut(at)
            && !std::mem::replace(begun, true)
        {
            self.chunk(choice, &json!({"role": "assistant", "content": ""}), None, out);
        }
    }

    fn part_start(&mut self, choice: u32, part: u32, open: &PartOpen, out: &mut Vec<u8>) {
        self.begin(choice, out);
        let kind = match open {
            PartOpen::Text => None,
            PartOpen::Reasoning => Some(Kind::Reasoning),
            PartOpen::Refusal => Some(Kind::Refusal),
            PartOpen::ToolCall { id, name, signature } => {
                let id = call_id(id, &self.reply, choice, part);
                let Some(calls) = self.calls.get_mut(choice as usize) else { return };
                let index = calls.len();
                calls.push(part);
                let mut call = messages::write_call(&id, name, "", signature.as_deref());
                call.insert("index".into(), index.into());
                call.insert("function".into(), json!({"name": name, "arguments": ""}));
                self.chunk(choice, &json!({"tool_calls": [call]}), None, out);
                None
            }
            PartOpen::Whole(part) => {
                self.whole(choice, &part.kind, out);
                None
            }
        };
        if let (Some(kind), Some(kinds)) = (kind, self.kinds.get_mut(choice as usize)) {
            kinds.push((part, kind));
        }
    }

    fn whole(&self, choice: u32, kind: &PartKind, out: &mut Vec<u8>) {
        let delta = match kind {
            PartKind::Reasoning { redacted: Some(data), .. } => {
                json!({"thinking_blocks": [{"type": "redacted_thinking", "data": data}]})
            }
            PartKind::Media(media) => match openai::media::url_of(&media.source) {
                Some(url) => json!({"images": [{"type": "image_url", "image_url": {"url": url}}]}),
                None => return,
            },
            // What only another dialect understands has no place in this one.
            _ => return,
        };
        self.chunk(choice, &delta, None, out);
    }

    fn grow(&mut self, choice: u32, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        let kind = self
            .kinds
            .get(choice as usize)
            .and_then(|k| k.iter().rev().find(|(p, _)| *p == part))
            .map_or(Kind::Text, |(_, k)| *k);
        let delta = match (delta, kind) {
            (Delta::Text(text), Kind::Text) => return self.content(choice, text, out),
            (Delta::Text(text), Kind::Reasoning) => json!({"reasoning_content": text}),
            (Delta::Text(text), Kind::Refusal) => json!({"refusal": text}),
            (Delta::Signature(s), _) => {
                json!({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": s}]})
            }
            (Delta::Arguments(text), _) => {
                let calls = self.calls.get(choice as usize);
                let Some(index) = calls.and_then(|c| c.iter().position(|p| *p == part)) else { return };
                json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]})
            }
        };
        self.chunk(choice, &delta, None, out);
    }

    /// The common case, written without building a tree.
    fn content(&self, choice: u32, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: {\"id\":");
        write_json(out, &self.id);
        out.extend_from_slice(b",\"object\":\"chat.completion.chunk\",\"created\":");
        write_json(out, &self.created);
        out.extend_from_slice(b",\"model\":");
        write_json(out, &self.model);
        out.extend_from_slice(b",\"choices\":[{\"index\":");
        write_json(out, &choice);
        out.extend_from_slice(b",\"delta\":{\"content\":");
        write_json(out, &text);
        out.extend_from_slice(b"},\"finish_reason\":null}]}\n\n");
    }
}

/// Writing numbers and strings as JSON into memory cannot fail.
fn write_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    let _ = serde_json::to_writer(out, value);
}

impl StreamEncoder for Encoder {
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
                self.begin(0, out);
            }
            Event::PartStart { choice, part, open } => self.part_start(*choice, *part, open, out),
            Event::Delta { choice, part, delta } => self.grow(*choice, *part, delta, out),
            Event::PartEnd { .. } => {}
            Event::Finish { choice, finish } => {
                self.begin(*choice, out);
                self.chunk(*choice, &json!({}), Some(openai::write_finish(finish)), out);
            }
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failure(failure) => {
                // No `[DONE]` after it: a client must not take a broken answer for a whole one.
                let error = json!({"error": openai::error_object(failure)});
                crate::dialect::sse::write(out, None, &error);
                self.over = true;
            }
            Event::End => {
                if let (true, Some(usage)) = (self.reply.include_usage, &self.usage) {
                    self.object(&json!([]), Some(openai::write_usage(usage)), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
                self.over = true;
            }
        }
    }
}
