//! Requests.

use super::items;
use crate::Result;
use crate::canonical::{Extra, Message, Output, Part, Reasoning, Request, Role, Sampling, Tool, ToolChoice, ToolKind};
use crate::dialect::openai_chat::request::{describe_tool, read_effort};
use crate::dialect::{Beside, Dialect, Encoded, Notes, Supports, Target};
use crate::json::Fields;
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::OpenAiResponses;

/// Reads a request.
pub(super) fn read(body: &[u8], beside: &Beside) -> Result<Request> {
    let mut f = Fields::parse(body, "request body")?;
    let mut messages = Vec::new();
    if let Some(text) = f.string("instructions")? {
        messages.push(Message::new(Role::System, vec![Part::text(text)]));
    }
    match f.take("input") {
        Some(Value::String(text)) => messages.push(Message::new(Role::User, vec![Part::text(text)])),
        Some(Value::Array(list)) => messages.extend(items::read_all(list, f.path("input"))?),
        // A stored prompt or conversation can stand in for it.
        None if f.has("prompt") || f.has("conversation") || f.has("previous_response_id") => {}
        _ => return Err(f.must_be("input", "a string or an array of items")),
    }
    let reasoning = f.inner("reasoning", |mut r| {
        let word = r.string("effort")?;
        let effort = read_effort(word, r.path("effort"))?;
        let summary = r.string("summary")?.or(r.string("generate_summary")?);
        Ok(Reasoning { effort, summary, ..Reasoning::default() })
    })?;
    let (output, text_rest) = f.inner("text", read_text)?.unwrap_or_default();
    let top_logprobs = f.integer("top_logprobs")?;
    let mut request = Request {
        model: beside.model.clone().or(f.string("model")?).unwrap_or_default(),
        messages,
        tools: f.each("tools", read_tool)?.unwrap_or_default(),
        tool_choice: read_choice(&mut f)?,
        parallel_tool_calls: f.boolean("parallel_tool_calls")?,
        output,
        sampling: Sampling {
            max_tokens: f.integer("max_output_tokens")?,
            temperature: f.number("temperature")?,
            top_p: f.number("top_p")?,
            logprobs: top_logprobs.filter(|n| *n > 0).map(|_| true),
            top_logprobs,
            ..Sampling::default()
        },
        reasoning: reasoning.filter(|r| *r != Reasoning::default()),
        stream: beside.stream.or(f.boolean("stream")?).unwrap_or(false),
        include_usage: true,
        user: f.string("user")?,
        metadata: f.object("metadata")?,
        service_tier: f.string("service_tier")?,
        ..Request::default()
    };
    // How finely the stream is padded is between this client and this provider.
    let _ = f.take("stream_options");
    let mut rest = f.rest();
    if !text_rest.is_empty() {
        rest.insert("text".into(), text_rest.into());
    }
    request.extra = Extra::new(HERE, rest);
    Ok(request)
}

fn read_text(mut text: Fields<'_>) -> Result<(Option<Output>, Map<String, Value>)> {
    let output = text.inner("format", |mut f| match f.need_string("type")?.as_str() {
        "text" => Ok(Output::Text),
        "json_object" => Ok(Output::Json),
        "json_schema" => Ok(Output::Schema {
            name: f.string("name")?,
            description: f.string("description")?,
            schema: f.take("schema").unwrap_or_else(|| json!({})),
            strict: f.boolean("strict")?,
        }),
        _ => Err(f.must_be("type", "text, json_object or json_schema")),
    })?;
    Ok((output, text.rest()))
}

fn read_tool(mut tool: Fields<'_>) -> Result<Tool> {
    if tool.peek_str("type") != Some("function") {
        let kind = ToolKind::Native { dialect: HERE, value: Value::Object(tool.rest()) };
        return Ok(Tool { kind, cache: None, extra: Extra::default() });
    }
    let _ = tool.take("type");
    let kind = ToolKind::Function {
        name: tool.need_string("name")?,
        description: tool.string("description")?,
        parameters: tool.take("parameters"),
        strict: tool.boolean("strict")?,
    };
    Ok(Tool { kind, cache: None, extra: Extra::new(HERE, tool.rest()) })
}

fn read_choice(f: &mut Fields<'_>) -> Result<Option<ToolChoice>> {
    const WANT: &str = "none, auto, required, or an object naming a function";
    match f.take("tool_choice") {
        None => Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" => Ok(Some(ToolChoice::Required)),
            _ => Err(f.must_be("tool_choice", WANT)),
        },
        Some(value) => match value.get("name").and_then(Value::as_str) {
            Some(name) => Ok(Some(ToolChoice::Named(name.to_owned()))),
            None => Err(f.must_be("tool_choice", WANT)),
        },
    }
}

