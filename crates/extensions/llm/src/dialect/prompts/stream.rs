//! Streams of prompt continuations: pieces of one text.

use super::{Prompts, first, read_finish};
use crate::canonical::{Delta, Event, Failure, Finish, PartOpen};
use crate::dialect::sse::{Data, JsonEvents};
use crate::dialect::{Dialect, Framing, StreamDecoder, failure};
use crate::{Error, Result};
use gibbon_frames::lines;
use serde_json::Value;

/// Reads a stream.
#[derive(Debug)]
pub(super) struct Decoder {
    splitter: Splitter,
    state: State,
}

#[derive(Debug)]
enum Splitter {
    Sse(JsonEvents),
    Lines(lines::Splitter),
}

#[derive(Debug)]
struct State {
    format: &'static Prompts,
    started: bool,
    begun: bool,
    finish: Option<Finish>,
    over: bool,
}

impl Decoder {
    pub(super) fn new(dialect: Dialect, framing: Framing) -> Self {
        let format = match dialect {
            Dialect::CohereGenerate => &super::COHERE,
            Dialect::OllamaGenerate => &super::OLLAMA,
            Dialect::AnthropicComplete => &super::ANTHROPIC,
            Dialect::LlamaRaw => &super::LLAMA,
            _ => &super::HUGGING_FACE,
        };
        let splitter = match framing {
            Framing::Lines => Splitter::Lines(lines::Splitter::default()),
            _ => Splitter::Sse(JsonEvents::default()),
        };
        Self { splitter, state: State { format, started: false, begun: false, finish: None, over: false } }
    }
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        match &mut self.splitter {
            Splitter::Sse(events) => events.push(chunk, &mut |data| state.event(data, out)),
            Splitter::Lines(lines) => {
                let mut result = Ok(());
                lines.push(chunk, |line| state.line(line, &mut result, out))?;
                result
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        match &mut self.splitter {
            Splitter::Sse(events) => events.finish(&mut |data| state.event(data, out))?,
            Splitter::Lines(lines) => {
                let mut result = Ok(());
                lines.finish(|line| state.line(line, &mut result, out))?;
                result?;
            }
        }
        state.end(out);
        Ok(())
    }
}

impl State {
    fn event(&mut self, data: Data<'_>, out: &mut Vec<Event>) -> Result<()> {
        if let Data::Json(_, value) = data {
            self.read(&value, out);
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], result: &mut Result<()>, out: &mut Vec<Event>) {
        if result.is_ok() {
            match serde_json::from_slice(line) {
                Ok(value) => self.read(&value, out),
                Err(_) => *result = Err(Error::NotJson { what: "line of the provider's stream" }),
            }
        }
    }

    fn read(&mut self, value: &Value, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        if value.get("error").is_some_and(|e| !e.is_null()) {
            self.over = true;
            let failure = failure::of_value(502, value);
            out.push(Event::Failure(failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream"))));
            return;
        }
        if !std::mem::replace(&mut self.started, true) {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let created = text("created_at").and_then(|t| crate::time::parse_rfc3339(&t));
            out.push(Event::Start { id: text("id"), model: text("model"), created });
        }
        let text = first(value, self.format.piece).and_then(Value::as_str).unwrap_or_default();
        if !text.is_empty() {
            if !std::mem::replace(&mut self.begun, true) {
                out.push(Event::PartStart { choice: 0, part: 0, open: PartOpen::Text });
            }
            out.push(Event::Delta { choice: 0, part: 0, delta: Delta::Text(text.to_owned()) });
        }
        out.extend(self.format.usage(value).map(Event::Usage));
        if let Some(word) = first(value, self.format.finish).and_then(Value::as_str) {
            self.finish = Some(read_finish(word));
        } else if value.get("done") == Some(&Value::Bool(true)) {
            self.finish = self.finish.take().or(Some(Finish::Stop));
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        match self.finish.take() {
            // Text generation servers may end a stream without a reason.
            None if !self.begun => {
                out.push(Event::Failure(Failure::new(502, "the provider's stream broke off")));
                return;
            }
            finish => {
                if self.begun {
                    out.push(Event::PartEnd { choice: 0, part: 0 });
                }
                out.push(Event::Finish { choice: 0, finish: finish.unwrap_or(Finish::Stop) });
            }
        }
        out.push(Event::End);
    }
}
