//! Requests.

use super::blocks;
use crate::Result;
use crate::canonical::{
    CacheMarker, Extra, Message, Output, Part, PartKind, Request, Role, Sampling, Tool, ToolChoice, ToolKind,
};
use crate::dialect::anthropic::write_reasoning;
use crate::dialect::openai_chat::request::describe_tool;
use crate::dialect::{Beside, Dialect, Encoded, Notes, Supports, Target};
use crate::json::Fields;
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Bedrock;

/// Native fields that clients of other dialects pass along.
const FOREIGN_FIELDS: &[&str] = &[
    "guardrailConfig",
    "performanceConfig",
    "requestMetadata",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
];

/// Reads a request.
pub(super) fn read(mut f: Fields<'_>, beside: &Beside) -> Result<Request> {
    let mut messages = Vec::new();
    if let Some(system) = f.array("system")? {
        messages.push(Message::new(Role::System, blocks::read_all(system, f.path("system"))?));
    }
    let turns = f.each("messages", read_message)?.ok_or_else(|| f.must_be("messages", "an array"))?;
    messages.extend(turns.into_iter().flatten());
    let (sampling, config_rest) = f.inner("inferenceConfig", read_config)?.unwrap_or_default();
    let (tools, tool_choice) = f.inner("toolConfig", read_tools)?.unwrap_or_default();
    let output = f.inner("outputConfig", read_output)?.flatten();
    let mut rest = f.rest();
    if !config_rest.is_empty() {
        rest.insert("inferenceConfig".into(), config_rest.into());
    }
    Ok(Request {
        model: beside.model.clone().unwrap_or_default(),
        messages,
        tools,
        tool_choice,
        output,
        sampling,
        stream: beside.stream.unwrap_or(false),
        include_usage: true,
        extra: Extra::new(HERE, rest),
        ..Request::default()
    })
}

fn read_message(mut m: Fields<'_>) -> Result<Vec<Message>> {
    let role = match m.need_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(m.must_be("role", "user or assistant")),
    };
    let items = m.array("content")?.ok_or_else(|| m.must_be("content", "an array of content blocks"))?;
    let parts = blocks::read_all(items, m.path("content"))?;
    let (results, said): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|p| matches!(p.kind, PartKind::ToolResult { .. }));
    let mut out = Vec::with_capacity(2);
    if !results.is_empty() {
        out.push(Message::new(Role::Tool, results));
    }
    if !said.is_empty() || out.is_empty() {
        out.push(Message::new(role, said));
    }
    Ok(out)
}

fn read_config(mut c: Fields<'_>) -> Result<(Sampling, Map<String, Value>)> {
    let sampling = Sampling {
        max_tokens: c.integer("maxTokens")?,
        temperature: c.number("temperature")?,
        top_p: c.number("topP")?,
        stop: c.strings("stopSequences")?.unwrap_or_default(),
        ..Sampling::default()
    };
    Ok((sampling, c.rest()))
}

fn read_tools(mut config: Fields<'_>) -> Result<(Vec<Tool>, Option<ToolChoice>)> {
    let mut tools: Vec<Tool> = Vec::new();
    config.each("tools", |mut t| {
        if let Some(point) = t.take("cachePoint") {
            let ttl = point.get("ttl").and_then(Value::as_str).map(str::to_owned);
            if let Some(last) = tools.last_mut() {
                last.cache = Some(CacheMarker { ttl });
            }
            return Ok(());
        }
        let spec = t.inner("toolSpec", |mut s| {
            let kind = ToolKind::Function {
                name: s.need_string("name")?,
                description: s.string("description")?,
                parameters: s.inner("inputSchema", |mut i| Ok(i.take("json")))?.flatten(),
                strict: s.boolean("strict")?,
            };
            Ok(Tool { kind, cache: None, extra: Extra::new(HERE, s.rest()) })
        })?;
        tools.push(spec.unwrap_or_else(|| Tool {
            kind: ToolKind::Native { dialect: HERE, value: Value::Object(t.rest()) },
            cache: None,
            extra: Extra::default(),
        }));
        Ok(())
    })?;
    let choice = config.inner("toolChoice", |mut c| {
        if let Some(name) = c.inner("tool", |mut t| t.need_string("name"))? {
            return Ok(ToolChoice::Named(name));
        }
        if c.has("any") { Ok(ToolChoice::Required) } else { Ok(ToolChoice::Auto) }
    })?;
    Ok((tools, choice))
}

