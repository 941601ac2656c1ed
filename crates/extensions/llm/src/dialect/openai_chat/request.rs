//! Requests.

use super::messages;
use crate::Result;
use crate::canonical::{Effort, Extra, Modality, Output, Reasoning, Request, Sampling, Tool, ToolChoice, ToolKind};
use crate::dialect::{Beside, Dialect, Encoded, MaxTokensField, Notes, Target};
use crate::json::{Fields, Path};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::OpenAiChat;

/// Reads a request.
pub(super) fn read(body: &[u8], beside: &Beside) -> Result<Request> {
    let mut f = Fields::parse(body, "request body")?;
    let messages = f.each("messages", messages::read)?.ok_or_else(|| f.must_be("messages", "an array"))?;
    if messages.is_empty() {
        return Err(f.must_be("messages", "an array with at least one message"));
    }
    let (include_usage, stream_rest) = read_stream_options(&mut f)?;
    let completion = f.integer("max_completion_tokens")?;
    let sampling = Sampling {
        max_tokens: completion.or(f.integer("max_tokens")?),
        temperature: f.number("temperature")?,
        top_p: f.number("top_p")?,
        top_k: f.number("top_k")?,
        frequency_penalty: f.number("frequency_penalty")?,
        presence_penalty: f.number("presence_penalty")?,
        seed: f.number("seed")?,
        stop: read_stop(&mut f, "stop")?,
        n: f.integer("n")?,
        logprobs: f.boolean("logprobs")?,
        top_logprobs: f.integer("top_logprobs")?,
        logit_bias: f.object("logit_bias")?,
    };
    let (reasoning, own_thinking) = read_reasoning(&mut f)?;
    let mut request = Request {
        model: beside.model.clone().or(f.string("model")?).unwrap_or_default(),
        messages,
        tools: f.each("tools", read_tool)?.unwrap_or_default(),
        tool_choice: read_choice(&mut f)?,
        parallel_tool_calls: f.boolean("parallel_tool_calls")?,
        output: f.inner("response_format", read_output)?,
        sampling,
        reasoning,
        modalities: read_modalities(&mut f)?,
        stream: beside.stream.or(f.boolean("stream")?).unwrap_or(false),
        include_usage,
        user: f.string("user")?,
        metadata: f.object("metadata")?,
        service_tier: f.string("service_tier")?,
        extra: Extra::default(),
    };
    let mut rest = f.rest();
    if !stream_rest.is_empty() {
        rest.insert("stream_options".into(), stream_rest.into());
    }
    if let Some(thinking) = own_thinking {
        rest.insert("thinking".into(), thinking);
    }
    request.extra = Extra::new(HERE, rest);
    Ok(request)
}

fn read_stream_options(f: &mut Fields<'_>) -> Result<(bool, Map<String, Value>)> {
    let options = f.inner("stream_options", |mut o| Ok((o.boolean("include_usage")?.unwrap_or(false), o.rest())))?;
    Ok(options.unwrap_or_default())
}

/// Reads stop texts: one, or an array.
pub(in crate::dialect) fn read_stop(f: &mut Fields<'_>, key: &str) -> Result<Vec<String>> {
    match f.take(key) {
        None => Ok(Vec::new()),
        Some(Value::String(s)) => Ok(vec![s]),
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|v| match v {
                Value::String(s) => Ok(s),
                _ => Err(f.must_be(key, "a string or an array of strings")),
            })
            .collect(),
        Some(_) => Err(f.must_be(key, "a string or an array of strings")),
    }
}

pub(in crate::dialect) fn read_tool(mut tool: Fields<'_>) -> Result<Tool> {
    let cache = messages::read_cache(&mut tool);
    let function = match tool.peek_str("type") {
        None | Some("function") => tool.take("function"),
        Some(_) => None,
    };
    let Some(function) = function else {
        let value = Value::Object(tool.rest());
        return Ok(Tool { kind: ToolKind::Native { dialect: HERE, value }, cache, extra: Extra::default() });
    };
    let _ = tool.take("type");
    let mut f = Fields::of(function, tool.path("function"))?;
    let kind = ToolKind::Function {
        name: f.need_string("name")?,
        description: f.string("description")?,
        parameters: f.take("parameters"),
        strict: f.boolean("strict")?,
    };
    let cache = cache.or_else(|| messages::read_cache(&mut f));
    let mut rest = tool.rest();
    // Fields beside `name` belong inside `function`, fields beside `function` outside of it: both
    // are rare, and only the outer ones are kept.
    rest.remove("function");
    Ok(Tool { kind, cache, extra: Extra::new(HERE, rest) })
}

