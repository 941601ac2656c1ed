//! Reading streams: named events that open, fill and close items and their parts, between
//! `response.created` and `response.completed`.

use super::{items, read_finish, read_usage};
use crate::Result;
use crate::canonical::{Delta, Event, Failure, PartOpen};
use crate::dialect::sse::{Data, JsonEvents};
use crate::dialect::{StreamDecoder, failure};
use crate::json::{Fields, Path};
use serde_json::Value;

/// More items than any answer has.
const MAX_PARTS: u32 = 16 * 1024;

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