fn read_output(mut config: Fields<'_>) -> Result<Option<Output>> {
    let format = config.inner("textFormat", |mut t| {
        let schema = t.inner("structure", |mut s| {
            s.inner("jsonSchema", |mut j| {
                let schema = match j.take("schema") {
                    Some(Value::String(text)) => {
                        serde_json::from_str(&text).map_err(|_| j.must_be("schema", "a JSON Schema as JSON text"))?
                    }
                    Some(value) => value,
                    None => json!({}),
                };
                Ok(Output::Schema {
                    name: j.string("name")?,
                    description: j.string("description")?,
                    schema,
                    strict: None,
                })
            })
        })?;
        Ok(schema.flatten())
    })?;
    Ok(format.flatten())
}

/// Writes a request.
pub(super) fn write(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = write_prompt(request, &mut notes)?;
    let mut fields = Map::new();
    let config = write_config(request, target, &mut notes, &mut fields)?;
    body.insert("inferenceConfig".into(), config.into());
    if let Some(output) = &request.output {
        write_output(output, &mut notes, &mut body)?;
    }
    if request.user.is_some() {
        notes.hint("the end user's name")?;
    }
    if let Some(metadata) = &request.metadata {
        body.insert("requestMetadata".into(), metadata.clone().into());
    }
    match request.service_tier.as_deref() {
        Some(tier @ ("priority" | "default" | "flex")) => {
            drop(body.insert("serviceTier".into(), json!({"type": tier})))
        }
        Some(_) => notes.hint("the service tier")?,
        None => {}
    }
    notes.extra(&request.extra, FOREIGN_FIELDS, &mut body)?;
    if !fields.is_empty() {
        let own = body.entry("additionalModelRequestFields").or_insert_with(|| json!({}));
        if let Some(own) = own.as_object_mut() {
            for (key, value) in fields {
                own.entry(key).or_insert(value);
            }
        }
    }
    Ok(notes.done(body))
}

/// Writes a request to count tokens.
pub(super) fn write_count(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let prompt = write_prompt(request, &mut notes)?;
    let input = json!({"converse": prompt});
    Ok(notes.done(Map::from_iter([("input".to_owned(), input)])))
}

fn write_prompt(request: &Request, notes: &mut Notes) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    let mut system = Vec::new();
    for part in request.system() {
        system.extend(blocks::write_all(std::slice::from_ref(part), notes)?);
    }
    let mut messages = write_messages(request, notes)?;
    if !system.is_empty() && !knows_system(&request.model) {
        fold_system(std::mem::take(&mut system), &mut messages);
    }
    body.insert("messages".into(), messages.into());
    if !system.is_empty() {
        body.insert("system".into(), system.into());
    }
    write_tools(request, notes, &mut body)?;
    Ok(body)
}

/// Whether a model has a system role. Those without get the instructions ahead of what the user says.
fn knows_system(model: &str) -> bool {
    const WITHOUT: &[&str] = &[
        "amazon.titan-text",
        "cohere.command-text",
        "cohere.command-light-text",
        "mistral.mistral-7b",
        "mistral.mixtral-8x7b",
    ];
    !WITHOUT.iter().any(|w| model.contains(w))
}

fn fold_system(system: Vec<Value>, messages: &mut Vec<Value>) {
    let first = messages.first_mut().filter(|m| m.get("role") == Some(&Value::from("user")));
    match first.and_then(|m| m.get_mut("content")).and_then(Value::as_array_mut) {
        Some(content) => drop(content.splice(0..0, system)),
        None => messages.insert(0, json!({"role": "user", "content": system})),
    }
}

/// Writes the conversation. Neighbours of one role become one turn; tool results are the user's.
fn write_messages(request: &Request, notes: &mut Notes) -> Result<Vec<Value>> {
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in request.conversation() {
        if message.name.is_some() && message.role != Role::Tool {
            notes.hint("the name of a speaker")?;
        }
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        let content = blocks::write_all(&message.parts, notes)?;
        match turns.last_mut().filter(|(r, _)| *r == role) {
            Some((_, turn)) => turn.extend(content),
            None if content.is_empty() => notes.hint("a message without content")?,
            None => turns.push((role, content)),
        }
    }
    Ok(turns.into_iter().map(|(role, content)| json!({"role": role, "content": content})).collect())
}

