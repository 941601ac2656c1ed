//! What the function is told of a request: as API Gateway tells it, in the pieces that are configured, or the
//! parameters alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_message::{Version, uri};
use gibbon_pdk::Exchange;
use serde_json::{Map, Value, json};

use super::config::Config;
use crate::multipart;

/// Types whose bodies are told as they are even where others are told in base64.
const TEXTS: &[&str] = &["text/plain", "text/html", "application/xml", "text/xml", "application/soap+xml"];

/// Whether the body is needed to tell.
pub fn needs_body(config: &Config) -> bool {
    config.awsgateway_compatible || config.forward_request_body || !forwards(config)
}

fn forwards(config: &Config) -> bool {
    config.forward_request_body
        || config.forward_request_headers
        || config.forward_request_method
        || config.forward_request_uri
}

/// The event, with the request's body; `None` stands for no body, and for one that was left out.
pub fn describe(config: &Config, x: &Exchange, body: Option<&[u8]>) -> Value {
    if config.awsgateway_compatible {
        return match config.awsgateway_compatible_payload_version.as_deref() {
            Some("2.0") => gateway_2(config, x, body),
            _ => gateway_1(config, x, body),
        };
    }
    if forwards(config) {
        return Value::Object(pieces(config, x, body));
    }
    let mut all = query(x);
    all.extend(parsed(x, body).ok().flatten().unwrap_or_default());
    Value::Object(all)
}

fn pieces(config: &Config, x: &Exchange, body: Option<&[u8]>) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    if config.forward_request_method {
        put("request_method", x.request.method.as_str().into());
    }
    if config.forward_request_headers {
        put("request_headers", Value::Object(headers(x)));
    }
    if config.forward_request_uri {
        put("request_uri", text(&x.request.target).into());
        put("request_uri_args", Value::Object(query(x)));
    }
    if config.forward_request_body {
        match parsed(x, body) {
            Ok(parsed) => {
                if let Some(body) = body {
                    put("request_body", text(body).into());
                }
                if let Some(parsed) = parsed {
                    put("request_body_args", Value::Object(parsed));
                }
            }
            Err(NoParameters) => {
                let is_text = x.request.headers.get_str("content-type").is_some_and(|t| TEXTS.contains(&t));
                if !is_text && config.base64_encode_body {
                    put("request_body", STANDARD.encode(body.unwrap_or_default()).into());
                    put("request_body_base64", true.into());
                } else if let Some(body) = body {
                    put("request_body", text(body).into());
                }
                put("request_body_args", json!({}));
            }
        }
    }
    out
}

/// The type of the body is none that has parameters.
struct NoParameters;

/// The body's parameters; `None` if they cannot be read.
fn parsed(x: &Exchange, body: Option<&[u8]>) -> Result<Option<Map<String, Value>>, NoParameters> {
    let content_type = x.request.headers.get_str("content-type").unwrap_or_default();
    let body = body.unwrap_or_default();
    match x.media_type().as_deref() {
        Some("application/x-www-form-urlencoded") => Ok(Some(arguments(body))),
        Some("application/json") => Ok(match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Some(object),
            // Lua counts from one.
            Ok(Value::Array(list)) => Some((1..).map(|n: usize| n.to_string()).zip(list).collect()),
            _ => None,
        }),
        Some("multipart/form-data") => {
            let fields = multipart::boundary(content_type).and_then(|boundary| multipart::fields(boundary, body));
            Ok(fields.map(|fields| fields.into_iter().map(|f| (f.name, text(&f.value).into())).collect()))
        }
        _ => Err(NoParameters),
    }
}

/// The body as API Gateway tells it: a request without one has an empty one.
fn gateway_body(config: &Config, out: &mut Map<String, Value>, body: Option<&[u8]>) {
    let encoded = config.base64_encode_body && body != Some(b"");
    if encoded {
        out.insert("body".to_owned(), STANDARD.encode(body.unwrap_or_default()).into());
    } else if let Some(body) = body {
        out.insert("body".to_owned(), text(body).into());
    }
    out.insert("isBase64Encoded".to_owned(), encoded.into());
}

/// What both versions say of where a request came in.
struct Facts {
    path: String,
    protocol: &'static str,
    host: String,
    prefix: String,
    agent: Option<String>,
    time: String,
    milliseconds: u64,
}

impl Facts {
    fn of(x: &Exchange) -> Facts {
        let host = x.host();
        let milliseconds = x.started_ns / 1_000_000;
        let at = jiff::Timestamp::from_second((milliseconds / 1000) as i64).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        Facts {
            path: text(&x.destination.path),
            protocol: protocol(x.request.version),
            prefix: host.split('.').next().unwrap_or_default().to_owned(),
            host,
            agent: x.request.headers.get_str("user-agent").map(str::to_owned),
            time: at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            milliseconds,
        }
    }
}

