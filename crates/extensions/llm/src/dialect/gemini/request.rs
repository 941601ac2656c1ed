//! Requests.

use super::{camel_keys, either, parts, schema};
use crate::Result;
use crate::canonical::{
    Effort, Extra, Message, Modality, Output, Part, PartKind, Reasoning, Request, Role, Sampling, Tool, ToolChoice,
    ToolKind,
};
use crate::dialect::openai_chat::request::describe_tool;
use crate::dialect::{Beside, Dialect, Encoded, Host, Notes, Supports, Target};
use crate::json::{Fields, Path};
use serde_json::{Map, Value, json};

const HERE: Dialect = Dialect::Gemini;

/// Stands in for the signature of a call that another model made: Gemini 3 refuses calls without
/// any, and takes this word for one.
const FOREIGN_CALL: &str = "skip_thought_signature_validator";

/// Native fields that clients of other dialects pass along.
const FOREIGN_FIELDS: &[&str] = &["safetySettings", "cachedContent", "labels"];

/// Reads a request.
pub(super) fn read(f: Fields<'_>, beside: &Beside) -> Result<Request> {
    let at = f.at();
    let mut f = Fields::of(Value::Object(camel_keys(f.rest())), at)?;
    let mut messages = Vec::new();
    if let Some(system) = f.take("systemInstruction") {
        let parts = match system {
            Value::String(text) => vec![Part::text(text)],
            system => read_parts(Fields::of(system, f.path("systemInstruction"))?)?,
        };
        messages.push(Message::new(Role::System, parts));
    }
    let contents = match f.take("contents") {
        Some(Value::Array(contents)) => contents,
        // The service takes a single content, too.
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err(f.must_be("contents", "an array")),
    };
    let path = f.path("contents");
    for (i, content) in contents.into_iter().enumerate() {
        messages.extend(read_content(Fields::of(content, path.index(i))?)?);
    }
    pair_calls(&mut messages);
    let mut request = Request {
        model: beside.model.clone().unwrap_or_default(),
        messages,
        tools: read_tools(&mut f)?,
        stream: beside.stream.unwrap_or(false),
        include_usage: true,
        ..Request::default()
    };
    let config_rest = match f.take("generationConfig") {
        Some(config) => read_config(Fields::of(config, f.path("generationConfig"))?, &mut request)?,
        None => Map::new(),
    };
    if let Some(config) = f.take("toolConfig") {
        match read_choice(&config) {
            Some(choice) => request.tool_choice = choice,
            None => request.extra.fields = Map::from_iter([("toolConfig".to_owned(), config)]),
        }
    }
    let mut rest = std::mem::take(&mut request.extra.fields);
    rest.extend(f.rest());
    if !config_rest.is_empty() {
        rest.insert("generationConfig".into(), config_rest.into());
    }
    // What stands in the path in newer versions of the service.
    rest.remove("model");
    request.extra = Extra::new(HERE, rest);
    Ok(request)
}

fn read_parts(mut content: Fields<'_>) -> Result<Vec<Part>> {
    let items = match content.take("parts") {
        None => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(one @ Value::Object(_)) => vec![one],
        Some(_) => return Err(content.must_be("parts", "an array")),
    };
    let path = content.path("parts");
    items.into_iter().enumerate().map(|(i, part)| parts::read(part, path.index(i))).collect()
}

