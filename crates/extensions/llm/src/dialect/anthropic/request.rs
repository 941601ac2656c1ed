//! Requests.

use super::blocks::{self, read_content, write_cache};
use crate::Result;
use crate::canonical::{
    Effort, Extra, Message, Output, Part, PartKind, Reasoning, Request, Role, Sampling, Tool, ToolChoice, ToolKind,
};
use crate::dialect::notes::Supports;
use crate::dialect::openai_chat::messages::read_cache;
use crate::dialect::openai_chat::request::{describe_tool, read_effort};
use crate::dialect::{Beside, Dialect, Encoded, Host, Notes, Target};
use crate::json::Fields;
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Anthropic;
/// The smallest thinking budget the API takes.
const MIN_BUDGET: u64 = 1024;

/// Reads a request, or a request to count tokens, which lacks only the bound.
pub(super) fn read(body: &[u8], beside: &Beside) -> Result<Request> {
    let mut f = Fields::parse(body, "request body")?;
    let mut messages = Vec::new();
    if let Some(system) = f.take("system") {
        let parts = read_content(system, f.path("system"))?;
        messages.push(Message::new(Role::System, parts));
    }
    let turns = f.each("messages", read_message)?.ok_or_else(|| f.must_be("messages", "an array"))?;
    if turns.is_empty() {
        return Err(f.must_be("messages", "an array with at least one message"));
    }
    messages.extend(turns.into_iter().flatten());
    let (tool_choice, parallel_tool_calls) = read_choice(&mut f)?;
    let (output, effort, config_rest) = read_output_config(&mut f)?;
    let mut reasoning = Reasoning { effort, ..Reasoning::default() };
    let own_thinking = match f.take("thinking") {
        Some(thinking) => read_thinking(Fields::of(thinking, f.path("thinking"))?, &mut reasoning)?,
        None => None,
    };
    let sampling = Sampling {
        max_tokens: f.integer("max_tokens")?,
        temperature: f.number("temperature")?,
        top_p: f.number("top_p")?,
        top_k: f.number("top_k")?,
        stop: f.strings("stop_sequences")?.unwrap_or_default(),
        ..Sampling::default()
    };
    let (user, metadata) = f
        .inner("metadata", |mut m| {
            let user = m.string("user_id")?;
            let rest = m.rest();
            Ok((user, (!rest.is_empty()).then_some(rest)))
        })?
        .unwrap_or_default();
    let mut request = Request {
        model: beside.model.clone().or(f.string("model")?).unwrap_or_default(),
        messages,
        tools: f.each("tools", read_tool)?.unwrap_or_default(),
        tool_choice,
        parallel_tool_calls,
        output,
        sampling,
        reasoning: (reasoning != Reasoning::default()).then_some(reasoning),
        stream: beside.stream.or(f.boolean("stream")?).unwrap_or(false),
        // Streams of this dialect always report their usage.
        include_usage: true,
        user,
        metadata,
        service_tier: f.string("service_tier")?,
        ..Request::default()
    };
    let mut rest = f.rest();
    if !config_rest.is_empty() {
        rest.insert("output_config".into(), config_rest.into());
    }
    if let Some(thinking) = own_thinking {
        rest.insert("thinking".into(), thinking);
    }
    request.extra = Extra::new(HERE, rest);
    Ok(request)
}

/// Reads one turn. Tool results become a message of their own, before what the user says.
fn read_message(mut m: Fields<'_>) -> Result<Vec<Message>> {
    let role = match m.need_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(m.must_be("role", "user or assistant")),
    };
    let content = m.take("content").ok_or_else(|| m.must_be("content", "a string or an array of content blocks"))?;
    let parts = read_content(content, m.path("content"))?;
    let extra = Extra::new(HERE, m.rest());
    let (results, said): (Vec<Part>, Vec<Part>) =
        parts.into_iter().partition(|p| matches!(p.kind, PartKind::ToolResult { .. }));
    let mut out = Vec::with_capacity(2);
    if !results.is_empty() {
        out.push(Message::new(Role::Tool, results));
    }
    if !said.is_empty() || out.is_empty() {
        out.push(Message { role, parts: said, name: None, extra });
    }
    Ok(out)
}