/// Writes a request.
pub(super) fn write(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = write_prompt(request, &mut notes)?;
    let s = &request.sampling;
    notes.sampling(s, Supports { logprobs: true, no_stop: true, ..Supports::default() })?;
    notes.modalities(&request.modalities, &[])?;
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    };
    put("max_output_tokens", s.max_tokens.map(Value::from));
    put("temperature", s.temperature.clone().map(Value::from));
    put("top_p", s.top_p.clone().map(Value::from));
    put("top_logprobs", s.top_logprobs.map(Value::from));
    put("stream", Some(request.stream.into()));
    put("user", request.user.as_deref().map(Value::from));
    put("metadata", request.metadata.clone().map(Value::from));
    put("service_tier", request.service_tier.as_deref().map(Value::from));
    // A gateway's client of another dialect sends the whole conversation each time.
    put("store", (request.extra.dialect != Some(HERE)).then(|| false.into()));
    notes.extra(&request.extra, &["include", "prompt_cache_key", "safety_identifier", "store"], &mut body)?;
    Ok(notes.done(body))
}

/// Writes a request to count tokens.
pub(super) fn write_count(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let body = write_prompt(request, &mut notes)?;
    Ok(notes.done(body))
}

fn write_prompt(request: &Request, notes: &mut Notes) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    if !request.model.is_empty() {
        body.insert("model".into(), request.model.as_str().into());
    }
    let mut messages = request.messages.as_slice();
    if let [first, rest @ ..] = messages
        && let (Role::System, [part]) = (first.role, first.parts.as_slice())
        && let Some(text) = part.as_text()
    {
        if part.cache.is_some() {
            notes.hint("a cache marker")?;
        }
        body.insert("instructions".into(), text.into());
        messages = rest;
    }
    let mut input = Vec::with_capacity(messages.len());
    for message in messages {
        items::write(message, notes, &mut input)?;
    }
    body.insert("input".into(), input.into());
    write_tools(request, notes, &mut body)?;
    let mut text = Map::new();
    if let Some(output) = &request.output {
        text.insert("format".into(), write_output(output));
    }
    if let Some(Value::Object(own)) = request.extra.of(HERE).and_then(|x| x.get("text")) {
        text.extend(own.clone());
    }
    if !text.is_empty() {
        body.insert("text".into(), text.into());
    }
    if let Some(r) = &request.reasoning {
        let mut reasoning = Map::new();
        if let Some(effort) = r.word() {
            reasoning.insert("effort".into(), effort.as_str().into());
        }
        if let Some(summary) = &r.summary {
            reasoning.insert("summary".into(), summary.as_str().into());
        }
        if !reasoning.is_empty() {
            body.insert("reasoning".into(), reasoning.into());
        }
    }
    Ok(body)
}

fn write_tools(request: &Request, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let mut tools = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        if tool.cache.is_some() {
            notes.hint("a cache marker")?;
        }
        match &tool.kind {
            ToolKind::Function { name, description, parameters, strict } => {
                let mut t = Map::new();
                t.insert("type".into(), "function".into());
                t.insert("name".into(), name.as_str().into());
                if let Some(d) = description {
                    t.insert("description".into(), d.as_str().into());
                }
                if let Some(p) = parameters {
                    t.insert("parameters".into(), p.clone());
                }
                // Unlike in chat, strict is the default here, and would refuse most schemas.
                match strict {
                    Some(strict) => drop(t.insert("strict".into(), (*strict).into())),
                    None if request.extra.dialect != Some(HERE) => drop(t.insert("strict".into(), false.into())),
                    None => {}
                }
                notes.inner(&tool.extra, &mut t)?;
                tools.push(Value::Object(t));
            }
            ToolKind::Native { dialect: HERE, value } => tools.push(value.clone()),
            ToolKind::Native { value, .. } => notes.refuse(describe_tool(value))?,
        }
    }
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
    }
    if let Some(choice) = &request.tool_choice {
        let choice = match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Named(name) => json!({"type": "function", "name": name}),
        };
        body.insert("tool_choice".into(), choice);
    }
    if let Some(parallel) = request.parallel_tool_calls {
        body.insert("parallel_tool_calls".into(), parallel.into());
    }
    Ok(())
}

fn write_output(output: &Output) -> Value {
    match output {
        Output::Text => json!({"type": "text"}),
        Output::Json => json!({"type": "json_object"}),
        Output::Schema { name, description, schema, strict } => {
            let mut f = Map::new();
            f.insert("type".into(), "json_schema".into());
            f.insert("name".into(), name.as_deref().unwrap_or("answer").into());
            if let Some(d) = description {
                f.insert("description".into(), d.as_str().into());
            }
            f.insert("schema".into(), schema.clone());
            f.insert("strict".into(), strict.unwrap_or(false).into());
            Value::Object(f)
        }
    }
}
