//! OpenAI's text completions: a prompt in, its continuation out. In the canonical form the prompt is
//! what one user says, so that a model which only chats can answer it.

use super::sse::{Data, JsonEvents, write as write_event};
use super::{
    Beside, Codec, Dialect, Encoded, Leniency, Notes, Reply, StreamDecoder, StreamEncoder, Supports, Target, failure,
    openai, openai_chat,
};
use crate::canonical::{
    Choice, Delta, Event, Extra, Failure, Finish, Message, Part, PartOpen, Request, Response, Role, Sampling, Usage,
};
use crate::json::Fields;
use crate::seen::Seen;
use crate::{Error, Result};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::OpenAiCompletions;
/// More alternatives than anyone asks for.
const MAX_CHOICES: usize = 128;

/// The codec.
#[derive(Debug)]
pub(super) struct OpenAiCompletions;

impl Codec for OpenAiCompletions {
    fn dialect(&self) -> Dialect {
        HERE
    }

    fn decode_request(&self, body: &[u8], beside: &Beside) -> Result<Request> {
        read_request(body, beside)
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Result<Encoded> {
        write_request(request, target)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response> {
        read_response(body)
    }

    fn encode_response(&self, response: &Response, reply: &Reply) -> Result<Encoded> {
        Ok(write_response(response, reply))
    }

    fn decode_failure(&self, status: u16, body: &[u8]) -> Failure {
        failure::read(status, body)
    }

    fn encode_failure(&self, failure: &Failure) -> Vec<u8> {
        json!({"error": openai::error_object(failure)}).to_string().into_bytes()
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(Decoder::default())
    }

    fn stream_encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(Encoder { reply, ..Encoder::default() })
    }

    fn tap_event(&self, _name: &str, data: &[u8], seen: &mut Seen) {
        openai_chat::tap::event(data, seen);
    }

    fn tap_body(&self, body: &[u8], seen: &mut Seen) {
        openai_chat::tap::body(body, seen);
    }
}

fn read_request(body: &[u8], beside: &Beside) -> Result<Request> {
    let mut f = Fields::parse(body, "request body")?;
    let mut own = Map::new();
    let prompt = match f.take("prompt") {
        Some(Value::String(text)) => text,
        Some(Value::Array(items)) => match items.as_slice() {
            [Value::String(text)] => text.clone(),
            // Several prompts, or token ids: only this dialect knows them.
            [first, ..] if first.is_string() || first.is_number() || first.is_array() => {
                let texts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                let joined = texts.join("\n");
                own.insert("prompt".into(), items.into());
                joined
            }
            _ => return Err(f.must_be("prompt", "a string or an array of strings")),
        },
        _ => return Err(f.must_be("prompt", "a string or an array of strings")),
    };
    let (include_usage, _) = f
        .inner("stream_options", |mut o| Ok((o.boolean("include_usage")?.unwrap_or(false), o.rest())))?
        .unwrap_or_default();
    let logprobs = f.integer("logprobs")?;
    let sampling = Sampling {
        max_tokens: f.integer("max_tokens")?,
        temperature: f.number("temperature")?,
        top_p: f.number("top_p")?,
        top_k: f.number("top_k")?,
        frequency_penalty: f.number("frequency_penalty")?,
        presence_penalty: f.number("presence_penalty")?,
        seed: f.number("seed")?,
        stop: openai_chat::request::read_stop(&mut f, "stop")?,
        n: f.integer("n")?,
        logprobs: logprobs.map(|_| true),
        top_logprobs: logprobs,
        logit_bias: f.object("logit_bias")?,
    };
    let mut request = Request {
        model: beside.model.clone().or(f.string("model")?).unwrap_or_default(),
        messages: vec![Message::new(Role::User, vec![Part::text(prompt)])],
        sampling,
        stream: beside.stream.or(f.boolean("stream")?).unwrap_or(false),
        include_usage,
        user: f.string("user")?,
        ..Request::default()
    };
    own.extend(f.rest());
    request.extra = Extra::new(HERE, own);
    Ok(request)
}

/// The prompt a request is, for dialects that complete text.
pub(super) fn prompt_of(request: &Request, target: Dialect) -> Result<String> {
    let lacks = |what: &str| Error::Unsupported { target, what: what.to_owned() };
    if !request.tools.is_empty() {
        return Err(lacks("tools"));
    }
    let [message] = request.messages.as_slice() else { return Err(lacks("a conversation of several messages")) };
    if message.role != Role::User {
        return Err(lacks("a conversation"));
    }
    let texts: Option<Vec<&str>> = message.parts.iter().map(Part::as_text).collect();
    texts.map(|t| t.concat()).ok_or_else(|| lacks("anything but text"))
}

fn write_request(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = Map::new();
    if !request.model.is_empty() {
        body.insert("model".into(), request.model.as_str().into());
    }
    let several = request.extra.of(HERE).and_then(|x| x.get("prompt"));
    let prompt = match several {
        Some(prompt) => prompt.clone(),
        None => prompt_of(request, HERE)?.into(),
    };
    body.insert("prompt".into(), prompt);
    let s = &request.sampling;
    let supports = Supports {
        top_k: true,
        seed: true,
        penalties: true,
        several: true,
        logprobs: true,
        logit_bias: true,
        no_stop: false,
    };
    notes.sampling(s, supports)?;
    notes.modalities(&request.modalities, &[])?;
    if request.output.is_some() {
        notes.refuse("a form of the answer")?;
    }
    if request.reasoning.is_some() {
        notes.hint("reasoning")?;
    }
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    };
    put("max_tokens", s.max_tokens.map(Value::from));
    put("temperature", s.temperature.clone().map(Value::from));
    put("top_p", s.top_p.clone().map(Value::from));
    put("top_k", s.top_k.clone().map(Value::from));
    put("frequency_penalty", s.frequency_penalty.clone().map(Value::from));
    put("presence_penalty", s.presence_penalty.clone().map(Value::from));
    put("seed", s.seed.clone().map(Value::from));
    put("stop", (!s.stop.is_empty()).then(|| s.stop.clone().into()));
    put("n", s.n.map(Value::from));
    put("logprobs", s.top_logprobs.map(Value::from));
    put("logit_bias", s.logit_bias.clone().map(Value::from));
    put("stream", Some(request.stream.into()));
    put("stream_options", (request.stream && request.include_usage).then(|| json!({"include_usage": true})));
    put("user", request.user.as_deref().map(Value::from));
    notes.extra(&request.extra, &[], &mut body)?;
    Ok(notes.done(body))
}

