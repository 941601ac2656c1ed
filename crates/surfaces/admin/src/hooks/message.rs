//! What an event becomes for the receiver of a hook: a call, or a line of the log.
//!
//! `webhook` posts the event as JSON, signed if there is a secret. `webhook-custom` lets the hook say method, headers,
//! body and payload, with `{{ name }}` standing for a field of the event. Running code (`lambda`) is refused.

use aws_lc_rs::hmac;
use bytes::Bytes;
use gibbon_message::Method;
use gibbon_pdk::{OutcallRequest, OutcallTls};
use gibbon_schema::Faults;
use serde_json::{Map, Value};
use std::time::Duration;

/// From connecting to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of the answer only the status counts.
const LARGEST_ANSWER: usize = 64 << 10;

/// An event for its receiver.
pub enum Message {
    Log(String),
    Call(Box<OutcallRequest>),
}

/// The message for a hook.
///
/// # Errors
/// Settings of the hook that cannot be used.
pub fn of(hook: &Value, source: &str, names: &[String], payload: &Value) -> Result<Message, String> {
    let config = hook.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut event = payload.as_object().cloned().unwrap_or_default();
    event.entry("source").or_insert_with(|| source.into());
    event.entry("event").or_insert_with(|| names.first().cloned().unwrap_or_default().into());
    match hook.get("handler").and_then(Value::as_str) {
        Some("log") => Ok(Message::Log(Value::Object(event).to_string())),
        Some("webhook") => webhook(&config, &event).map(|call| Message::Call(Box::new(call))),
        Some("webhook-custom") => custom(&config, &event).map(|call| Message::Call(Box::new(call))),
        other => Err(format!("the handler {} does not exist", other.unwrap_or_default())),
    }
}

fn webhook(config: &Map<String, Value>, event: &Map<String, Value>) -> Result<OutcallRequest, String> {
    let body = Value::Object(event.clone()).to_string();
    let mut request = request(config, Method::Post, body)?;
    request.headers.set("content-type", "application/json");
    add_headers(&mut request, config, None);
    sign(&mut request, config);
    Ok(request)
}

fn custom(config: &Map<String, Value>, event: &Map<String, Value>) -> Result<OutcallRequest, String> {
    let name = config.get("method").and_then(Value::as_str).unwrap_or("POST");
    let method = Method::parse(name.as_bytes()).ok_or_else(|| format!("'{name}' is no method"))?;
    let formatted = |name: &str| config.get(name) != Some(&Value::Bool(false));
    let mut json = false;
    let body = match (config.get("payload"), config.get("body").and_then(Value::as_str)) {
        (Some(Value::Object(payload)), _) => {
            json = true;
            let mut payload = Value::Object(payload.clone());
            if formatted("payload_format") {
                fill_in(&mut payload, event);
            }
            payload.to_string()
        }
        (_, Some(body)) if formatted("body_format") => filled(body, event),
        (_, Some(body)) => body.to_owned(),
        _ => String::new(),
    };
    let mut request = request(config, method, body)?;
    if json {
        request.headers.set("content-type", "application/json");
    }
    add_headers(&mut request, config, formatted("headers_format").then_some(event));
    sign(&mut request, config);
    Ok(request)
}

fn request(config: &Map<String, Value>, method: Method, body: String) -> Result<OutcallRequest, String> {
    let url = config.get("url").and_then(Value::as_str).ok_or("config.url is missing")?;
    let mut request = OutcallRequest::new(method, url);
    request.body = Bytes::from(body);
    request.timeout = TIMEOUT;
    request.max_response_bytes = LARGEST_ANSWER;
    // As in Kong, receivers are verified where the hook asks for it.
    request.tls =
        OutcallTls { verify: config.get("ssl_verify") == Some(&Value::Bool(true)), server_name: None, identity: None };
    Ok(request)
}

fn add_headers(request: &mut OutcallRequest, config: &Map<String, Value>, event: Option<&Map<String, Value>>) {
    let headers = config.get("headers").and_then(Value::as_object).into_iter().flatten();
    for (name, value) in headers.filter_map(|(name, value)| Some((name, value.as_str()?))) {
        let value = event.map_or_else(|| value.to_owned(), |event| filled(value, event));
        if http::HeaderName::try_from(name.as_str()).is_ok() && http::HeaderValue::from_str(&value).is_ok() {
            request.headers.set(name.to_ascii_lowercase(), value);
        }
    }
}

