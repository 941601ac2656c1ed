//! Fills a template in. Values are written as JSON texts, so that none can break out of the place it has.

use std::collections::HashMap;

use gibbon_pdk::{Exchange, Flow, Handler, Host, RequestBody, Step};
use serde_json::{Map, Value};

use super::config::Config;
use crate::config::LlmFormat;
use crate::incoming::{Refusal, limit_body, whole_body};

/// The plugin with one configuration.
pub struct PromptTemplate {
    templates: HashMap<String, String>,
    allow_others: bool,
    log_original: bool,
    limit: u64,
}

impl PromptTemplate {
    pub fn new(config: Config) -> Self {
        PromptTemplate {
            // Of two of one name the first counts, as in Kong.
            templates: config.templates.into_iter().rev().map(|t| (t.name, t.template)).collect(),
            allow_others: config.allow_untemplated_requests,
            log_original: config.log_original_request,
            limit: config.max_request_body_size,
        }
    }

    fn fill(&self, x: &mut Exchange) -> Flow {
        let body = match whole_body(x, self.limit) {
            Ok(body) => body,
            Err(fault) => return fault.into(),
        };
        if self.log_original {
            let text = Value::from(String::from_utf8_lossy(&body).into_owned());
            x.log_values.push(("ai.payload.original_request".into(), text));
        }
        match self.filled(&body) {
            Ok(None) => Flow::Next,
            Ok(Some(filled)) => {
                x.body = RequestBody::Whole(filled.into());
                Flow::Next
            }
            Err(message) => Refusal::new(400, message).reply(LlmFormat::Openai).into(),
        }
    }

    /// The request that a template makes; none for a request without one.
    fn filled(&self, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Ok(Value::Object(request)) = serde_json::from_slice::<Value>(body) else {
            return Err("this LLM route only supports application/json requests".to_owned());
        };
        let (messages, prompt) = (request.get("messages"), request.get("prompt"));
        if messages.is_some() && prompt.is_some() {
            return Err("cannot run 'messages' and 'prompt' templates at the same time".to_owned());
        }
        let Some(reference) = messages.or(prompt) else {
            return Err("only 'llm/v1/chat' and 'llm/v1/completions' formats are supported for templating".to_owned());
        };
        let name = reference.as_str().and_then(|r| r.strip_prefix("{template://")?.strip_suffix('}'));
        let Some(name) = name else {
            return match self.allow_others {
                true => Ok(None),
                false => Err("this LLM route only supports templated requests".to_owned()),
            };
        };
        let template = self.templates.get(name).ok_or_else(|| format!("could not find template name [{name}]"))?;
        render(template, &properties(&request)?).map(|text| Some(text.into_bytes()))
    }
}

fn properties(request: &Map<String, Value>) -> Result<HashMap<&str, &str>, String> {
    let properties = match request.get("properties") {
        None | Some(Value::Null) => return Ok(HashMap::new()),
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err("properties must be an object".to_owned()),
    };
    let mut texts = HashMap::new();
    for (name, value) in properties {
        let Value::String(text) = value else {
            return Err(format!("property values must be a string, got {}", kind(value)));
        };
        texts.insert(name.as_str(), text.as_str());
    }
    Ok(texts)
}

/// A type as Lua names it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "userdata",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "table",
    }
}

/// The template with its places filled. One pass: what a value says is never read as a place.
fn render(template: &str, values: &HashMap<&str, &str>) -> Result<String, String> {
    let mut out = String::with_capacity(template.len());
    let mut missing: Vec<&str> = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let place = after
            .split_once("}}")
            .filter(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        let Some((name, behind)) = place else {
            out.push_str(before);
            out.push_str("{{");
            rest = after;
            continue;
        };
        out.push_str(before);
        match values.get(name) {
            Some(value) => {
                let quoted = Value::from(*value).to_string();
                out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
            }
            None if !missing.contains(&name) => missing.push(name),
            None => {}
        }
        rest = behind;
    }
    out.push_str(rest);
    if missing.is_empty() {
        return Ok(out);
    }
    let names: Vec<String> = missing.iter().map(|name| format!("[{name}]")).collect();
    Err(format!("missing template parameters: {}", names.join(", ")))
}

impl Handler for PromptTemplate {
    fn access<'a>(&'a self, x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
        if x.body.is_unread() {
            limit_body(x, self.limit);
            return Flow::ReadBody.into();
        }
        self.fill(x).into()
    }
}
