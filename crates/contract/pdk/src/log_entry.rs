//! The log entry of an exchange in Kong's shape (`kong.log.serialize()`), written as JSON text without a
//! tree in between: the documents of route and service are taken over as they are.
//!
//! Values that plugins added are laid over it; only those that reach into the entry, or remove something
//! from it, cost a parse.

use serde_json::{Map, Value};

use crate::{Exchange, ResponseSource, Try};

/// Headers whose values never reach a log.
const REDACTED: [&str; 2] = ["authorization", "proxy-authorization"];

/// Appends the entry to `out`. Call it in the log phase, when all figures are known.
pub fn write_log_entry(out: &mut Vec<u8>, x: &Exchange) {
    let start = out.len();
    let mut entry = Object::begin(out);
    let is_stream = x.is_stream();
    if is_stream {
        write_session(&mut entry, x);
    } else {
        write_request(entry.key("request"), x);
        string(entry.key("upstream_uri"), &upstream_uri(x));
        string(entry.key("upstream_status"), upstream_status(x).as_bytes());
        write_response(entry.key("response"), x);
        write_latencies(entry.key("latencies"), x);
    }
    if !x.tries.is_empty() {
        write_tries(entry.key("tries"), &x.tries);
    }
    if let Some(credential) = &x.credential {
        let mut object = Object::begin(entry.key("authenticated_entity"));
        text(object.key("id"), &credential.id.to_string());
        object.end();
    }
    if let Some(route) = x.route() {
        entry.key("route").extend_from_slice(route.document.compact().as_bytes());
    }
    if let Some(service) = x.service() {
        entry.key("service").extend_from_slice(service.document.compact().as_bytes());
    }
    if x.consumer.is_some() {
        write_consumer(entry.key("consumer"), x);
    }
    text(entry.key("client_ip"), &x.client.shown_ip());
    number(entry.key("started_at"), x.started_ns / 1_000_000);
    if !is_stream {
        text(entry.key("source"), if x.response_source == ResponseSource::Service { "upstream" } else { "kong" });
    }
    text(entry.key("workspace"), &x.workspace.to_string());
    text(entry.key("workspace_name"), x.workspace_name());
    if !x.trace.ids.is_empty() {
        let mut ids = Object::begin(entry.key("trace_id"));
        for id in &x.trace.ids {
            string(ids.key(id.format), &id.text);
        }
        ids.end();
    }
    entry.end();
    if !x.log_values.is_empty() {
        lay_over(out, start, &x.log_values);
    }
}

/// The entry as a tree, for those who change it before it is sent.
#[must_use]
pub fn log_entry(x: &Exchange) -> Value {
    let mut text = Vec::with_capacity(2048);
    write_log_entry(&mut text, x);
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write_request(out: &mut Vec<u8>, x: &Exchange) {
    let mut request = Object::begin(out);
    text(request.key("id"), std::str::from_utf8(&x.id.hex()).unwrap_or_default());
    let uri = &x.request.target[..];
    string(request.key("uri"), uri);
    let host = x.host();
    // The name of the listener, for requests without Host.
    let host = if host.is_empty() { "kong" } else { &host };
    let mut url = format!("{}://{host}:{}", x.client.scheme.as_str(), x.client.local.port()).into_bytes();
    url.extend_from_slice(uri);
    string(request.key("url"), &url);
    write_arguments(request.key("querystring"), x.request.query().unwrap_or_default());
    text(request.key("method"), x.request.method.as_str());
    write_headers(request.key("headers"), &x.request.headers);
    number(request.key("size"), x.request_bytes);
    write_tls(&mut request, x);
    request.end();
}

fn write_tls(parent: &mut Object<'_>, x: &Exchange) {
    if let Some(tls) = &x.client.tls {
        let mut object = Object::begin(parent.key("tls"));
        text(object.key("version"), tls.version);
        text(object.key("cipher"), tls.cipher);
        text(object.key("client_verify"), &tls.client_verify);
        object.end();
    }
}

/// What takes the place of request and response on a stream connection. What the client sent went to the upstream and
/// the other way round, so that both sides have the same figures.
fn write_session(entry: &mut Object<'_>, x: &Exchange) {
    let mut session = Object::begin(entry.key("session"));
    write_tls(&mut session, x);
    number(session.key("received"), x.request_bytes);
    number(session.key("sent"), x.response_bytes);
    number(session.key("status"), u64::from(x.response.status));
    number(session.key("server_port"), u64::from(x.client.local.port()));
    session.end();
    let mut upstream = Object::begin(entry.key("upstream"));
    number(upstream.key("received"), x.response_bytes);
    number(upstream.key("sent"), x.request_bytes);
    upstream.end();
    let figures = LatencyFigures::of(x);
    let mut latencies = Object::begin(entry.key("latencies"));
    number(latencies.key("kong"), figures.kong);
    number(latencies.key("session"), figures.request);
    latencies.end();
}

fn write_response(out: &mut Vec<u8>, x: &Exchange) {
    let mut response = Object::begin(out);
    number(response.key("status"), u64::from(x.response.status));
    write_headers(response.key("headers"), &x.response.headers);
    number(response.key("size"), x.response_bytes);
    response.end();
}

/// Milliseconds of an exchange, as log entries and metrics show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyFigures {
    /// Spent in the gateway.
    pub kong: u64,
    /// Waiting for the upstream's first byte; `None` if none was asked.
    pub proxy: Option<u64>,
    /// The whole exchange; the session, on layer 4.
    pub request: u64,
    /// Receiving the upstream's answer.
    pub receive: u64,
}