fn write_tools(request: &Request, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let mut tools = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        match &tool.kind {
            ToolKind::Function { name, description, parameters, strict } => {
                let mut spec = tool_spec(name, description.as_deref(), parameters.clone());
                if *strict == Some(true) {
                    spec.insert("strict".into(), true.into());
                }
                notes.inner(&tool.extra, &mut spec)?;
                tools.push(json!({"toolSpec": spec}));
            }
            ToolKind::Native { dialect: HERE, value } => tools.push(value.clone()),
            ToolKind::Native { value, .. } => {
                notes.refuse(describe_tool(value))?;
                continue;
            }
        }
        tools.extend(tool.cache.as_ref().map(blocks::cache_point));
    }
    let history = called_tools(request);
    let choice = match &request.tool_choice {
        // There is no such word here: without tools none can be called.
        Some(ToolChoice::None) => {
            if !history.is_empty() {
                notes.refuse("a conversation with tool calls that must not call tools")?;
            }
            return Ok(());
        }
        None => None,
        Some(ToolChoice::Auto) => Some(json!({"auto": {}})),
        Some(ToolChoice::Required) => Some(json!({"any": {}})),
        Some(ToolChoice::Named(name)) => Some(json!({"tool": {"name": name}})),
    };
    if tools.is_empty() {
        // The service wants the tools of the conversation declared, even when none may be called anew.
        tools.extend(history.iter().map(|name| json!({"toolSpec": tool_spec(name, None, None)})));
    }
    if tools.is_empty() {
        return Ok(());
    }
    let mut config = Map::new();
    config.insert("tools".into(), tools.into());
    if let Some(choice) = choice {
        config.insert("toolChoice".into(), choice);
    }
    body.insert("toolConfig".into(), config.into());
    Ok(())
}

fn tool_spec(name: &str, description: Option<&str>, parameters: Option<Value>) -> Map<String, Value> {
    let mut spec = Map::new();
    spec.insert("name".into(), name.into());
    if let Some(d) = description.filter(|d| !d.is_empty()) {
        spec.insert("description".into(), d.into());
    }
    let schema = parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}}));
    spec.insert("inputSchema".into(), json!({"json": schema}));
    spec
}

/// The names of the tools called in the conversation, each once.
fn called_tools(request: &Request) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for part in request.messages.iter().flat_map(|m| &m.parts) {
        if let PartKind::ToolCall { name, .. } = &part.kind
            && !names.contains(&name.as_str())
        {
            names.push(name);
        }
    }
    names
}

fn write_config(
    request: &Request,
    target: &Target,
    notes: &mut Notes,
    fields: &mut Map<String, Value>,
) -> Result<Map<String, Value>> {
    let s = &request.sampling;
    notes.sampling(s, Supports { top_k: true, ..Supports::default() })?;
    notes.modalities(&request.modalities, &[])?;
    let claude = request.model.contains("anthropic.");
    let mut max_tokens = s.max_tokens;
    if let Some(reasoning) = &request.reasoning {
        if claude {
            let mut bound = max_tokens.unwrap_or(target.default_max_tokens);
            if let Some((thinking, effort)) = write_reasoning(request, reasoning, &mut bound, notes)? {
                if let Some(thinking) = thinking {
                    max_tokens = Some(bound);
                    fields.insert("thinking".into(), thinking);
                }
                if let Some(effort) = effort {
                    fields.insert("output_config".into(), json!({"effort": effort.as_str()}));
                }
            }
        } else if let (true, Some(effort)) = (request.model.contains("openai."), reasoning.word()) {
            fields.insert("reasoning_effort".into(), effort.as_str().into());
        } else {
            notes.hint("a reasoning effort for this model")?;
        }
    }
    if let Some(k) = &s.top_k {
        if request.model.contains("amazon.nova") {
            fields.insert("inferenceConfig".into(), json!({"topK": k}));
        } else if claude {
            fields.insert("top_k".into(), k.clone().into());
        } else {
            notes.hint("top_k")?;
        }
    }
    if request.parallel_tool_calls == Some(false) && !request.tools.is_empty() {
        if claude && matches!(request.tool_choice, None | Some(ToolChoice::Auto)) {
            fields.insert("tool_choice".into(), json!({"type": "auto", "disable_parallel_tool_use": true}));
        } else {
            notes.hint("one tool call at a time")?;
        }
    }
    let mut config = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(key.into(), value);
        }
    };
    put("maxTokens", max_tokens.map(Value::from));
    put("temperature", s.temperature.clone().map(Value::from));
    put("topP", s.top_p.clone().map(Value::from));
    put("stopSequences", (!s.stop.is_empty()).then(|| s.stop.clone().into()));
    if let Some(Value::Object(own)) = request.extra.of(HERE).and_then(|x| x.get("inferenceConfig")) {
        config.extend(own.clone());
    }
    Ok(config)
}

fn write_output(output: &Output, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    match output {
        Output::Text => {}
        Output::Json => notes.refuse("a JSON answer without a schema")?,
        Output::Schema { name, description, schema, .. } => {
            let mut s = Map::new();
            s.insert("schema".into(), schema.to_string().into());
            if let Some(name) = name {
                s.insert("name".into(), name.as_str().into());
            }
            if let Some(d) = description {
                s.insert("description".into(), d.as_str().into());
            }
            let format = json!({"type": "json_schema", "structure": {"jsonSchema": s}});
            body.insert("outputConfig".into(), json!({"textFormat": format}));
        }
    }
    Ok(())
}