fn read_response(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let choices = f.each("choices", |mut c| {
        Ok(Choice {
            parts: vec![Part::text(c.string("text")?.unwrap_or_default())],
            finish: c.lenient_string("finish_reason").map(|w| openai::read_finish(&w)),
            logprobs: c.take("logprobs"),
        })
    })?;
    let choices = choices.ok_or_else(|| f.must_be("choices", "an array"))?;
    let _ = f.take("object");
    Ok(Response {
        id: f.lenient_string("id"),
        model: f.lenient_string("model"),
        created: f.take("created").and_then(|c| c.as_u64()),
        choices,
        usage: f.take("usage").as_ref().and_then(openai::read_usage),
        extra: Extra::new(HERE, f.rest()),
    })
}

fn write_response(response: &Response, reply: &Reply) -> Encoded {
    let mut body = Map::new();
    body.insert("id".into(), response.id.as_deref().unwrap_or(&reply.id).into());
    body.insert("object".into(), "text_completion".into());
    body.insert("created".into(), response.created.unwrap_or(reply.created).into());
    body.insert("model".into(), response.model.as_deref().unwrap_or(&reply.model).into());
    let choices: Vec<Value> = response
        .choices
        .iter()
        .enumerate()
        .map(|(i, c)| {
            let text: String = c.parts.iter().filter_map(Part::as_text).collect();
            let finish = c.finish.as_ref().map(write_finish);
            json!({"index": i, "text": text, "logprobs": c.logprobs, "finish_reason": finish})
        })
        .collect();
    body.insert("choices".into(), choices.into());
    if let Some(usage) = &response.usage {
        body.insert("usage".into(), openai::write_usage(usage));
    }
    if let Some(own) = response.extra.of(HERE) {
        for (key, value) in own {
            body.entry(key.as_str()).or_insert_with(|| value.clone());
        }
    }
    Notes::new(HERE, Leniency::Lenient).done(body)
}

/// The reasons of this format; tools are none of it.
fn write_finish(finish: &Finish) -> &'static str {
    match openai::write_finish(finish) {
        "tool_calls" => "stop",
        reason => reason,
    }
}