impl LatencyFigures {
    #[must_use]
    pub fn of(x: &Exchange) -> Self {
        let t = &x.latencies;
        let ms = |from: u64, to: u64| if from == 0 { 0 } else { to.saturating_sub(from) / 1_000_000 };
        let request = ms(t.start, t.end);
        if x.is_stream() {
            return LatencyFigures { kong: ms(t.start, t.balancer_end), proxy: None, request, receive: 0 };
        }
        if t.first_byte == 0 || t.balancer_end == 0 {
            return LatencyFigures { kong: request, proxy: None, request, receive: 0 };
        }
        let receive = ms(t.first_byte, t.end);
        let kong = ms(t.start, t.balancer_end) + receive;
        LatencyFigures { kong, proxy: Some(ms(t.balancer_end, t.first_byte)), request, receive }
    }
}

fn write_latencies(out: &mut Vec<u8>, x: &Exchange) {
    let figures = LatencyFigures::of(x);
    let mut latencies = Object::begin(out);
    number(latencies.key("kong"), figures.kong);
    match figures.proxy {
        Some(proxy) => number(latencies.key("proxy"), proxy),
        None => latencies.key("proxy").extend_from_slice(b"-1"),
    }
    number(latencies.key("request"), figures.request);
    number(latencies.key("receive"), figures.receive);
    latencies.end();
}

fn write_tries(out: &mut Vec<u8>, tries: &[Try]) {
    for (at, one) in tries.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        let mut object = Object::begin(out);
        number(object.key("balancer_start"), one.balancer_start);
        number(object.key("balancer_start_ns"), one.balancer_start_ns);
        number(object.key("balancer_latency"), one.balancer_latency);
        number(object.key("balancer_latency_ns"), one.balancer_latency_ns);
        text(object.key("ip"), &one.ip.to_string());
        number(object.key("port"), u64::from(one.port));
        if let Some(state) = one.state {
            text(object.key("state"), state);
        }
        if let Some(code) = one.code {
            number(object.key("code"), u64::from(code));
        }
        object.end();
    }
    out.push(b']');
}

fn write_consumer(out: &mut Vec<u8>, x: &Exchange) {
    let Some(consumer) = &x.consumer else { return };
    let mut object = Object::begin(out);
    text(object.key("id"), &consumer.id.to_string());
    if let Some(username) = &consumer.username {
        text(object.key("username"), username);
    }
    if let Some(custom_id) = &consumer.custom_id {
        text(object.key("custom_id"), custom_id);
    }
    number(object.key("created_at"), consumer.created_at.unsigned_abs());
    number(object.key("updated_at"), consumer.updated_at.unsigned_abs());
    if !consumer.tags.is_empty() {
        let tags = object.key("tags");
        for (at, tag) in consumer.tags.iter().enumerate() {
            tags.push(if at == 0 { b'[' } else { b',' });
            text(tags, tag);
        }
        tags.push(b']');
    }
    object.end();
}