fn read_tool(mut tool: Fields<'_>) -> Result<Tool> {
    let cache = read_cache(&mut tool);
    if tool.peek_str("type").is_some_and(|t| t != "custom") {
        let value = Value::Object(tool.rest());
        return Ok(Tool { kind: ToolKind::Native { dialect: HERE, value }, cache, extra: Extra::default() });
    }
    let _ = tool.take("type");
    let kind = ToolKind::Function {
        name: tool.need_string("name")?,
        description: tool.string("description")?,
        parameters: tool.take("input_schema"),
        strict: tool.boolean("strict")?,
    };
    Ok(Tool { kind, cache, extra: Extra::new(HERE, tool.rest()) })
}

fn read_choice(f: &mut Fields<'_>) -> Result<(Option<ToolChoice>, Option<bool>)> {
    let choice = f.inner("tool_choice", |mut c| {
        let choice = match c.need_string("type")?.as_str() {
            "auto" => ToolChoice::Auto,
            "any" => ToolChoice::Required,
            "none" => ToolChoice::None,
            "tool" => ToolChoice::Named(c.need_string("name")?),
            _ => return Err(c.must_be("type", "auto, any, tool or none")),
        };
        let parallel = c.boolean("disable_parallel_tool_use")?.map(|disable| !disable);
        Ok((Some(choice), parallel))
    })?;
    Ok(choice.unwrap_or_default())
}

type OutputConfig = (Option<Output>, Option<Effort>, Map<String, Value>);

fn read_output_config(f: &mut Fields<'_>) -> Result<OutputConfig> {
    let read_format = |mut format: Fields<'_>| match format.need_string("type")?.as_str() {
        "json_schema" => {
            let schema = format.take("schema").unwrap_or_else(|| json!({}));
            Ok(Output::Schema { name: None, description: None, schema, strict: None })
        }
        _ => Err(format.must_be("type", "json_schema")),
    };
    let older = f.inner("output_format", read_format)?;
    let config = f.inner("output_config", |mut c| {
        let output = c.inner("format", read_format)?;
        let word = c.string("effort")?;
        let effort = read_effort(word, c.path("effort"))?;
        Ok((output, effort, c.rest()))
    })?;
    let (output, effort, rest) = config.unwrap_or_default();
    Ok((output.or(older), effort, rest))
}

/// Reads a `thinking` object. One that says more than the core knows is given back as it came: only
/// its own dialect understands it.
pub(in crate::dialect) fn read_thinking(thinking: Fields<'_>, reasoning: &mut Reasoning) -> Result<Option<Value>> {
    let whole = thinking.peek_all();
    let mut t = thinking;
    match t.need_string("type")?.as_str() {
        "enabled" => reasoning.budget = t.integer("budget_tokens")?,
        "adaptive" => reasoning.adaptive = true,
        "disabled" => reasoning.budget = Some(0),
        _ => return Ok(Some(whole)),
    }
    // Whether the thoughts are shown; OpenAI's word for it is a summary.
    match t.string("display")?.as_deref() {
        None => {}
        Some("summarized") => reasoning.summary = Some("auto".to_owned()),
        Some(_) => return Ok(Some(whole)),
    }
    Ok(None)
}

/// Writes a request.
pub(super) fn write(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = write_prompt(request, &mut notes)?;
    write_sampling(request, target, &mut notes, &mut body)?;
    if let Some(user) = &request.user {
        body.insert("metadata".into(), json!({"user_id": user}));
    }
    if let Some(metadata) = &request.metadata {
        let inner = body.entry("metadata").or_insert_with(|| json!({}));
        match inner.as_object_mut() {
            // Only the user's id has a place in this dialect's metadata; of its own it may have more.
            Some(inner) if request.extra.dialect.is_none_or(|d| d == HERE) => inner.extend(metadata.clone()),
            _ => notes.hint("the field `metadata`")?,
        }
    }
    match request.service_tier.as_deref() {
        Some(tier @ ("auto" | "standard_only")) => drop(body.insert("service_tier".into(), tier.into())),
        Some(_) => notes.hint("the service tier")?,
        None => {}
    }
    match target.host {
        Host::Own => drop(body.insert("stream".into(), request.stream.into())),
        // Hosts of others name the model in the path and the version in the body.
        Host::Vertex => {
            body.remove("model");
            body.insert("anthropic_version".into(), "vertex-2023-10-16".into());
            body.insert("stream".into(), request.stream.into());
        }
        Host::BedrockInvoke => {
            body.remove("model");
            body.insert("anthropic_version".into(), "bedrock-2023-05-31".into());
        }
    }
    notes.extra(&request.extra, &["container", "context_management", "mcp_servers"], &mut body)?;
    Ok(notes.done(body))
}

