//! Spans and log records.

use gibbon_pdk::{SpanId, TraceId};

use super::Message;

/// Value of an attribute.
pub enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Double(f64),
    Flag(bool),
    Texts(&'a [Box<str>]),
}

impl Value<'_> {
    fn write(&self, out: &mut Message) {
        match self {
            Value::Text(text) => out.text(1, text),
            Value::Flag(flag) => out.varint(2, u64::from(*flag)),
            Value::Int(number) => out.varint(3, *number as u64),
            Value::Double(number) => out.double(4, *number),
            Value::Texts(texts) => out.message(5, |list| {
                texts.iter().for_each(|text| list.message(1, |any| any.text(1, text)));
            }),
        }
    }
}

/// A name and its value, as field `field` of a message.
pub fn attribute(out: &mut Message, field: u32, name: &str, value: &Value<'_>) {
    out.message(field, |pair| {
        pair.text(1, name);
        pair.message(2, |any| value.write(any));
    });
}

/// On which side of a call a span is.
#[derive(Clone, Copy)]
pub enum SpanKind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// A span; times are in nanoseconds since the epoch.
pub struct Span<'a> {
    pub trace: &'a TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub name: &'a str,
    pub kind: SpanKind,
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// What went wrong, as an event of its own.
    pub exception: Option<&'a str>,
    pub events: &'a [Event<'a>],
    pub failed: bool,
}

/// Something that happened during a span.
pub struct Event<'a> {
    pub name: &'a str,
    pub time_ns: u64,
    pub attributes: Vec<(&'a str, Value<'a>)>,
}

impl Span<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Message::default();
        out.bytes(1, self.trace);
        out.bytes(2, &self.id);
        if let Some(parent) = &self.parent {
            out.bytes(4, parent);
        }
        out.text(5, self.name);
        out.varint(6, self.kind as u64);
        out.fixed64(7, self.start_ns);
        out.fixed64(8, self.end_ns.max(self.start_ns));
        for (name, value) in self.attributes {
            attribute(&mut out, 9, name, value);
        }
        if let Some(message) = self.exception {
            out.message(11, |event| {
                event.fixed64(1, self.end_ns);
                event.text(2, "exception");
                attribute(event, 3, "exception.message", &Value::Text(message));
            });
        }
        for Event { name, time_ns, attributes } in self.events {
            out.message(11, |event| {
                event.fixed64(1, *time_ns);
                event.text(2, name);
                for (name, value) in attributes {
                    attribute(event, 3, name, value);
                }
            });
        }
        if self.failed {
            out.message(15, |status| status.varint(3, 2));
        }
        out.into_bytes()
    }
}

/// A line of a log.
pub struct LogRecord<'a> {
    pub time_ns: u64,
    /// 1 to 24; see OpenTelemetry's severity numbers.
    pub severity: u8,
    pub severity_text: &'a str,
    pub body: &'a str,
    pub attributes: &'a [(&'a str, Value<'a>)],
    /// The trace that the line belongs to, and whether that is kept.
    pub trace: Option<(&'a TraceId, bool)>,
    pub span: Option<SpanId>,
}

impl LogRecord<'_> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Message::default();
        out.fixed64(1, self.time_ns);
        out.varint(2, u64::from(self.severity));
        out.text(3, self.severity_text);
        out.message(5, |any| any.text(1, self.body));
        for (name, value) in self.attributes {
            attribute(&mut out, 6, name, value);
        }
        if let Some((trace, sampled)) = self.trace {
            out.fixed32(8, u32::from(sampled));
            out.bytes(9, trace);
        }
        if let Some(span) = &self.span {
            out.bytes(10, span);
        }
        out.fixed64(11, self.time_ns);
        out.into_bytes()
    }
}
