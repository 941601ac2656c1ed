//! The client's answer, made of the function's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gibbon_message::Headers;
use gibbon_pdk::{OutcallResponse, Reply, ReplyBody};
use serde_json::{Map, Value, json};

use super::config::Config;
use crate::hop;

/// What the client is answered, or why it cannot be told (an error of Lambda itself).
pub fn reply(config: &Config, answer: OutcallResponse) -> Result<Reply, String> {
    if answer.status >= 400 && config.preserve_lambda_api_error_code != Some(true) {
        return Err(format!("the function cannot be called: Lambda answered {}{}", answer.status, said(&answer.body)));
    }
    let mut headers = answer.headers;
    hop::strip(&mut headers);
    if config.is_proxy_integration && answer.status < 400 {
        return Ok(of_proxy(headers, &answer.body).unwrap_or_else(|why| bad_gateway(&why)));
    }
    let unhandled = headers.get("x-amz-function-error") == Some(b"Unhandled");
    let status = config.unhandled_status.filter(|_| unhandled).unwrap_or(answer.status);
    let is_json = headers.get_str("content-type").is_some_and(|t| t.to_ascii_lowercase().contains("json"));
    let body = match config.empty_arrays_mode.as_str() {
        "legacy" if is_json => without_empty_arrays(&answer.body),
        _ => answer.body,
    };
    Ok(Reply { status, headers, body: ReplyBody::Bytes(body), via: true, ..Reply::default() })
}

/// The message in an error of Lambda's.
fn said(body: &[u8]) -> String {
    let message = serde_json::from_slice::<Value>(body).ok();
    let message = message.as_ref().and_then(|m| m.get("Message").or_else(|| m.get("message"))?.as_str());
    message.map(|m| format!(": {}", m.chars().take(300).collect::<String>())).unwrap_or_default()
}

fn bad_gateway(why: &str) -> Reply {
    let error = format!("could not JSON decode Lambda function response: {why}");
    tracing::error!("aws-lambda: {error}");
    Reply::json(502, json!({ "message": "Bad Gateway", "error": error }))
}

/// The answer of a function that speaks of status, headers and body.
fn of_proxy(mut headers: Headers, content: &[u8]) -> Result<Reply, String> {
    let said: Value = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    let status = status(said.get("statusCode")).ok_or("statusCode validation failed")?;
    let own = match said.get("headers") {
        None | Some(Value::Null) => None,
        Some(Value::Object(own)) => Some(own),
        Some(Value::Array(list)) if list.is_empty() => None,
        Some(_) => return Err("headers must be a table".to_owned()),
    };
    let body = match said.get("body") {
        None | Some(Value::Null) => "",
        Some(Value::String(body)) => body,
        Some(_) => return Err("body must be a string".to_owned()),
    };
    let body = match said.get("isBase64Encoded") {
        Some(Value::Bool(true)) => STANDARD.decode(body).map_err(|_| "body is not valid base64")?.into(),
        None | Some(Value::Null | Value::Bool(false)) => Bytes::copy_from_slice(body.as_bytes()),
        Some(_) => return Err("isBase64Encoded must be a boolean".to_owned()),
    };
    for all in [own, said.get("multiValueHeaders").and_then(Value::as_object)].into_iter().flatten() {
        set(&mut headers, all);
    }
    hop::strip(&mut headers);
    Ok(Reply { status, headers, body: ReplyBody::Bytes(body), via: true, ..Reply::default() })
}

fn status(value: Option<&Value>) -> Option<u16> {
    let number = match value? {
        Value::String(text) => text.trim().parse().ok()?,
        value => value.as_f64()?,
    };
    (100.0..=599.0).contains(&number).then_some(number as u16)
}

/// Headers that the function names, in place of Lambda's. What is no name of a header is left out; a value with line
/// breaks cannot end its line, because headers escape them.
fn set(headers: &mut Headers, all: &Map<String, Value>) {
    for (name, value) in all.iter().filter(|(name, _)| gibbon_message::is_token(name.as_bytes())) {
        match value {
            Value::Array(values) => headers.set_all(name, values.iter().filter_map(text)),
            value => {
                if let Some(value) = text(value) {
                    headers.set(name, value);
                }
            }
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

/// Empty arrays become empty objects, as Kong's users have always seen them; the rest stays byte for byte.
fn without_empty_arrays(body: &Bytes) -> Bytes {
    let mut out: Option<Vec<u8>> = None;
    let (mut in_text, mut escaped, mut at, mut copied) = (false, false, 0, 0);
    while let Some(&byte) = body.get(at) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' if !in_text => {
                let rest = body.get(at + 1..).unwrap_or_default();
                let blanks = rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
                if rest.get(blanks) == Some(&b']') {
                    let out = out.get_or_insert_with(|| Vec::with_capacity(body.len()));
                    out.extend_from_slice(body.get(copied..at).unwrap_or_default());
                    out.extend_from_slice(b"{}");
                    at += blanks + 1;
                    copied = at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    match out {
        Some(mut out) => {
            out.extend_from_slice(body.get(copied..).unwrap_or_default());
            out.into()
        }
        None => body.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_arrays_that_are_empty_and_no_text_become_objects() {
        let after = |text: &'static str| without_empty_arrays(&Bytes::from_static(text.as_bytes()));
        assert_eq!(
            after(r#"{"a":[],"b":[ [ ] ,1],"c":"[]","d":"\"[]"}"#),
            r#"{"a":{},"b":[ {} ,1],"c":"[]","d":"\"[]"}"#
        );
        assert_eq!(after("[]"), "{}");
        assert_eq!(after("[1]"), "[1]");
        assert_eq!(after("["), "[");
    }
}
