//! Lines of the error log as OpenTelemetry's log records.

use gibbon_pdk::{Exchange, LogLine};

use crate::otlp::{LogRecord, Value};

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
