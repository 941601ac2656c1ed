//! Lines of the error log, and requests themselves, as OpenTelemetry's log records.

use gibbon_pdk::{Exchange, Host, LogLine, write_log_entry};
use indexmap::IndexMap;

use crate::otlp::{LogRecord, Value};

/// A record per request: the entry that other loggers write, and attributes that Lua of the configuration says.
pub struct AccessRecords {
    attributes: Vec<(Box<str>, Box<str>)>,
}

impl AccessRecords {
    pub fn new(attributes: Option<&IndexMap<String, String>>) -> Self {
        let attributes = attributes.into_iter().flatten();
        AccessRecords {
            attributes: attributes.map(|(name, code)| (name.as_str().into(), code.as_str().into())).collect(),
        }
    }

    pub fn encode(&self, x: &mut Exchange, host: &Host) -> Vec<u8> {
        let mut said = Vec::new();
        for (name, code) in &self.attributes {
            match host.scripting.evaluate(super::PART.name, code, x, host) {
                Ok(value) => said.push((name, value)),
                Err(error) => tracing::error!("opentelemetry: custom_attributes_by_lua: {name}: {error}"),
            }
        }
        // `nil` leaves its attribute out; what is no text or number is written in JSON.
        said.retain(|(_, value)| !value.is_null());
        let texts: Vec<String> =
            said.iter().map(|(_, value)| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        let id = x.id.to_string();
        let mut attributes = vec![("request.id", Value::Text(&id))];
        attributes.extend(said.iter().zip(&texts).map(|((name, value), text)| {
            let value = match (value.as_i64(), value.as_f64()) {
                (Some(number), _) => Value::Int(number),
                (None, Some(number)) => Value::Double(number),
                _ => Value::Text(text),
            };
            (&***name, value)
        }));
        let mut entry = Vec::with_capacity(2048);
        write_log_entry(&mut entry, x);
        LogRecord {
            time_ns: host.clock.wall_ns(),
            severity: 9,
            severity_text: "INFO",
            body: &String::from_utf8_lossy(&entry),
            attributes: &attributes,
            trace: x.trace.context.as_ref().map(|context| (&context.trace, context.sampled)),
            span: x.trace.context.as_ref().map(|context| context.root),
        }
        .encode()
    }
}

/// OpenTelemetry's number and Kong's name of a level.
fn severity(level: &str) -> (u8, &'static str) {
    match level {
        "debug" => (5, "DEBUG"),
        "info" => (9, "INFO"),
        "notice" => (11, "NOTICE"),
        "warn" => (13, "WARN"),
        "crit" => (19, "CRIT"),
        "alert" => (21, "ALERT"),
        "emerg" => (23, "EMERG"),
        _ => (17, "ERR"),
    }
}

/// Encodes a line; one that was said of the exchange belongs to its trace.
pub fn encode(line: &LogLine, x: &Exchange) -> Vec<u8> {
    let (number, name) = severity(line.level);
    let context = x.trace.context.as_ref().filter(|_| line.request.is_some());
    let id = line.request.map(|id| id.to_string());
    let mut attributes = vec![("introspection.source", Value::Text(line.source))];
    if let Some(at) = line.line {
        attributes.push(("introspection.current.line", Value::Int(i64::from(at))));
    }
    if let Some(id) = &id {
        attributes.push(("request.id", Value::Text(id)));
    }
    LogRecord {
        time_ns: line.time_ns,
        severity: number,
        severity_text: name,
        body: &line.message,
        attributes: &attributes,
        trace: context.map(|context| (&context.trace, context.sampled)),
        span: context.map(|context| context.root),
    }
    .encode()
}