/// Writes a request to count tokens: the prompt alone.
pub(super) fn write_count(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let body = write_prompt(request, &mut notes)?;
    Ok(notes.done(body))
}

/// Model, system instructions, conversation and tools.
fn write_prompt(request: &Request, notes: &mut Notes) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    if !request.model.is_empty() {
        body.insert("model".into(), request.model.as_str().into());
    }
    let system: Vec<Part> = request.system().cloned().collect();
    if !system.is_empty() {
        body.insert("system".into(), blocks::write_content(&system, notes)?);
    }
    body.insert("messages".into(), write_messages(request, notes)?.into());
    write_tools(request, notes, &mut body)?;
    Ok(body)
}

/// Writes the conversation. Neighbours of one role become one turn; tool results are the user's.
fn write_messages(request: &Request, notes: &mut Notes) -> Result<Vec<Value>> {
    struct Turn<'a> {
        role: &'static str,
        parts: Vec<Part>,
        extra: &'a Extra,
    }
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in request.conversation() {
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        if message.name.is_some() && message.role != Role::Tool {
            notes.hint("the name of a speaker")?;
        }
        match turns.last_mut().filter(|t| t.role == role) {
            Some(turn) => turn.parts.extend(message.parts.iter().cloned()),
            None => turns.push(Turn { role, parts: message.parts.clone(), extra: &message.extra }),
        }
    }
    let mut out = Vec::with_capacity(turns.len());
    for turn in turns {
        let content = blocks::write_content(&turn.parts, notes)?;
        if content.as_array().is_some_and(Vec::is_empty) {
            notes.hint("a message without content")?;
            continue;
        }
        let mut m = Map::new();
        m.insert("role".into(), turn.role.into());
        m.insert("content".into(), content);
        notes.inner(turn.extra, &mut m)?;
        out.push(Value::Object(m));
    }
    Ok(out)
}

fn write_tools(request: &Request, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let mut tools = Vec::with_capacity(request.tools.len());
    for tool in &request.tools {
        let mut t = Map::new();
        match &tool.kind {
            ToolKind::Function { name, description, parameters, strict } => {
                t.insert("name".into(), name.as_str().into());
                if let Some(d) = description {
                    t.insert("description".into(), d.as_str().into());
                }
                let schema = parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
                t.insert("input_schema".into(), schema);
                // Not strict is what it is by itself, and older versions do not know the word.
                if *strict == Some(true) {
                    t.insert("strict".into(), true.into());
                }
            }
            ToolKind::Native { dialect: HERE, value: Value::Object(o) } => t.clone_from(o),
            ToolKind::Native { value, .. } => {
                notes.refuse(describe_tool(value))?;
                continue;
            }
        }
        if let Some(cache) = &tool.cache {
            t.insert("cache_control".into(), write_cache(cache));
        }
        notes.inner(&tool.extra, &mut t)?;
        tools.push(Value::Object(t));
    }
    let has_tools = !tools.is_empty();
    if has_tools {
        body.insert("tools".into(), tools.into());
    }
    let one_at_a_time = request.parallel_tool_calls == Some(false) && has_tools;
    let choice = match &request.tool_choice {
        Some(ToolChoice::Auto) => Some(json!({"type": "auto"})),
        Some(ToolChoice::None) => Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => Some(json!({"type": "any"})),
        Some(ToolChoice::Named(name)) => Some(json!({"type": "tool", "name": name})),
        None => one_at_a_time.then(|| json!({"type": "auto"})),
    };
    if let Some(mut choice) = choice {
        if let (true, Some(o)) = (request.parallel_tool_calls.is_some(), choice.as_object_mut())
            && o.get("type") != Some(&Value::from("none"))
        {
            o.insert("disable_parallel_tool_use".into(), (request.parallel_tool_calls == Some(false)).into());
        }
        body.insert("tool_choice".into(), choice);
    }
    Ok(())
}