/// As Lua writes the number of the version.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1",
        Version::Http11 => "HTTP/1.1",
        _ => "HTTP/2",
    }
}

fn gateway_1(config: &Config, x: &Exchange, body: Option<&[u8]>) -> Value {
    let facts = Facts::of(x);
    let (all_headers, all_query) = (headers(x), query(x));
    let mut identity = json!({ "sourceIp": x.client.ip.to_string() });
    if let (Some(identity), Some(agent)) = (identity.as_object_mut(), facts.agent) {
        identity.insert("userAgent".to_owned(), agent.into());
    }
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("version", "1.0".into());
    put("path", facts.path.as_str().into());
    put("httpMethod", x.request.method.as_str().into());
    put("headers", first_values(&all_headers));
    put("multiValueHeaders", lists(&all_headers));
    put("pathParameters", captures(x));
    put("queryStringParameters", first_values(&all_query));
    put("multiValueQueryStringParameters", lists(&all_query));
    put(
        "requestContext",
        json!({
            "path": facts.path,
            "protocol": facts.protocol,
            "httpMethod": x.request.method.as_str(),
            "domainName": facts.host,
            "domainPrefix": facts.prefix,
            "identity": identity,
            "requestId": x.id.to_string(),
            "requestTime": facts.time,
            "requestTimeEpoch": facts.milliseconds,
            "resourcePath": facts.path,
        }),
    );
    gateway_body(config, &mut out, body);
    Value::Object(out)
}

fn gateway_2(config: &Config, x: &Exchange, body: Option<&[u8]>) -> Value {
    let facts = Facts::of(x);
    let route = format!("{} {}", x.request.method.as_str(), facts.path);
    let mut told = headers(x);
    let cookies = told.remove("cookie").map_or_else(Vec::new, |cookies| {
        let of = |value: &Value| value.as_str().unwrap_or_default().split("; ").map(str::to_owned).collect::<Vec<_>>();
        cookies.as_array().map_or_else(|| of(&cookies), |all| all.iter().flat_map(of).collect())
    });
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("version", "2.0".into());
    put("routeKey", route.as_str().into());
    put("rawPath", facts.path.as_str().into());
    put("rawQueryString", text(x.query().unwrap_or_default()).into());
    put("cookies", cookies.into());
    put("headers", joined(&told));
    put("queryStringParameters", joined(&query(x)));
    put("pathParameters", captures(x));
    put(
        "requestContext",
        json!({
            "domainName": facts.host,
            "domainPrefix": facts.prefix,
            "http": {
                "method": x.request.method.as_str(),
                "path": facts.path,
                "protocol": facts.protocol,
                "sourceIp": x.client.ip.to_string(),
                "userAgent": facts.agent.unwrap_or_default(),
            },
            "requestId": x.id.to_string(),
            "routeKey": route,
            "stage": "$default",
            "time": facts.time,
            "timeEpoch": facts.milliseconds,
        }),
    );
    gateway_body(config, &mut out, body);
    Value::Object(out)
}

fn captures(x: &Exchange) -> Value {
    let named = x.captures.iter().filter(|(name, _)| name.parse::<usize>().is_err());
    Value::Object(named.map(|(name, value)| (name.to_string(), Value::from(&**value))).collect())
}

fn headers(x: &Exchange) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in x.request.headers.iter() {
        add(&mut out, text(name).to_ascii_lowercase(), text(value).into());
    }
    out
}

fn query(x: &Exchange) -> Map<String, Value> {
    arguments(x.query().unwrap_or_default())
}

fn arguments(raw: &[u8]) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in uri::arguments(raw) {
        add(&mut out, text(&name), value.map_or(Value::Bool(true), |value| text(&value).into()));
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

fn first_values(map: &Map<String, Value>) -> Value {
    let first = |value: &Value| value.as_array().and_then(|all| all.first()).unwrap_or(value).clone();
    Value::Object(map.iter().map(|(name, value)| (name.clone(), first(value))).collect())
}

fn lists(map: &Map<String, Value>) -> Value {
    let list = |value: &Value| if value.is_array() { value.clone() } else { Value::Array(vec![value.clone()]) };
    Value::Object(map.iter().map(|(name, value)| (name.clone(), list(value))).collect())
}

/// Several values of a name in one text.
fn joined(map: &Map<String, Value>) -> Value {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let join = |value: &Value| match value {
        Value::Array(all) => all.iter().map(one).collect::<Vec<_>>().join(","),
        value => one(value),
    };
    Value::Object(map.iter().map(|(name, value)| (name.clone(), join(value).into())).collect())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