fn sign(request: &mut OutcallRequest, config: &Map<String, Value>) {
    if let Some(secret) = config.get("secret").and_then(Value::as_str).filter(|secret| !secret.is_empty()) {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
        let digest: String =
            hmac::sign(&key, &request.body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        request.headers.set("x-kong-signature", format!("sha1={digest}"));
    }
}

fn fill_in(value: &mut Value, event: &Map<String, Value>) {
    match value {
        Value::String(text) => *text = filled(text, event),
        Value::Array(items) => items.iter_mut().for_each(|item| fill_in(item, event)),
        Value::Object(fields) => fields.values_mut().for_each(|item| fill_in(item, event)),
        _ => {}
    }
}

/// Text with each `{{ entity.name }}` replaced by that field of the event; by nothing if there is none.
fn filled(text: &str, event: &Map<String, Value>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, behind)) = after.split_once("}}") else { break };
        out.push_str(before);
        let mut steps = name.trim().split('.');
        let first = steps.next().and_then(|step| event.get(step));
        match steps.try_fold(first, |value, step| value.map(|value| value.get(step))).flatten() {
            Some(Value::String(text)) => out.push_str(text),
            Some(Value::Null) | None => {}
            Some(other) => out.push_str(&other.to_string()),
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Everything that is wrong with the settings of a hook, beyond its schema.
pub fn faults(hook: &Map<String, Value>, sources: &Map<String, Value>) -> Faults {
    let mut faults = Faults::default();
    let text = |name: &str| hook.get(name).and_then(Value::as_str);
    if let Some(source) = text("source") {
        match (sources.get(source), text("event")) {
            (None, _) => faults.insert("source", format!("there is no source '{source}'")),
            (Some(events), Some(event)) if events.get(event).is_none() => {
                faults.insert("event", format!("source '{source}' has no event '{event}'"));
            }
            _ => {}
        }
    }
    let config = hook.get("config").and_then(Value::as_object);
    match text("handler") {
        Some("lambda") => faults.insert("handler", "running code is not offered; use webhook, webhook-custom or log"),
        Some(handler @ ("webhook" | "webhook-custom")) => {
            let url = config.and_then(|config| config.get("url")).and_then(Value::as_str).unwrap_or_default();
            if !(url.starts_with("http://") || url.starts_with("https://")) {
                faults.insert("config.url", "must be an http:// or https:// address");
            }
            let method = config.and_then(|config| config.get("method")).and_then(Value::as_str);
            if handler == "webhook-custom" && method.is_none_or(|name| Method::parse(name.as_bytes()).is_none()) {
                faults.insert("config.method", "must be an HTTP method");
            }
        }
        _ => {}
    }
    if hook.get("config").is_some_and(|config| !config.is_object()) {
        faults.insert("config", "expected a record");
    }
    faults
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(hook: Value, payload: Value) -> OutcallRequest {
        match of(&hook, "crud", &["consumers".to_owned()], &payload).unwrap() {
            Message::Call(request) => *request,
            Message::Log(line) => panic!("{line}"),
        }
    }

    #[test]
    fn a_webhook_gets_the_event_signed_with_its_secret() {
        let hook = json!({"handler": "webhook", "config": {"url": "http://a.test/", "secret": "s"}});
        let request = call(hook, json!({"operation": "create"}));
        assert_eq!(&request.body[..], br#"{"operation":"create","source":"crud","event":"consumers"}"#);
        assert!(request.headers.get("x-kong-signature").unwrap().starts_with(b"sha1="));
    }

    #[test]
    fn a_custom_webhook_fills_in_fields_of_the_event() {
        let config = json!({
            "url": "http://a.test/", "method": "PUT",
            "payload": {"text": "{{ entity.username }} was {{operation}}d{{nothing}}"}, "headers": {"x-by": "{{ source }}"},
        });
        let hook = json!({"handler": "webhook-custom", "config": config});
        let request = call(hook, json!({"operation": "create", "entity": {"username": "ada"}}));
        assert_eq!(&request.body[..], br#"{"text":"ada was created"}"#);
        assert_eq!(request.headers.get("x-by").unwrap(), b"crud");
    }

    #[test]
    fn hooks_that_run_code_or_ask_for_what_does_not_exist_are_refused() {
        let sources = json!({"crud": {"consumers": {}}}).as_object().cloned().unwrap();
        let faults = |hook: Value| faults(&hook.as_object().cloned().unwrap(), &sources).to_json();
        let web = json!({"url": "http://a"});
        assert!(faults(json!({"source": "crud", "handler": "lambda", "config": {}})).get("handler").is_some());
        assert!(faults(json!({"source": "dao", "handler": "webhook", "config": web})).get("source").is_some());
        assert!(faults(json!({"source": "crud", "event": "x", "handler": "log", "config": {}})).get("event").is_some());
        assert!(
            faults(json!({"source": "crud", "handler": "webhook", "config": {"url": "ftp://a"}}))
                .get("config.url")
                .is_some()
        );
    }
}