fn read_content(mut content: Fields<'_>) -> Result<Vec<Message>> {
    let role = match content.string("role")?.as_deref() {
        None | Some("user" | "function" | "tool") => Role::User,
        Some("model") => Role::Assistant,
        Some("system") => Role::System,
        Some(_) => return Err(content.must_be("role", "user or model")),
    };
    let parts = read_parts(content)?;
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

/// Gives calls without an id one, and results the id of the call they answer: the first of that
/// name that has no answer yet.
fn pair_calls(messages: &mut [Message]) {
    let mut open: Vec<(String, String)> = Vec::new();
    let mut count = 0;
    for part in messages.iter_mut().flat_map(|m| &mut m.parts) {
        match &mut part.kind {
            PartKind::ToolCall { id, name, .. } => {
                if id.is_empty() {
                    *id = format!("call_{count}");
                }
                count += 1;
                open.push((name.clone(), id.clone()));
            }
            PartKind::ToolResult { call_id, name, .. } => {
                let at = open.iter().position(|(n, id)| {
                    if call_id.is_empty() { name.as_deref() == Some(n.as_str()) } else { id == call_id }
                });
                if let Some(at) = at {
                    *call_id = open.remove(at).1;
                }
                if !call_id.is_empty() {
                    *name = None;
                }
            }
            _ => {}
        }
    }
}

fn read_tools(f: &mut Fields<'_>) -> Result<Vec<Tool>> {
    let mut tools = Vec::new();
    let native =
        |value: Value| Tool { kind: ToolKind::Native { dialect: HERE, value }, cache: None, extra: Extra::default() };
    let groups = match f.take("tools") {
        None => return Ok(tools),
        Some(Value::Array(groups)) => groups,
        Some(_) => return Err(f.must_be("tools", "an array")),
    };
    let path = f.path("tools");
    for (i, group) in groups.into_iter().enumerate() {
        let at = path.index(i);
        let mut group = Fields::of(group, at)?;
        if let Some(functions) = either(&mut group, "functionDeclarations") {
            let mut wrapper = Map::new();
            wrapper.insert("functionDeclarations".into(), functions);
            let mut wrapper = Fields::of(Value::Object(wrapper), at)?;
            tools.extend(wrapper.each("functionDeclarations", read_function)?.unwrap_or_default());
        }
        let rest = group.rest();
        if !rest.is_empty() {
            tools.push(native(Value::Object(camel_keys(rest))));
        }
    }
    Ok(tools)
}

fn read_function(mut f: Fields<'_>) -> Result<Tool> {
    let kind = ToolKind::Function {
        name: f.need_string("name")?,
        description: f.string("description")?,
        parameters: f.take("parameters").map(lower_types).or_else(|| either(&mut f, "parametersJsonSchema")),
        strict: None,
    };
    Ok(Tool { kind, cache: None, extra: Extra::new(HERE, f.rest()) })
}

/// Gemini's schemas may write types in capitals; JSON Schema does not know those.
fn lower_types(schema: Value) -> Value {
    match schema {
        Value::Object(o) => {
            let lower = |(k, v): (String, Value)| match (k.as_str(), v) {
                ("type", Value::String(t)) => (k, t.to_ascii_lowercase().into()),
                // Names of properties are the user's, their schemas are not.
                ("properties", Value::Object(p)) => {
                    (k, Value::Object(p.into_iter().map(|(n, s)| (n, lower_types(s))).collect()))
                }
                ("items" | "anyOf" | "any_of", v) => (k, lower_types(v)),
                (_, v) => (k, v),
            };
            Value::Object(o.into_iter().map(lower).collect())
        }
        Value::Array(a) => Value::Array(a.into_iter().map(lower_types).collect()),
        other => other,
    }
}

/// The choice a `toolConfig` stands for; `None` if it says more than the core knows.
fn read_choice(config: &Value) -> Option<Option<ToolChoice>> {
    let config = config.as_object()?;
    let calling = config.get("functionCallingConfig").or_else(|| config.get("function_calling_config"));
    if config.len() > usize::from(calling.is_some()) {
        return None;
    }
    let Some(calling) = calling else { return Some(None) };
    let names = calling.get("allowedFunctionNames").or_else(|| calling.get("allowed_function_names"));
    let names = names.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mode = calling.get("mode").and_then(Value::as_str).unwrap_or("AUTO").to_ascii_uppercase();
    Some(Some(match (mode.as_str(), names) {
        ("AUTO" | "MODE_UNSPECIFIED", []) => ToolChoice::Auto,
        ("NONE", _) => ToolChoice::None,
        ("ANY", []) => ToolChoice::Required,
        ("ANY", [name]) => ToolChoice::Named(name.as_str()?.to_owned()),
        _ => return None,
    }))
}

fn read_config(config: Fields<'_>, request: &mut Request) -> Result<Map<String, Value>> {
    let at = config.at();
    let mut c = Fields::of(Value::Object(camel_keys(config.rest())), at)?;
    request.sampling = Sampling {
        max_tokens: c.integer("maxOutputTokens")?,
        temperature: c.number("temperature")?,
        top_p: c.number("topP")?,
        top_k: c.number("topK")?,
        frequency_penalty: c.number("frequencyPenalty")?,
        presence_penalty: c.number("presencePenalty")?,
        seed: c.number("seed")?,
        stop: c.strings("stopSequences")?.unwrap_or_default(),
        n: c.integer("candidateCount")?,
        logprobs: c.boolean("responseLogprobs")?,
        top_logprobs: c.integer("logprobs")?,
        logit_bias: None,
    };
    let mime = c.string("responseMimeType")?;
    let schema = c.take("responseSchema").map(lower_types).or_else(|| c.take("responseJsonSchema"));
    request.output = match (mime.as_deref(), schema) {
        (_, Some(schema)) => Some(Output::Schema { name: None, description: None, schema, strict: None }),
        (Some("application/json"), None) => Some(Output::Json),
        (Some("text/plain") | None, None) => None,
        (Some(_), None) => return Err(c.must_be("responseMimeType", "text/plain or application/json")),
    };
    let words = c.strings("responseModalities")?.unwrap_or_default();
    request.modalities = words
        .iter()
        .filter_map(|w| match w.to_ascii_uppercase().as_str() {
            "TEXT" => Some(Modality::Text),
            "IMAGE" => Some(Modality::Image),
            "AUDIO" => Some(Modality::Audio),
            _ => None,
        })
        .collect();
    if let Some(thinking) = c.take("thinkingConfig") {
        request.reasoning = Some(read_thinking(thinking, c.path("thinkingConfig"))?);
    }
    Ok(c.rest())
}

fn read_thinking(value: Value, path: Path<'_>) -> Result<Reasoning> {
    let t = Fields::of(value, path)?;
    let at = t.at();
    let mut t = Fields::of(Value::Object(camel_keys(t.rest())), at)?;
    let mut reasoning = Reasoning::default();
    if let Some(budget) = t.number("thinkingBudget")? {
        match budget.as_i64() {
            Some(-1) => reasoning.adaptive = true,
            Some(n) if n >= 0 => reasoning.budget = Some(n as u64),
            _ => return Err(t.must_be("thinkingBudget", "a whole number, -1 or more")),
        }
    }
    if let Some(level) = t.string("thinkingLevel")? {
        reasoning.effort = Effort::parse(&level.to_ascii_lowercase());
    }
    if t.boolean("includeThoughts")? == Some(true) {
        reasoning.summary = Some("auto".to_owned());
    }
    Ok(reasoning)
}

/// Writes a request.
pub(super) fn write(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = write_prompt(request, &mut notes)?;
    body.insert("generationConfig".into(), write_config(request, &mut notes)?.into());
    if request.user.is_some() {
        notes.hint("the end user's name")?;
    }
    match &request.metadata {
        // Vertex calls them labels; AI Studio has none.
        Some(metadata) if target.host == Host::Vertex => drop(body.insert("labels".into(), metadata.clone().into())),
        Some(_) => notes.hint("the field `metadata`")?,
        None => {}
    }
    if request.service_tier.is_some() {
        notes.hint("the service tier")?;
    }
    notes.extra(&request.extra, FOREIGN_FIELDS, &mut body)?;
    Ok(notes.done(body))
}

/// Writes a request to count tokens.
pub(super) fn write_count(request: &Request, target: &Target) -> Result<Encoded> {
    let mut notes = Notes::new(HERE, target.leniency);
    let mut body = write_prompt(request, &mut notes)?;
    // AI Studio takes more than bare contents only inside a whole request; Vertex takes it as it is.
    if target.host != Host::Vertex && body.len() > 1 {
        body.insert("model".into(), format!("models/{}", request.model).into());
        body = Map::from_iter([("generateContentRequest".to_owned(), Value::Object(body))]);
    }
    Ok(notes.done(body))
}

/// Contents, system instruction and tools.
fn write_prompt(request: &Request, notes: &mut Notes) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    let name_of = |id: &str| request.tool_of_call(id).map(str::to_owned);
    body.insert("contents".into(), write_contents(request, &name_of, notes)?.into());
    let mut system = Vec::new();
    for part in request.system() {
        system.extend(parts::write(part, &name_of, notes)?);
    }
    if !system.is_empty() {
        body.insert("systemInstruction".into(), json!({"parts": system}));
    }
    write_tools(request, notes, &mut body)?;
    Ok(body)
}