/// Reads a stream.
#[derive(Debug, Default)]
struct Decoder {
    events: JsonEvents,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    over: bool,
    /// Per alternative: begun, finished.
    choices: Vec<(bool, bool)>,
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
            let whole = !state.choices.is_empty() && state.choices.iter().all(|(_, finished)| *finished);
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
        let value = match data {
            Data::Json(_, value) => value,
            Data::Done => {
                self.over = true;
                out.push(Event::End);
                return Ok(());
            }
        };
        if value.get("error").is_some_and(|e| !e.is_null()) {
            self.over = true;
            let failure = failure::of_value(502, &value);
            out.push(Event::Failure(failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream"))));
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let created = value.get("created").and_then(Value::as_u64);
            out.push(Event::Start { id: text("id"), model: text("model"), created });
        }
        for choice in value.get("choices").and_then(Value::as_array).into_iter().flatten() {
            self.choice(choice, out)?;
        }
        out.extend(value.get("usage").and_then(openai::read_usage).map(Event::Usage));
        Ok(())
    }

    fn choice(&mut self, value: &Value, out: &mut Vec<Event>) -> Result<()> {
        let index = value.get("index").and_then(Value::as_u64).unwrap_or(0) as usize;
        if index >= MAX_CHOICES {
            return Err(Error::Shape { path: "choices[].index".into(), want: "below 128" });
        }
        if self.choices.len() <= index {
            self.choices.resize(index + 1, (false, false));
        }
        let Some((begun, finished)) = self.choices.get_mut(index) else { return Ok(()) };
        let choice = index as u32;
        let text = value.get("text").and_then(Value::as_str).unwrap_or_default();
        if !text.is_empty() {
            if !std::mem::replace(begun, true) {
                out.push(Event::PartStart { choice, part: 0, open: PartOpen::Text });
            }
            out.push(Event::Delta { choice, part: 0, delta: Delta::Text(text.to_owned()) });
        }
        if let Some(word) = value.get("finish_reason").and_then(Value::as_str)
            && !std::mem::replace(finished, true)
        {
            if *begun {
                out.push(Event::PartEnd { choice, part: 0 });
            }
            out.push(Event::Finish { choice, finish: openai::read_finish(word) });
        }
        Ok(())
    }
}

/// Writes a stream. Of an answer's parts only text has a place in it.
#[derive(Debug, Default)]
struct Encoder {
    reply: Reply,
    id: Option<String>,
    model: Option<String>,
    created: Option<u64>,
    /// Parts that are text, per alternative.
    texts: Vec<(u32, u32)>,
    usage: Option<Usage>,
    over: bool,
}

impl Encoder {
    fn chunk(&self, choices: Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = Map::new();
        chunk.insert("id".into(), self.id.as_ref().unwrap_or(&self.reply.id).as_str().into());
        chunk.insert("object".into(), "text_completion".into());
        chunk.insert("created".into(), self.created.unwrap_or(self.reply.created).into());
        chunk.insert("model".into(), self.model.as_ref().unwrap_or(&self.reply.model).as_str().into());
        chunk.insert("choices".into(), choices);
        if let Some(usage) = usage {
            chunk.insert("usage".into(), usage);
        }
        write_event(out, None, &Value::Object(chunk));
    }

    fn text(&self, choice: u32, text: &str, finish: Option<&Finish>, out: &mut Vec<u8>) {
        let finish = finish.map(write_finish);
        let choices = json!([{"index": choice, "text": text, "logprobs": null, "finish_reason": finish}]);
        self.chunk(choices, None, out);
    }
}

impl StreamEncoder for Encoder {
    fn push(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, model, created } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.created = *created;
            }
            Event::PartStart { choice, part, open: PartOpen::Text } => self.texts.push((*choice, *part)),
            Event::PartStart { .. } | Event::PartEnd { .. } => {}
            Event::Delta { choice, part, delta: Delta::Text(text) } if self.texts.contains(&(*choice, *part)) => {
                self.text(*choice, text, None, out);
            }
            Event::Delta { .. } => {}
            Event::Finish { choice, finish } => self.text(*choice, "", Some(finish), out),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Failure(failure) => {
                write_event(out, None, &json!({"error": openai::error_object(failure)}));
                self.over = true;
            }
            Event::End => {
                if let (true, Some(usage)) = (self.reply.include_usage, &self.usage) {
                    self.chunk(json!([]), Some(openai::write_usage(usage)), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
                self.over = true;
            }
        }
    }
}
