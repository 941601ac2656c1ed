//! A request described as JSON, and where it was going.

use gibbon_message::uri;
use gibbon_pdk::{Exchange, Host, RequestBody};
use serde_json::{Map, Value, json};

/// The description that `echo` answers with.
pub fn describe(x: &Exchange, host: &Host, message: Option<&str>) -> Value {
    let route = x.route().map_or(Value::Null, |route| route.document.value());
    let service = x.service().map_or(Value::Null, |service| service.document.value());
    let mut out = Map::new();
    if let Some(message) = message {
        out.insert("message".to_owned(), message.into());
    }
    let node = json!({
        "node_id": host.node.id.to_string(),
        "worker_pid": std::process::id(),
        "hostname": host.node.hostname,
    });
    out.insert("kong".to_owned(), node);
    out.insert("request".to_owned(), request(x));
    out.insert("matched_route".to_owned(), route);
    out.insert("matched_service".to_owned(), service);
    out.retain(|_, value| !value.is_null());
    Value::Object(out)
}

fn request(x: &Exchange) -> Value {
    let mut headers = Map::new();
    for (name, value) in x.request.headers.iter() {
        add(&mut headers, text(name).to_ascii_lowercase(), text(value).into());
    }
    let mut query = Map::new();
    for (name, value) in uri::arguments(x.request.query().unwrap_or_default()) {
        add(&mut query, text(&name), value.map_or(Value::Bool(true), |value| text(&value).into()));
    }
    let raw_body = raw_body(&x.body);
    let mut out = json!({
        "scheme": x.client.scheme.as_str(),
        "host": x.host(),
        "port": x.client.local.port(),
        "headers": headers,
        "query": query,
        "method": x.request.method.as_str(),
        "path": text(&uri::normalize(x.request.path())),
        "uri_captures": captures(x),
    });
    if let (Some(out), Some(raw)) = (out.as_object_mut(), raw_body) {
        if let Some(parsed) = parsed_body(x, &raw) {
            out.insert("body".to_owned(), parsed);
        }
        out.insert("raw_body".to_owned(), raw.into());
    }
    out
}

/// A value under a name; a second one makes a list of both.
fn add(map: &mut Map<String, Value>, name: String, value: Value) {
    match map.get_mut(&name) {
        None => {
            map.insert(name, value);
        }
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}

/// A body in a file is not shown.
fn raw_body(body: &RequestBody) -> Option<String> {
    body.bytes().map(text)
}

fn parsed_body(x: &Exchange, raw: &str) -> Option<Value> {
    match x.media_type()?.as_str() {
        "application/json" => serde_json::from_str(raw).ok(),
        "application/x-www-form-urlencoded" => {
            let mut fields = Map::new();
            for (name, value) in uri::arguments(raw.as_bytes()) {
                add(&mut fields, text(&name), value.map_or(Value::Bool(true), |value| text(&value).into()));
            }
            Some(Value::Object(fields))
        }
        _ => None,
    }
}

fn captures(x: &Exchange) -> Value {
    let mut named = Map::new();
    let mut unnamed = Vec::new();
    for (name, value) in &x.captures {
        match name.parse::<usize>() {
            Ok(0) => {}
            Ok(_) => unnamed.push(Value::from(&**value)),
            Err(_) => {
                named.insert(name.to_string(), Value::from(&**value));
            }
        }
    }
    json!({ "named": named, "unnamed": unnamed })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