fn read_choice(f: &mut Fields<'_>) -> Result<Option<ToolChoice>> {
    const WANT: &str = "none, auto, required, or an object naming a function";
    match f.take("tool_choice") {
        None => Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "none" => Ok(Some(ToolChoice::None)),
            "auto" => Ok(Some(ToolChoice::Auto)),
            "required" | "any" => Ok(Some(ToolChoice::Required)),
            _ => Err(f.must_be("tool_choice", WANT)),
        },
        Some(value) => value
            .pointer("/function/name")
            .or_else(|| value.get("name"))
            .and_then(Value::as_str)
            .map(|name| Some(ToolChoice::Named(name.to_owned())))
            .ok_or_else(|| f.must_be("tool_choice", WANT)),
    }
}

fn read_output(mut format: Fields<'_>) -> Result<Output> {
    match format.need_string("type")?.as_str() {
        "text" => Ok(Output::Text),
        "json_object" => Ok(Output::Json),
        "json_schema" => {
            let schema = format.inner("json_schema", |mut s| {
                Ok(Output::Schema {
                    name: s.string("name")?,
                    description: s.string("description")?,
                    schema: s.take("schema").unwrap_or_else(|| json!({})),
                    strict: s.boolean("strict")?,
                })
            })?;
            schema.ok_or_else(|| format.must_be("json_schema", "an object"))
        }
        _ => Err(format.must_be("type", "text, json_object or json_schema")),
    }
}

/// Reads `reasoning_effort`, and the `reasoning` and `thinking` objects that compatible servers and
/// clients use instead.
fn read_reasoning(f: &mut Fields<'_>) -> Result<(Option<Reasoning>, Option<Value>)> {
    let word = f.string("reasoning_effort")?;
    let mut reasoning = Reasoning { effort: read_effort(word, f.path("reasoning_effort"))?, ..Reasoning::default() };
    if let Some(Value::Object(o)) = f.take("reasoning") {
        let mut o = Fields::of(Value::Object(o), f.path("reasoning"))?;
        let word = o.string("effort")?;
        reasoning.effort = read_effort(word, o.path("effort"))?.or(reasoning.effort);
        reasoning.budget = o.integer("max_tokens")?;
        reasoning.summary = o.lenient_string("summary");
    }
    let own_thinking = match f.take("thinking") {
        Some(value) => {
            crate::dialect::anthropic::read_thinking(Fields::of(value, f.path("thinking"))?, &mut reasoning)?
        }
        None => None,
    };
    Ok(((reasoning != Reasoning::default()).then_some(reasoning), own_thinking))
}

/// Reads an effort word.
pub(in crate::dialect) fn read_effort(word: Option<String>, path: Path<'_>) -> Result<Option<Effort>> {
    let read = |w: String| Effort::parse(&w).ok_or_else(|| path.must_be("none, minimal, low, medium, high or xhigh"));
    word.map(read).transpose()
}

fn read_modalities(f: &mut Fields<'_>) -> Result<Vec<Modality>> {
    let words = f.strings("modalities")?.unwrap_or_default();
    words
        .iter()
        .map(|w| match w.as_str() {
            "text" => Ok(Modality::Text),
            "image" => Ok(Modality::Image),
            "audio" => Ok(Modality::Audio),
            "video" => Ok(Modality::Video),
            _ => Err(f.must_be("modalities", "text, image, audio or video")),
        })
        .collect()
}

/// Writes a request.
pub(super) fn write(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = Map::new();
    if !request.model.is_empty() {
        body.insert("model".into(), request.model.as_str().into());
    }
    let mut out = Vec::with_capacity(request.messages.len());
    for message in &request.messages {
        messages::write(message, &mut notes, &mut out)?;
    }
    if !target.history_reasoning {
        drop_reasoning(&mut out, &mut notes)?;
    }
    body.insert("messages".into(), out.into());
    write_sampling(request, target, &mut body);
    write_tools(request, &mut notes, &mut body)?;
    if let Some(output) = &request.output {
        body.insert("response_format".into(), write_output(output));
    }
    if let Some(reasoning) = &request.reasoning
        && let Some(effort) = reasoning.word()
    {
        body.insert("reasoning_effort".into(), effort.as_str().into());
    }
    if !request.modalities.is_empty() {
        let words: Vec<&str> = request.modalities.iter().map(|m| modality(*m)).collect();
        body.insert("modalities".into(), words.into());
    }
    body.insert("stream".into(), request.stream.into());
    if request.stream && request.include_usage {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    if let Some(user) = &request.user {
        body.insert("user".into(), user.as_str().into());
    }
    if let Some(metadata) = &request.metadata {
        body.insert("metadata".into(), metadata.clone().into());
    }
    if let Some(tier) = &request.service_tier {
        body.insert("service_tier".into(), tier.as_str().into());
    }
    notes.extra(&request.extra, &[], &mut body)?;
    Ok(notes.done(body))
}

fn drop_reasoning(messages: &mut [Value], notes: &mut Notes) -> Result<()> {
    for message in messages.iter_mut().filter_map(Value::as_object_mut) {
        for field in ["reasoning_content", "thinking_blocks"] {
            if message.remove(field).is_some() {
                notes.hint("earlier reasoning")?;
            }
        }
    }
    Ok(())
}

fn modality(m: Modality) -> &'static str {
    match m {
        Modality::Text | Modality::File => "text",
        Modality::Image => "image",
        Modality::Audio => "audio",
        Modality::Video => "video",
    }
}

