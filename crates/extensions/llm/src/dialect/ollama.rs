//! Ollama's chat: OpenAI's messages with flat texts, images beside them, arguments as objects, and
//! a JSON object per line when streaming.

use super::anthropic::arguments_object;
use super::openai_chat::messages::{self, describe};
use super::openai_chat::request::describe_tool;
use super::{Codec, Dialect, Encoded, Framing, Notes, StreamDecoder, Supports, Target, failure, openai};
use crate::canonical::{
    Choice, Delta, Effort, EmbeddingRequest, EmbeddingResponse, Event, Extra, Failure, Finish, Media, Message,
    Modality, ModelEntry, Output, Part, PartKind, PartOpen, Request, Response, Role, Source, Tool, ToolChoice,
    ToolKind, Usage,
};
use crate::json::Fields;
use crate::seen::Seen;
use crate::{Error, Result, time};
use gibbon_frames::lines;
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Ollama;

/// The codec.
#[derive(Debug)]
pub(super) struct Ollama;

impl Codec for Ollama {
    fn dialect(&self) -> Dialect {
        HERE
    }

    fn framing(&self) -> Framing {
        Framing::Lines
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

    fn tap_event(&self, _name: &str, data: &[u8], seen: &mut Seen) {
        let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
        watch(&value, seen);
    }

    fn tap_body(&self, body: &[u8], seen: &mut Seen) {
        self.tap_event("", body, seen);
    }

    fn encode_embedding_request(&self, request: &EmbeddingRequest, target: &Target) -> Result<Encoded> {
        let mut notes = Notes::new(HERE, target.leniency);
        let mut body = Map::new();
        body.insert("model".into(), request.model.as_str().into());
        body.insert("input".into(), openai::embeddings::texts(request, HERE)?.into());
        if let Some(n) = request.dimensions {
            body.insert("dimensions".into(), n.into());
        }
        notes.extra(&request.extra, &["options", "keep_alive", "truncate"], &mut body)?;
        Ok(notes.done(body))
    }

    fn decode_embeddings(&self, body: &[u8]) -> Result<EmbeddingResponse> {
        let mut f = Fields::parse(body, "answer of the provider")?;
        let tokens = f.count("prompt_eval_count");
        let vectors = f.take("embeddings").and_then(|rows| super::bedrock::rows(&rows));
        Ok(EmbeddingResponse {
            vectors: vectors.ok_or_else(|| f.must_be("embeddings", "an array of arrays of numbers"))?,
            model: f.lenient_string("model"),
            usage: (tokens > 0).then(|| Usage::new(tokens, 0)),
        })
    }

    fn decode_models(&self, body: &[u8]) -> Result<Vec<ModelEntry>> {
        let mut f = Fields::parse(body, "list of models")?;
        let models = f.each("models", |mut m| {
            let created = m.lenient_string("modified_at").and_then(|t| time::parse_rfc3339(&t));
            Ok(ModelEntry { id: m.need_string("name")?, created, owner: None, title: None })
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
        write_message(request, message, &mut notes, &mut out)?;
    }
    body.insert("messages".into(), out.into());
    body.insert("stream".into(), request.stream.into());
    let options = write_options(request, &mut notes)?;
    if !options.is_empty() {
        body.insert("options".into(), options.into());
    }
    match &request.output {
        None | Some(Output::Text) => {}
        Some(Output::Json) => drop(body.insert("format".into(), "json".into())),
        Some(Output::Schema { schema, .. }) => drop(body.insert("format".into(), schema.clone())),
    }
    if let Some(r) = &request.reasoning {
        let think = match r.word() {
            Some(Effort::None) => Value::Bool(false),
            // Models that take a word know three; the others take it for yes.
            Some(Effort::Minimal | Effort::Low) => "low".into(),
            Some(Effort::Medium) => "medium".into(),
            Some(_) => "high".into(),
            None => Value::Bool(true),
        };
        body.insert("think".into(), think);
    }
    write_tools(&request.tools, request.tool_choice.as_ref(), &mut notes, &mut body)?;
    if request.user.is_some() {
        notes.hint("the end user's name")?;
    }
    notes.modalities(&request.modalities, &[])?;
    notes.extra(&request.extra, &["options", "keep_alive"], &mut body)?;
    Ok(notes.done(body))
}

fn write_options(request: &Request, notes: &mut Notes) -> Result<Map<String, Value>> {
    let s = &request.sampling;
    notes.sampling(s, Supports { top_k: true, seed: true, penalties: true, ..Supports::default() })?;
    let mut out = Map::new();
    // A client of this provider may bring options of its own.
    if let Some(Value::Object(own)) = request.extra.fields.get("options") {
        out.extend(own.clone());
    }
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.into(), value);
        }
    };
    put("num_predict", s.max_tokens.map(Value::from));
    put("temperature", s.temperature.clone().map(Value::from));
    put("top_p", s.top_p.clone().map(Value::from));
    put("top_k", s.top_k.clone().map(Value::from));
    put("stop", (!s.stop.is_empty()).then(|| s.stop.clone().into()));
    put("seed", s.seed.clone().map(Value::from));
    put("frequency_penalty", s.frequency_penalty.clone().map(Value::from));
    put("presence_penalty", s.presence_penalty.clone().map(Value::from));
    Ok(out)
}