/// The path and query that went upstream; empty if nothing did.
fn upstream_uri(x: &Exchange) -> Vec<u8> {
    let mut uri = x.destination.path.clone();
    if x.matched.is_some()
        && !uri.is_empty()
        && let Some(query) = x.query()
    {
        uri.push(b'?');
        uri.extend_from_slice(query);
    }
    uri
}

/// The upstream's statuses, try by try: `502, 200`.
fn upstream_status(x: &Exchange) -> String {
    let failed = x.tries.iter().filter(|one| one.state.is_some()).map(|one| one.code.unwrap_or(502));
    let last = (x.upstream_status != 0).then_some(x.upstream_status);
    let statuses: Vec<String> = failed.chain(last).map(|status| status.to_string()).collect();
    statuses.join(", ")
}

/// Names in lower case; a name that comes twice has a list of values.
fn write_headers(out: &mut Vec<u8>, headers: &gibbon_message::Headers) {
    let mut object = Object::begin(out);
    for (at, (name, value)) in headers.iter().enumerate() {
        let same = |other: &&[u8]| other.eq_ignore_ascii_case(name);
        if headers.iter().take(at).any(|(earlier, _)| same(&earlier)) {
            continue;
        }
        let place = object.key_bytes(&name.to_ascii_lowercase());
        if REDACTED.iter().any(|secret| name.eq_ignore_ascii_case(secret.as_bytes())) {
            text(place, "REDACTED");
            continue;
        }
        let mut later = headers.iter().skip(at + 1).filter(|(other, _)| same(other)).map(|(_, value)| value).peekable();
        if later.peek().is_none() {
            string(place, value);
            continue;
        }
        place.push(b'[');
        string(place, value);
        for value in later {
            place.push(b',');
            string(place, value);
        }
        place.push(b']');
    }
    object.end();
}

/// Query arguments: a name without `=` is `true`, a name that comes twice has a list.
fn write_arguments(out: &mut Vec<u8>, query: &[u8]) {
    if query.is_empty() {
        return out.extend_from_slice(b"{}");
    }
    let mut arguments = Map::new();
    for part in query.split(|b| *b == b'&').filter(|part| !part.is_empty()).take(100) {
        let mut pieces = part.splitn(2, |b| *b == b'=');
        let name = pieces.next().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        let value = pieces.next().map_or(Value::Bool(true), |value| Value::String(unescape(value)));
        match arguments.entry(unescape(name)) {
            serde_json::map::Entry::Vacant(place) => drop(place.insert(value)),
            serde_json::map::Entry::Occupied(mut place) => match place.get_mut() {
                Value::Array(values) => values.push(value),
                one => *one = Value::Array(vec![one.take(), value]),
            },
        }
    }
    out.extend_from_slice(Value::Object(arguments).to_string().as_bytes());
}

fn unescape(text: &[u8]) -> String {
    let digit = |at: usize| text.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => bytes.push(b' '),
            (byte, ..) => bytes.push(*byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Lays values over the entry that begins at `start`.
fn lay_over(out: &mut Vec<u8>, start: usize, values: &[(Box<str>, Value)]) {
    let mut entry: Value = serde_json::from_slice(out.get(start..).unwrap_or_default()).unwrap_or_default();
    for (path, value) in values {
        set_log_value(&mut entry, path, value.clone());
    }
    out.truncate(start);
    // Writing to memory cannot fail.
    let _ = serde_json::to_writer(&mut *out, &entry);
}

/// Sets a value at a dotted path (`\.` is a dot of a name); `null` removes.
pub fn set_log_value(entry: &mut Value, path: &str, value: Value) {
    let mut names = split(path);
    let Some(last) = names.pop() else { return };
    let mut at = entry;
    for name in names {
        let Value::Object(object) = at else { return };
        if value.is_null() && !object.contains_key(&name) {
            return;
        }
        at = object.entry(name).or_insert_with(|| Value::Object(Map::new()));
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
    }
    if let Value::Object(object) = at {
        if value.is_null() {
            object.shift_remove(&last);
        } else {
            object.insert(last, value);
        }
    }
}

fn split(path: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut name = String::new();
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next_if_eq(&'.').is_some() => name.push('.'),
            '.' => names.push(std::mem::take(&mut name)),
            c => name.push(c),
        }
    }
    names.push(name);
    names
}

/// An object under construction.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Object { out, first: true }
    }

    fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.key_bytes(name.as_bytes())
    }

    fn key_bytes(&mut self, name: &[u8]) -> &mut Vec<u8> {
        if !std::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
        string(self.out, name);
        self.out.push(b':');
        self.out
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(value).as_bytes());
}