fn write_sampling(request: &Request, target: &Target, body: &mut Map<String, Value>) {
    let s = &request.sampling;
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    };
    let completion = match target.max_tokens_field {
        MaxTokensField::Classic => false,
        MaxTokensField::Completion => true,
        MaxTokensField::ByModel => is_reasoning_model(&request.model),
    };
    let field = if completion { "max_completion_tokens" } else { "max_tokens" };
    put(field, s.max_tokens.map(Value::from));
    put("temperature", s.temperature.clone().map(Value::from));
    put("top_p", s.top_p.clone().map(Value::from));
    put("top_k", s.top_k.clone().map(Value::from));
    put("frequency_penalty", s.frequency_penalty.clone().map(Value::from));
    put("presence_penalty", s.presence_penalty.clone().map(Value::from));
    put("seed", s.seed.clone().map(Value::from));
    put("stop", (!s.stop.is_empty()).then(|| s.stop.clone().into()));
    put("n", s.n.map(Value::from));
    put("logprobs", s.logprobs.map(Value::from));
    put("top_logprobs", s.top_logprobs.map(Value::from));
    put("logit_bias", s.logit_bias.clone().map(Value::from));
}

/// OpenAI's models that insist on `max_completion_tokens`: o1, o3, o4 and gpt-5 with their kin.
fn is_reasoning_model(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.starts_with("gpt-5") || name.strip_prefix('o').is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit()))
}

fn write_tools(request: &Request, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let mut tools = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        let mut written = match &tool.kind {
            ToolKind::Function { name, description, parameters, strict } => {
                let mut f = Map::new();
                f.insert("name".into(), name.as_str().into());
                if let Some(d) = description {
                    f.insert("description".into(), d.as_str().into());
                }
                if let Some(p) = parameters {
                    f.insert("parameters".into(), p.clone());
                }
                if let Some(s) = strict {
                    f.insert("strict".into(), (*s).into());
                }
                let mut t = Map::new();
                t.insert("type".into(), "function".into());
                t.insert("function".into(), f.into());
                t
            }
            ToolKind::Native { dialect: HERE, value: Value::Object(o) } => o.clone(),
            ToolKind::Native { value, .. } => {
                notes.refuse(describe_tool(value))?;
                continue;
            }
        };
        if tool.cache.is_some() {
            notes.hint("a cache marker")?;
        }
        notes.inner(&tool.extra, &mut written)?;
        tools.push(Value::Object(written));
    }
    if !tools.is_empty() {
        body.insert("tools".into(), tools.into());
    }
    if let Some(choice) = &request.tool_choice {
        let choice = match choice {
            ToolChoice::Auto => "auto".into(),
            ToolChoice::None => "none".into(),
            ToolChoice::Required => "required".into(),
            ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
        };
        body.insert("tool_choice".into(), choice);
    }
    if let Some(parallel) = request.parallel_tool_calls {
        body.insert("parallel_tool_calls".into(), parallel.into());
    }
    Ok(())
}

/// What a native tool is, for an error about it.
pub(in crate::dialect) fn describe_tool(value: &Value) -> String {
    let by_type = value.get("type").and_then(Value::as_str);
    let name = by_type.or_else(|| value.as_object().and_then(|o| o.keys().next().map(String::as_str)));
    format!("the built-in tool `{}`", name.filter(|n| n.len() < 64).unwrap_or("unknown"))
}

fn write_output(output: &Output) -> Value {
    match output {
        Output::Text => json!({"type": "text"}),
        Output::Json => json!({"type": "json_object"}),
        Output::Schema { name, description, schema, strict } => {
            let mut s = Map::new();
            s.insert("name".into(), name.as_deref().unwrap_or("answer").into());
            if let Some(d) = description {
                s.insert("description".into(), d.as_str().into());
            }
            s.insert("schema".into(), schema.clone());
            if let Some(strict) = strict {
                s.insert("strict".into(), (*strict).into());
            }
            json!({"type": "json_schema", "json_schema": s})
        }
    }
}
