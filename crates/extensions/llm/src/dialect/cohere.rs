//! Cohere's chat (`/v2/chat`): OpenAI's messages and tools under names of its own, and named
//! events when streaming.

use super::openai_chat::messages;
use super::openai_chat::request::describe_tool;
use super::sse::{Data, JsonEvents};
use super::{Codec, Dialect, Encoded, Notes, StreamDecoder, Supports, Target, bedrock, failure, openai};
use crate::Result;
use crate::canonical::{
    Choice, Delta, EmbeddingRequest, EmbeddingResponse, EmbeddingTask, Event, Extra, Failure, Finish, Message,
    ModelEntry, Output, Part, PartKind, PartOpen, Request, Response, Role, ToolChoice, ToolKind, Usage,
};
use crate::json::Fields;
use crate::seen::Seen;
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Cohere;

/// The codec.
#[derive(Debug)]
pub(super) struct Cohere;

impl Codec for Cohere {
    fn dialect(&self) -> Dialect {
        HERE
    }

    fn encode_request(&self, request: &Request, target: &Target) -> Result<Encoded> {
        write_request(request, target)
    }

    fn decode_response(&self, body: &[u8]) -> Result<Response> {
        read_response(body)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(Decoder::default())
    }

    fn tap_event(&self, name: &str, data: &[u8], seen: &mut Seen) {
        let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
        watch(name, &value, seen);
    }

    fn tap_body(&self, body: &[u8], seen: &mut Seen) {
        if let Ok(response) = read_response(body) {
            *seen = Seen::of(&response);
        }
    }

    fn encode_embedding_request(&self, request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
        let mut notes = Notes::new(HERE, target.leniency);
        let mut body = Map::new();
        body.insert("model".into(), request.model.as_str().into());
        body.insert("texts".into(), openai::embeddings::texts(request, HERE)?.into());
        let task = request.task.unwrap_or(EmbeddingTask::Classification);
        body.insert("input_type".into(), bedrock::cohere_task(task).into());
        body.insert("embedding_types".into(), json!(["float"]));
        if let Some(n) = request.dimensions {
            body.insert("output_dimension".into(), n.into());
        }
        if request.user.is_some() {
            notes.hint("the end user's name")?;
        }
        notes.extra(&request.extra, &["input_type", "truncate"], &mut body)?;
        Ok(notes.done(body))
    }

    fn decode_embeddings(&self, body: &[u8]) -> Result<EmbeddingResponse> {
        let mut f = Fields::parse(body, "answer of the provider")?;
        let vectors = f.take("embeddings").and_then(|e| bedrock::rows(e.get("float").unwrap_or(&e)));
        let tokens = f.take("meta").and_then(|m| m.pointer("/billed_units/input_tokens").and_then(Value::as_u64));
        Ok(EmbeddingResponse {
            model: None,
            vectors: vectors.ok_or_else(|| f.must_be("embeddings.float", "an array of arrays of numbers"))?,
            usage: tokens.map(|n| Usage::new(n, 0)),
        })
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelEntry>> {
        let mut f = Fields::parse(body, "list of models")?;
        let models = f.each("models", |mut m| {
            Ok(ModelEntry { id: m.need_string("name")?, created: None, owner: Some("cohere".to_owned()), title: None })
        })?;
        models.ok_or_else(|| f.must_be("models", "an array"))
    }
}

fn write_request(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = Map::new();
    body.insert("model".into(), request.model.as_str().into());
    let mut out = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        write_message(message, &mut notes, &mut out)?;
    }
    body.insert("messages".into(), out.into());
    body.insert("stream".into(), request.stream.into());
    write_sampling(request, &mut notes, &mut body)?;
    write_tools(request, &mut notes, &mut body)?;
    match &request.output {
        None | Some(Output::Text) => {}
        Some(Output::Json) => drop(body.insert("response_format".into(), json!({"type": "json_object"}))),
        Some(Output::Schema { schema, .. }) => {
            body.insert("response_format".into(), json!({"type": "json_object", "json_schema": schema}));
        }
    }
    if let Some(r) = &request.reasoning {
        let thinking = match (r.is_off(), r.budget) {
            (true, _) => json!({"type": "disabled"}),
            (false, Some(budget)) => json!({"type": "enabled", "token_budget": budget}),
            (false, None) => json!({"type": "enabled"}),
        };
        body.insert("thinking".into(), thinking);
    }
    notes.modalities(&request.modalities, &[])?;
    if request.user.is_some() {
        notes.hint("the end user's name")?;
    }
    notes.extra(&request.extra, &["documents", "citation_options", "safety_mode"], &mut body)?;
    Ok(notes.done(body))
}

