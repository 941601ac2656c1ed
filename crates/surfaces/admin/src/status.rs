//! How the node is doing.

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Content};
use crate::call::Call;
use crate::{Admin, Readiness};

/// Memory this process may use, as far as the shape asks for a number.
const PAGE: u64 = 4096;

pub async fn status(admin: &Admin, call: &Call) -> Answer {
    let unit = call.arguments.get("unit").unwrap_or("m");
    let Some(unit) = Unit::parse(unit) else {
        return Answer::bad(format!("invalid unit '{unit}' (expected 'k/K', 'm/M', or 'g/G')"));
    };
    let scale = call.arguments.get("scale").and_then(|scale| scale.parse().ok()).unwrap_or(2);
    let connections = admin.node.connections();
    let mut body = Map::new();
    let declarative = admin.documents.conductor.is_declarative();
    if declarative {
        body.insert("configuration_hash".into(), admin.node.configuration_hash().into());
    }
    body.insert(
        "server".into(),
        json!({
            "connections_accepted": connections.accepted,
            "connections_handled": connections.handled,
            "connections_active": connections.active,
            "connections_reading": connections.reading,
            "connections_writing": connections.writing,
            "connections_waiting": connections.waiting,
            "total_requests": connections.requests,
        }),
    );
    if !declarative {
        let reachable = admin.documents.conductor.read(|rows| rows.sequence()).await.is_ok();
        body.insert("database".into(), json!({ "reachable": reachable }));
    }
    body.insert("memory".into(), memory(admin, unit, scale));
    Answer::ok(Value::Object(body))
}

/// The process has one memory; the shape wants it by worker and by dictionary.
fn memory(admin: &Admin, unit: Unit, scale: usize) -> Value {
    let workers = admin.node.about().workers.max(1) as u64;
    let resident = resident_bytes();
    let pid = std::process::id();
    let vms: Vec<Value> = (0..workers)
        .map(|_| json!({ "pid": pid, "http_allocated_gc": unit.show(resident / workers, scale) }))
        .collect();
    json!({ "workers_lua_vms": vms, "lua_shared_dicts": {} })
}

/// Memory of this process that is in use.
#[must_use]
pub fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE
}

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Kibi,
    Mebi,
    Gibi,
}

impl Unit {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "b" | "B" => Some(Unit::Bytes),
            "k" | "K" => Some(Unit::Kibi),
            "m" | "M" => Some(Unit::Mebi),
            "g" | "G" => Some(Unit::Gibi),
            _ => None,
        }
    }

    fn show(self, bytes: u64, scale: usize) -> Value {
        let (power, name) = match self {
            Unit::Bytes => return bytes.into(),
            Unit::Kibi => (1, "KiB"),
            Unit::Mebi => (2, "MiB"),
            Unit::Gibi => (3, "GiB"),
        };
        #[allow(clippy::cast_precision_loss)] // shown with few digits
        let value = bytes as f64 / 1024f64.powi(power);
        format!("{value:.*} {name}", scale.min(20)).into()
    }
}

/// `GET` asks whether the node takes traffic, `POST` tells it not to.
pub async fn ready(admin: &Admin, call: &Call) -> Answer {
    if call.method == Method::POST {
        let wish = match &call.body {
            crate::body::Body::Json(value) => value.get("status").and_then(Value::as_str).map(ToOwned::to_owned),
            crate::body::Body::Form(form) => form.get("status").and_then(|node| node.text().map(ToOwned::to_owned)),
            _ => None,
        };
        if wish.as_deref() != Some("draining") {
            return Answer::bad("invalid status, expected 'draining'");
        }
        admin.node.drain();
        return Answer::no_content();
    }
    let unavailable = |reason: String| Answer::message(StatusCode::SERVICE_UNAVAILABLE, reason);
    match admin.node.readiness() {
        Readiness::NotReady(reason) => unavailable(reason),
        Readiness::Ready if admin.documents.conductor.read(|rows| rows.sequence()).await.is_err() => {
            unavailable("failed to connect to database".into())
        }
        Readiness::Ready => Answer::message(StatusCode::OK, "ready"),
    }
}

pub fn dns(admin: &Admin) -> Answer {
    match admin.node.dns() {
        Some(statistics) => Answer::ok(json!({
            "worker": { "id": 0, "count": admin.node.about().workers },
            "stats": statistics,
        })),
        None => Answer::message(StatusCode::NOT_IMPLEMENTED, "not implemented with the legacy DNS client"),
    }
}

pub fn metrics(admin: &Admin) -> Answer {
    match admin.node.metrics() {
        Some(text) => {
            let content = Content::Text { media_type: "text/plain; charset=UTF-8", text };
            Answer { status: StatusCode::OK, content, headers: Vec::new() }
        }
        None => Answer::not_found(),
    }
}