fn write_tools(
    tools: &[Tool],
    choice: Option<&ToolChoice>,
    notes: &mut Notes,
    body: &mut Map<String, Value>,
) -> Result<()> {
    let mut out = Vec::with_capacity(tools.len());
    for tool in tools {
        match &tool.kind {
            ToolKind::Function { name, description, parameters, .. } => {
                let parameters = parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
                out.push(json!({"type": "function", "function":
                    {"name": name, "description": description.as_deref().unwrap_or_default(), "parameters": parameters}}));
            }
            ToolKind::Native { value, .. } => notes.refuse(describe_tool(value))?,
        }
    }
    match choice {
        Some(ToolChoice::Required | ToolChoice::Named(_)) => notes.refuse("a forced tool")?,
        // Without tools none can be called.
        Some(ToolChoice::None) => return Ok(()),
        None | Some(ToolChoice::Auto) => {}
    }
    if !out.is_empty() {
        body.insert("tools".into(), out.into());
    }
    Ok(())
}

fn write_message(request: &Request, message: &Message, notes: &mut Notes, out: &mut Vec<Value>) -> Result<()> {
    let role = match message.role {
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut text = String::new();
    let (mut images, mut calls, mut thinking) = (Vec::new(), Vec::new(), String::new());
    for part in &message.parts {
        match &part.kind {
            PartKind::Text { text: t } | PartKind::Refusal { text: t } => {
                // Several texts become one: this format has no parts.
                if !text.is_empty() && !t.is_empty() {
                    text.push('\n');
                }
                text.push_str(t);
            }
            PartKind::Media(Media { modality: Modality::Image, source: Source::Data { base64, .. }, .. }) => {
                images.push(base64.as_str());
            }
            PartKind::ToolCall { name, arguments, .. } => {
                calls.push(json!({"function": {"name": name, "arguments": arguments_object(arguments)?}}));
            }
            PartKind::Reasoning { text, .. } => thinking.push_str(text),
            PartKind::ToolResult { call_id, name, content, is_error } => {
                if *is_error {
                    notes.hint("the error flag of a tool result")?;
                }
                if let Some(bad) = content.iter().find(|p| p.as_text().is_none()) {
                    notes.refuse(format!("{} in a tool result", describe(bad)))?;
                }
                let name = name.as_deref().or_else(|| request.tool_of_call(call_id));
                let mut result = Map::new();
                result.insert("role".into(), "tool".into());
                result.insert("content".into(), messages::texts(content).into());
                if let Some(name) = name {
                    result.insert("tool_name".into(), name.into());
                }
                out.push(Value::Object(result));
            }
            _ => notes.refuse(describe(part))?,
        }
    }
    if message.role == Role::Tool {
        return Ok(());
    }
    let mut m = Map::new();
    m.insert("role".into(), role.into());
    m.insert("content".into(), text.into());
    if !images.is_empty() {
        m.insert("images".into(), images.into());
    }
    if !thinking.is_empty() {
        m.insert("thinking".into(), thinking.into());
    }
    if !calls.is_empty() {
        m.insert("tool_calls".into(), calls.into());
    }
    out.push(Value::Object(m));
    Ok(())
}

fn read_response(body: &[u8]) -> Result<Response> {
    let mut f = Fields::parse(body, "answer of the provider")?;
    let usage = usage_of(&mut f);
    let parts = f.inner("message", |mut m| {
        let mut parts = Vec::new();
        if let Some(text) = m.string("thinking")?.filter(|t| !t.is_empty()) {
            parts.push(Part::new(PartKind::Reasoning { text, signature: None, redacted: None }));
        }
        if let Some(text) = m.string("content")?.filter(|t| !t.is_empty()) {
            parts.push(Part::text(text));
        }
        parts.extend(m.each("tool_calls", read_call)?.unwrap_or_default());
        Ok(parts)
    })?;
    let parts = parts.ok_or_else(|| f.must_be("message", "an object"))?;
    let calls = parts.iter().any(|p| matches!(p.kind, PartKind::ToolCall { .. }));
    let finish = read_finish(f.lenient_string("done_reason").as_deref(), calls);
    Ok(Response {
        id: None,
        model: f.lenient_string("model"),
        created: f.lenient_string("created_at").and_then(|t| time::parse_rfc3339(&t)),
        choices: vec![Choice { parts, finish: Some(finish), logprobs: None }],
        usage,
        extra: Extra::default(),
    })
}

fn usage_of(f: &mut Fields<'_>) -> Option<Usage> {
    let there = f.has("prompt_eval_count") || f.has("eval_count");
    let usage = Usage::new(f.count("prompt_eval_count"), f.count("eval_count"));
    there.then_some(usage)
}

fn read_call(mut call: Fields<'_>) -> Result<Part> {
    let id = call.string("id")?.unwrap_or_default();
    let function = call.inner("function", |mut f| {
        let name = f.need_string("name")?;
        let arguments = f.take("arguments").filter(|a| *a != json!({}));
        Ok((name, messages::read_arguments(arguments)))
    })?;
    let (name, arguments) = function.ok_or_else(|| call.must_be("function", "an object"))?;
    Ok(Part::new(PartKind::ToolCall { id, name, arguments, signature: None }))
}

fn read_finish(word: Option<&str>, calls: bool) -> Finish {
    match word {
        Some("length") => Finish::Length,
        _ if calls => Finish::ToolCalls,
        None | Some("stop") => Finish::Stop,
        Some(other) => Finish::Other(other.to_owned()),
    }
}

fn watch(value: &Value, seen: &mut Seen) {
    let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let n = text("/message/content").chars().count() + text("/message/thinking").chars().count();
    seen.characters += n as u64;
    let list = value.pointer("/message/tool_calls").and_then(Value::as_array);
    for arguments in list.into_iter().flatten().filter_map(|c| c.pointer("/function/arguments")) {
        if *arguments != json!({}) {
            seen.characters += arguments.to_string().chars().count() as u64;
        }
    }
    let calls = list.is_some();
    seen.first_token |= n > 0 || calls;
    if seen.model.is_none() {
        seen.model = value.get("model").and_then(Value::as_str).map(str::to_owned);
    }
    if calls {
        seen.finish = Some(Finish::ToolCalls);
    }
    if value.get("done") == Some(&Value::Bool(true)) {
        let calls = seen.finish == Some(Finish::ToolCalls);
        seen.finish = Some(read_finish(value.get("done_reason").and_then(Value::as_str), calls));
        let count = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
        seen.usage = Some(Usage::new(count("prompt_eval_count"), count("eval_count")));
        seen.ended = true;
    }
    if value.get("error").is_some() {
        seen.failure = failure::of_value(502, value);
    }
}

/// Reads a stream.
#[derive(Debug, Default)]
struct Decoder {
    lines: lines::Splitter,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    over: bool,
    calls: bool,
    next_part: u32,
    /// The text or thought that is being written.
    open: Option<(bool, u32)>,
}

impl StreamDecoder for Decoder {
    fn push(&mut self, chunk: &[u8], out: &mut Vec<Event>) -> Result<()> {
        let (state, mut result) = (&mut self.state, Ok(()));
        self.lines.push(chunk, |line| {
            if result.is_ok() {
                result = state.line(line, out);
            }
        })?;
        result
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<()> {
        let (state, mut result) = (&mut self.state, Ok(()));
        self.lines.finish(|line| {
            if result.is_ok() {
                result = state.line(line, out);
            }
        })?;
        if result.is_ok() && !std::mem::replace(&mut state.over, true) {
            out.push(Event::Failure(Failure::new(502, "the provider's stream broke off")));
        }
        result
    }
}

impl State {
    fn line(&mut self, line: &[u8], out: &mut Vec<Event>) -> Result<()> {
        if self.over {
            return Ok(());
        }
        let mut value: Value =
            serde_json::from_slice(line).map_err(|_| Error::NotJson { what: "line of the provider's stream" })?;
        if value.get("error").is_some() {
            self.over = true;
            let failure = failure::of_value(502, &value);
            out.push(Event::Failure(failure.unwrap_or_else(|| Failure::new(502, "the provider failed in mid-stream"))));
            return Ok(());
        }
        if !std::mem::replace(&mut self.started, true) {
            let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
            let created = text("created_at").and_then(|t| time::parse_rfc3339(&t));
            out.push(Event::Start { id: None, model: text("model"), created });
        }
        for (key, thought) in [("/message/thinking", true), ("/message/content", false)] {
            if let Some(text) = value.pointer(key).and_then(Value::as_str).filter(|t| !t.is_empty()) {
                let part = self.open(thought, out);
                out.push(Event::Delta { choice: 0, part, delta: Delta::Text(text.to_owned()) });
            }
        }
        if let Some(Value::Array(calls)) = value.pointer_mut("/message/tool_calls").map(Value::take) {
            for call in calls {
                self.call(read_call(Fields::of(call, crate::json::Path::Root)?)?, out);
            }
        }
        if value.get("done") == Some(&Value::Bool(true)) {
            self.over = true;
            self.close(out);
            let finish = read_finish(value.get("done_reason").and_then(Value::as_str), self.calls);
            out.push(Event::Finish { choice: 0, finish });
            let mut f = Fields::of(value, crate::json::Path::Root)?;
            out.extend(usage_of(&mut f).map(Event::Usage));
            out.push(Event::End);
        }
        Ok(())
    }

    fn open(&mut self, thought: bool, out: &mut Vec<Event>) -> u32 {
        if let Some((open, part)) = self.open
            && open == thought
        {
            return part;
        }
        self.close(out);
        let part = self.next_part;
        self.next_part += 1;
        self.open = Some((thought, part));
        let open = if thought { PartOpen::Reasoning } else { PartOpen::Text };
        out.push(Event::PartStart { choice: 0, part, open });
        part
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        if let Some((_, part)) = self.open.take() {
            out.push(Event::PartEnd { choice: 0, part });
        }
    }

    fn call(&mut self, call: Part, out: &mut Vec<Event>) {
        let PartKind::ToolCall { id, name, arguments, signature } = call.kind else { return };
        self.close(out);
        self.calls = true;
        let part = self.next_part;
        self.next_part += 1;
        out.push(Event::PartStart { choice: 0, part, open: PartOpen::ToolCall { id, name, signature } });
        if !arguments.is_empty() {
            out.push(Event::Delta { choice: 0, part, delta: Delta::Arguments(arguments) });
        }
        out.push(Event::PartEnd { choice: 0, part });
    }
}