fn write_sampling(request: &Request, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let s = &request.sampling;
    notes.sampling(s, Supports { top_k: true, seed: true, penalties: true, ..Supports::default() })?;
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.into(), value);
        }
    };
    put("max_tokens", s.max_tokens.map(Value::from));
    put("temperature", s.temperature.clone().map(Value::from));
    put("p", s.top_p.clone().map(Value::from));
    put("k", s.top_k.clone().map(Value::from));
    put("seed", s.seed.clone().map(Value::from));
    put("stop_sequences", (!s.stop.is_empty()).then(|| s.stop.clone().into()));
    put("frequency_penalty", s.frequency_penalty.clone().map(Value::from));
    put("presence_penalty", s.presence_penalty.clone().map(Value::from));
    Ok(())
}

fn write_tools(request: &Request, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let mut tools = Vec::with_capacity(request.tools.len());
    let mut strict = false;
    for tool in &request.tools {
        match &tool.kind {
            ToolKind::Function { name, description, parameters, strict: s } => {
                strict |= *s == Some(true);
                let parameters = parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
                tools.push(json!({"type": "function", "function":
                    {"name": name, "description": description.as_deref().unwrap_or_default(), "parameters": parameters}}));
            }
            ToolKind::Native { value, .. } => notes.refuse(describe_tool(value))?,
        }
    }
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
    }
    if strict {
        body.insert("strict_tools".into(), true.into());
    }
    match &request.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) => drop(body.insert("tool_choice".into(), "NONE".into())),
        Some(ToolChoice::Required) => drop(body.insert("tool_choice".into(), "REQUIRED".into())),
        // With one tool, to name it and to require one are the same.
        Some(ToolChoice::Named(_)) if request.tools.len() == 1 => {
            body.insert("tool_choice".into(), "REQUIRED".into());
        }
        Some(ToolChoice::Named(_)) => notes.refuse("the choice of one tool among several")?,
    }
    if request.parallel_tool_calls == Some(false) {
        notes.hint("one tool call at a time")?;
    }
    Ok(())
}

/// OpenAI's message without what this format does not know.
fn write_message(message: &Message, notes: &mut Notes, out: &mut Vec<Value>) -> Result<()> {
    let mut message = message.clone();
    if message.role == Role::Developer {
        message.role = Role::System;
    }
    let before = out.len();
    messages::write(&message, notes, out)?;
    for written in out.iter_mut().skip(before) {
        let Some(m) = written.as_object_mut() else { continue };
        m.remove("name");
        m.remove("thinking_blocks");
        for part in m.get("content").and_then(Value::as_array).into_iter().flatten() {
            match part.get("type").and_then(Value::as_str) {
                Some("text" | "image_url") => {}
                other => notes.refuse(format!("a content part of type `{}`", other.unwrap_or_default()))?,
            }
        }
        for call in m.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(call) = call.as_object_mut() {
                call.remove("extra_content");
            }
        }
        if let Some(text) = m.remove("reasoning_content") {
            // Thoughts stand in the content here.
            let mut content = vec![json!({"type": "thinking", "thinking": text})];
            match m.remove("content") {
                Some(Value::String(text)) => content.push(json!({"type": "text", "text": text})),
                Some(Value::Array(parts)) => content.extend(parts),
                _ => {}
            }
            m.insert("content".into(), content.into());
        }
        if m.get("content") == Some(&Value::Null) {
            m.remove("content");
        }
    }
    Ok(())
}

fn read_response(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let parts = f.inner("message", |mut m| {
        m.take("citations");
        let plan = m.string("tool_plan")?;
        let mut value = m.rest();
        value.insert("role".into(), "assistant".into());
        let read = messages::read(Fields::of(Value::Object(value), crate::json::Path::Root)?)?;
        // What the model means to do with its tools is what it thinks.
        let plan = plan.map(|text| Part::new(PartKind::Reasoning { text, signature: None, redacted: None }));
        Ok(plan.into_iter().chain(read.parts).collect::<Vec<_>>())
    })?;
    let parts = parts.ok_or_else(|| f.must_be("message", "an object"))?;
    let finish = f.lenient_string("finish_reason").map(|w| read_finish(&w));
    Ok(Response {
        id: f.lenient_string("id"),
        model: None,
        created: None,
        choices: vec![Choice { parts, finish, logprobs: None }],
        usage: f.take("usage").as_ref().and_then(read_usage),
        extra: Extra::default(),
    })
}

fn read_finish(word: &str) -> Finish {
    match word {
        "COMPLETE" => Finish::Stop,
        "STOP_SEQUENCE" => Finish::StopSequence(None),
        "MAX_TOKENS" => Finish::Length,
        "TOOL_CALL" => Finish::ToolCalls,
        "ERROR_TOXIC" => Finish::ContentFilter,
        other => Finish::Other(other.to_owned()),
    }
}