fn write_sampling(request: &Request, target: &Target, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let s = &request.sampling;
    notes.sampling(s, Supports { top_k: true, ..Supports::default() })?;
    notes.modalities(&request.modalities, &[])?;
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.into(), value);
        }
    };
    put("temperature", s.temperature.clone().map(Value::from));
    put("top_p", s.top_p.clone().map(Value::from));
    put("top_k", s.top_k.clone().map(Value::from));
    put("stop_sequences", (!s.stop.is_empty()).then(|| s.stop.clone().into()));
    let mut config = Map::new();
    let mut max_tokens = s.max_tokens.unwrap_or(target.default_max_tokens);
    if let Some(reasoning) = &request.reasoning
        && let Some((thinking, effort)) = write_reasoning(request, reasoning, &mut max_tokens, notes)?
    {
        if let (Some(thinking), None) = (thinking, request.extra.of(HERE).and_then(|x| x.get("thinking"))) {
            body.insert("thinking".into(), thinking);
        }
        if let Some(effort) = effort {
            config.insert("effort".into(), effort.as_str().into());
        }
    }
    match &request.output {
        None | Some(Output::Text) => {}
        Some(Output::Json) => notes.refuse("a JSON answer without a schema")?,
        Some(Output::Schema { schema, .. }) => {
            config.insert("format".into(), json!({"type": "json_schema", "schema": schema}));
        }
    }
    if let Some(Value::Object(own)) = request.extra.of(HERE).and_then(|x| x.get("output_config")) {
        config.extend(own.clone());
    }
    if !config.is_empty() {
        body.insert("output_config".into(), config.into());
    }
    body.insert("max_tokens".into(), max_tokens.into());
    Ok(())
}

/// The `thinking` object and the effort word, if the request may have them.
pub(in crate::dialect) fn write_reasoning(
    request: &Request,
    reasoning: &Reasoning,
    max_tokens: &mut u64,
    notes: &mut Notes,
) -> Result<Option<(Option<Value>, Option<Effort>)>> {
    if reasoning.is_off() {
        // Thinking is off unless asked for; only a client of this dialect says so in words.
        let disabled = (reasoning.effort.is_none()).then(|| json!({"type": "disabled"}));
        return Ok(Some((disabled, None)));
    }
    // The API answers 400 to either; the client of another dialect cannot know.
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    if request.extra.dialect.is_some_and(|d| d != HERE) || reasoning.effort.is_some() {
        if forced {
            notes.hint("reasoning together with a forced tool")?;
            return Ok(None);
        }
        if last_call_lacks_thought(request) {
            notes.hint("reasoning after a tool call whose reasoning was not sent back")?;
            return Ok(None);
        }
    }
    if reasoning.adaptive || (reasoning.budget.is_none() && takes_effort(&request.model)) {
        let effort = reasoning.effort.map(|e| if e == Effort::Minimal { Effort::Low } else { e });
        return Ok(Some((Some(json!({"type": "adaptive"})), effort)));
    }
    let Some(mut budget) = reasoning.tokens() else { return Ok(None) };
    if request.sampling.max_tokens.is_none() {
        *max_tokens = max_tokens.saturating_add(budget);
    }
    if budget >= *max_tokens {
        budget = max_tokens.saturating_sub(1);
    }
    if budget < MIN_BUDGET {
        notes.hint("reasoning within so few tokens")?;
        return Ok(None);
    }
    let effort = reasoning.effort.filter(|_| reasoning.budget.is_some());
    Ok(Some((Some(json!({"type": "enabled", "budget_tokens": budget})), effort)))
}

/// Whether the conversation ends in a tool loop whose assistant turn came without its thoughts.
fn last_call_lacks_thought(request: &Request) -> bool {
    let mut turns = request.messages.iter().rev();
    if turns.next().is_none_or(|m| m.role != Role::Tool) {
        return false;
    }
    let Some(turn) = turns.find(|m| m.role == Role::Assistant) else { return false };
    !turn.parts.iter().any(|p| {
        matches!(&p.kind, PartKind::Reasoning { signature, redacted, .. } if signature.is_some() || redacted.is_some())
    })
}

/// Models that take an effort word and think adaptively, instead of by a budget: those from 4.6 on.
fn takes_effort(model: &str) -> bool {
    let Some((_, name)) = model.split_once("claude-") else { return false };
    // `claude-opus-4-6`, `claude-sonnet-5`: the first two numbers after the family's name. Longer
    // numbers are dates.
    let mut numbers = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter_map(|w| (w.len() <= 2).then(|| w.parse::<u32>().ok()).flatten());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (4, 6)
}

#[cfg(test)]
mod tests {
    use super::takes_effort;

    #[test]
    fn newer_models_take_an_effort_word() {
        for (model, expected) in [
            ("claude-opus-4-6", true),
            ("anthropic.claude-opus-4-7-v1:0", true),
            ("claude-sonnet-5", true),
            ("claude-sonnet-4-5-20250929", false),
            ("claude-opus-4-20250514", false),
            ("claude-3-7-sonnet-latest", false),
            ("gpt-5", false),
        ] {
            assert_eq!(takes_effort(model), expected, "{model}");
        }
    }
}