fn text(out: &mut Vec<u8>, value: &str) {
    string(out, value.as_bytes());
}

/// Bytes that are no UTF-8 are replaced: a log line must stay JSON.
fn string(out: &mut Vec<u8>, value: &[u8]) {
    let text = String::from_utf8_lossy(value);
    out.push(b'"');
    let mut plain = 0;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(bytes.get(plain..at).unwrap_or_default());
        plain = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(bytes.get(plain..).unwrap_or_default());
    out.push(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exchange() -> Exchange {
        let mut x = Exchange::default();
        x.request.target = b"/x?a=1&a=%20b&c&d=".to_vec();
        x.request.headers.append("Host", "Api.test:8000");
        x.request.headers.append("Authorization", "Basic c2VjcmV0");
        x.request.headers.append("X-A", "1");
        x.request.headers.append("x-a", "quo\"te");
        x.response.status = 404;
        x.response.headers.append("Content-Length", "3");
        x.started_ns = 1_700_000_000_123_456_789;
        x
    }

    #[test]
    fn a_request_without_a_route_has_the_keys_of_kong() {
        let entry = log_entry(&exchange());
        let keys: Vec<&str> = entry.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "request",
            "upstream_uri",
            "upstream_status",
            "response",
            "latencies",
            "client_ip",
            "started_at",
            "source",
            "workspace",
            "workspace_name",
        ];
        assert_eq!(keys, expected);
        assert_eq!(entry["request"]["url"], "http://api.test:0/x?a=1&a=%20b&c&d=");
        assert_eq!(entry["request"]["querystring"], json!({"a": ["1", " b"], "c": true, "d": ""}));
        assert_eq!(entry["latencies"]["proxy"], -1);
        assert_eq!((&entry["source"], &entry["started_at"]), (&json!("kong"), &json!(1_700_000_000_123_u64)));
    }

    #[test]
    fn credentials_are_redacted_and_repeated_headers_are_lists() {
        let headers = log_entry(&exchange())["request"]["headers"].clone();
        assert_eq!(headers, json!({"host": "Api.test:8000", "authorization": "REDACTED", "x-a": ["1", "quo\"te"]}));
    }

    #[test]
    fn latencies_add_up() {
        let mut x = exchange();
        let t = &mut x.latencies;
        (t.start, t.balancer_end, t.first_byte, t.end) = (1, 2_000_001, 7_000_001, 10_000_001);
        let expected = LatencyFigures { kong: 5, proxy: Some(5), request: 10, receive: 3 };
        assert_eq!(LatencyFigures::of(&x), expected);
    }

    #[test]
    fn statuses_of_failed_tries_come_first() {
        let mut x = exchange();
        let failed = Try {
            ip: [127, 0, 0, 1].into(),
            port: 80,
            balancer_start: 1,
            balancer_start_ns: 1,
            balancer_latency: 1,
            balancer_latency_ns: 1,
            state: Some("failed"),
            code: None,
        };
        x.tries.push(failed.clone());
        x.tries.push(Try { state: None, ..failed });
        x.upstream_status = 200;
        let entry = log_entry(&x);
        assert_eq!(entry["upstream_status"], "502, 200");
        assert_eq!((entry["tries"][0]["state"].as_str(), entry["tries"][1].get("state")), (Some("failed"), None));
    }

    #[test]
    fn values_of_plugins_are_laid_over_the_entry() {
        let mut x = exchange();
        x.log_values.push(("correlation_id".into(), json!("c")));
        x.log_values.push(("request.headers.x-a".into(), Value::Null));
        x.log_values.push(("new.with\\.dot".into(), json!(1)));
        x.log_values.push(("absent.deep".into(), Value::Null));
        let entry = log_entry(&x);
        assert_eq!((&entry["correlation_id"], &entry["new"]), (&json!("c"), &json!({"with.dot": 1})));
        assert!(entry["request"]["headers"].get("x-a").is_none() && entry.get("absent").is_none());
    }

    #[test]
    fn hostile_bytes_leave_the_line_json() {
        let mut x = exchange();
        x.request.target = b"/\xff\x01\n\\".to_vec();
        assert_eq!(log_entry(&x)["request"]["uri"], "/\u{fffd}\u{1}\n\\");
    }
}