/// What is billed counts; the tokens themselves where nothing is said of billing.
fn read_usage(usage: &Value) -> Option<Usage> {
    let count = |key: &str| {
        let billed = usage.pointer(&format!("/billed_units/{key}"));
        billed.or_else(|| usage.pointer(&format!("/tokens/{key}"))).and_then(Value::as_f64).map(|n| n as u64)
    };
    match (count("input_tokens"), count("output_tokens")) {
        (None, None) => None,
        (input, output) => Some(Usage::new(input.unwrap_or(0), output.unwrap_or(0))),
    }
}

fn watch(name: &str, value: &Value, seen: &mut Seen) {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or(name);
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let n = match kind {
        "content-delta" => {
            text("/delta/message/content/text").chars().count()
                + text("/delta/message/content/thinking").chars().count()
        }
        "tool-plan-delta" => text("/delta/message/tool_plan").chars().count(),
        "tool-call-delta" => text("/delta/message/tool_calls/function/arguments").chars().count(),
        _ => 0,
    };
    seen.characters += n as u64;
    seen.first_token |= n > 0 || kind == "tool-call-start";
    match kind {
        "message-start" => seen.id = value.get("id").and_then(Value::as_str).map(str::to_owned),
        "message-end" => {
            seen.finish = value.pointer("/delta/finish_reason").and_then(Value::as_str).map(read_finish);
            seen.usage = value.pointer("/delta/usage").and_then(read_usage);
            seen.ended = true;
        }
        _ => {}
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
    over: bool,
    next_part: u32,
    /// The part that is being written. Parts never overlap in this format.
    open: Option<u32>,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        self.events.push(chunk, &mut |data| {
            state.read(data, out);
            Ok(())
        })
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()> {
        let state = &mut self.state;
        self.events.finish(&mut |data| {
            state.read(data, out);
            Ok(())
        })?;
        if !std::mem::replace(&mut state.over, true) {
            out.push(Event::Failure(Failure::new(502, "the provider's stream broke off")));
        }
        Ok(())
    }
}

impl State {
    fn read(&mut self, data: Data<'_>, out: &mut Vec<Event>) {
        let Data::Json(name, value) = data else { return };
        if self.over {
            return;
        }
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        match value.get("type").and_then(Value::as_str).unwrap_or(name) {
            "message-start" => {
                let id = value.get("id").and_then(Value::as_str).map(str::to_owned);
                out.push(Event::Start { id, model: None, created: None });
            }
            "content-start" => {
                let thought = text("/delta/message/content/type") == "thinking";
                self.begin(if thought { PartOpen::Reasoning } else { PartOpen::Text }, out);
            }
            "content-delta" => {
                let more = text("/delta/message/content/text") + &text("/delta/message/content/thinking");
                self.grow(Delta::Text(more), PartOpen::Text, out);
            }
            "tool-plan-delta" => {
                self.grow(Delta::Text(text("/delta/message/tool_plan")), PartOpen::Reasoning, out);
            }
            "tool-call-start" => {
                let call = "/delta/message/tool_calls";
                let open = PartOpen::ToolCall {
                    id: text(&format!("{call}/id")),
                    name: text(&format!("{call}/function/name")),
                    signature: None,
                };
                self.begin(open, out);
                self.grow(Delta::Arguments(text(&format!("{call}/function/arguments"))), PartOpen::Text, out);
            }
            "tool-call-delta" => {
                let more = text("/delta/message/tool_calls/function/arguments");
                self.grow(Delta::Arguments(more), PartOpen::Text, out);
            }
            "content-end" | "tool-call-end" => self.close(out),
            "message-end" => {
                self.close(out);
                self.over = true;
                if let Some(error) = value.pointer("/delta/error").and_then(Value::as_str) {
                    out.push(Event::Failure(Failure::new(502, error)));
                    return;
                }
                let finish = read_finish(&text("/delta/finish_reason"));
                out.push(Event::Finish { choice: 0, finish });
                out.extend(value.pointer("/delta/usage").and_then(read_usage).map(Event::Usage));
                out.push(Event::End);
            }
            _ if value.get("message").is_some_and(Value::is_string) && value.get("type").is_none() => {
                self.over = true;
                let failure = failure::of_value(502, &value);
                out.extend(failure.map(Event::Failure));
            }
            _ => {}
        }
    }

    fn begin(&mut self, open: PartOpen, out: &mut Vec<Event>) {
        self.close(out);
        let part = self.next_part;
        self.next_part += 1;
        self.open = Some(part);
        out.push(Event::PartStart { choice: 0, part, open });
    }

    fn grow(&mut self, delta: Delta, or: PartOpen, out: &mut Vec<Event>) {
        let (Delta::Text(t) | Delta::Arguments(t) | Delta::Signature(t)) = &delta;
        if t.is_empty() {
            return;
        }
        if self.open.is_none() {
            self.begin(or, out);
        }
        out.extend(self.open.map(|part| Event::Delta { choice: 0, part, delta }));
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        out.extend(self.open.take().map(|part| Event::PartEnd { choice: 0, part }));
    }
}