fn write_contents(
    request: &Request,
    name_of: &dyn Fn(&str) -> Option<String>,
    notes: &mut Notes,
) -> Result<Vec<Value>> {
    let wants_signatures = request.model.contains("gemini-3");
    let mut out: Vec<(Role, Vec<Value>)> = Vec::new();
    for message in request.conversation() {
        if message.name.is_some() && message.role != Role::Tool {
            notes.hint("the name of a speaker")?;
        }
        let mut written = Vec::with_capacity(message.parts.len());
        let mut signed = false;
        for part in &message.parts {
            // An empty text beside other parts is refused, and says nothing.
            if part.as_text() == Some("") && message.parts.len() > 1 {
                continue;
            }
            let Some(mut value) = parts::write(part, name_of, notes)? else { continue };
            if let PartKind::ToolCall { signature, .. } = &part.kind {
                // Of parallel calls only the first carries a signature.
                if signature.is_none()
                    && wants_signatures
                    && !signed
                    && let Some(o) = value.as_object_mut()
                {
                    o.insert("thoughtSignature".into(), FOREIGN_CALL.into());
                }
                signed = true;
            }
            written.push(value);
        }
        match out.last_mut() {
            // All results of a turn belong into one content.
            Some((Role::Tool, parts)) if message.role == Role::Tool => parts.extend(written),
            _ if written.is_empty() => notes.hint("a message without content")?,
            _ => out.push((message.role, written)),
        }
    }
    let role = |r: Role| if r == Role::Assistant { "model" } else { "user" };
    Ok(out.into_iter().map(|(r, p)| parts::content(role(r), p)).collect())
}

fn write_tools(request: &Request, notes: &mut Notes, body: &mut Map<String, Value>) -> Result<()> {
    let mut functions = Vec::new();
    let mut groups = Vec::new();
    for tool in &request.tools {
        if tool.cache.is_some() {
            notes.hint("a cache marker")?;
        }
        match &tool.kind {
            ToolKind::Function { name, description, parameters, strict } => {
                let mut f = Map::new();
                f.insert("name".into(), name.as_str().into());
                if let Some(d) = description {
                    f.insert("description".into(), d.as_str().into());
                }
                match parameters.as_ref().map(|p| (p, schema::reduce(p))) {
                    Some((_, Some(reduced))) => drop(f.insert("parameters".into(), reduced)),
                    Some((whole, None)) => drop(f.insert("parametersJsonSchema".into(), whole.clone())),
                    None => {}
                }
                if *strict == Some(true) {
                    notes.hint("strict arguments of a tool")?;
                }
                notes.inner(&tool.extra, &mut f)?;
                functions.push(Value::Object(f));
            }
            ToolKind::Native { dialect: HERE, value } => groups.push(value.clone()),
            ToolKind::Native { value, .. } => notes.refuse(describe_tool(value))?,
        }
    }
    if !functions.is_empty() {
        groups.insert(0, json!({"functionDeclarations": functions}));
    }
    if !groups.is_empty() {
        body.insert("tools".into(), groups.into());
    }
    if request.parallel_tool_calls == Some(false) {
        notes.hint("one tool call at a time")?;
    }
    let calling = match &request.tool_choice {
        // What the service does by itself when there are tools.
        None | Some(ToolChoice::Auto) if request.tools.is_empty() || request.extra.dialect != Some(HERE) => {
            return Ok(());
        }
        None => return Ok(()),
        Some(ToolChoice::Auto) => json!({"mode": "AUTO"}),
        Some(ToolChoice::None) => json!({"mode": "NONE"}),
        Some(ToolChoice::Required) => json!({"mode": "ANY"}),
        Some(ToolChoice::Named(name)) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    body.insert("toolConfig".into(), json!({"functionCallingConfig": calling}));
    Ok(())
}

fn write_config(request: &Request, notes: &mut Notes) -> Result<Map<String, Value>> {
    let s = &request.sampling;
    let supports = Supports { top_k: true, seed: true, penalties: true, several: true, ..Supports::default() };
    notes.sampling(s, supports)?;
    notes.modalities(&request.modalities, &[Modality::Image, Modality::Audio])?;
    let mut config = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(key.into(), value);
        }
    };
    put("maxOutputTokens", s.max_tokens.map(Value::from));
    put("temperature", s.temperature.clone().map(Value::from));
    put("topP", s.top_p.clone().map(Value::from));
    put("topK", s.top_k.clone().map(Value::from));
    put("frequencyPenalty", s.frequency_penalty.clone().map(Value::from));
    put("presencePenalty", s.presence_penalty.clone().map(Value::from));
    put("seed", s.seed.clone().map(Value::from));
    put("stopSequences", (!s.stop.is_empty()).then(|| s.stop.clone().into()));
    put("candidateCount", s.n.map(Value::from));
    match &request.output {
        None | Some(Output::Text) => {}
        Some(Output::Json) => put("responseMimeType", Some("application/json".into())),
        Some(Output::Schema { schema, .. }) => {
            put("responseMimeType", Some("application/json".into()));
            match schema::reduce(schema) {
                Some(reduced) => put("responseSchema", Some(reduced)),
                None => put("responseJsonSchema", Some(schema.clone())),
            }
        }
    }
    let modalities: Vec<&str> = request
        .modalities
        .iter()
        .filter_map(|m| match m {
            Modality::Text => Some("TEXT"),
            Modality::Image => Some("IMAGE"),
            Modality::Audio => Some("AUDIO"),
            _ => None,
        })
        .collect();
    put("responseModalities", (!modalities.is_empty()).then(|| modalities.into()));
    put("thinkingConfig", request.reasoning.as_ref().and_then(|r| write_thinking(r, &request.model)));
    if let Some(Value::Object(own)) = request.extra.of(HERE).and_then(|x| x.get("generationConfig")) {
        config.extend(own.clone());
    }
    Ok(config)
}

/// Gemini 3 takes a level, earlier models a budget.
fn write_thinking(reasoning: &Reasoning, model: &str) -> Option<Value> {
    let mut t = Map::new();
    if reasoning.adaptive {
        t.insert("thinkingBudget".into(), (-1).into());
    } else if model.contains("gemini-3") {
        let level = match reasoning.word()? {
            Effort::None | Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High | Effort::XHigh | Effort::Max => "high",
        };
        t.insert("thinkingLevel".into(), level.into());
    } else {
        t.insert("thinkingBudget".into(), reasoning.tokens()?.into());
    }
    if !reasoning.is_off() {
        t.insert("includeThoughts".into(), true.into());
    }
    Some(t.into())
}
