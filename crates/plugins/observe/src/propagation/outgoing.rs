//! Writing trace headers.

use gibbon_message::Headers;
use gibbon_pdk::TraceId;

use super::{Extracted, Format, IdText, Outgoing};
use crate::digits::hex;

/// Sets the headers of one format, and gives the trace's id in its notation.
pub fn write(format: Format, headers: &mut Headers, from: &Extracted, out: &Outgoing) -> IdText {
    match format {
        Format::W3c => w3c(headers, out),
        Format::B3 => b3(headers, from, out),
        Format::B3Single => b3_single(headers, from, out),
        Format::Jaeger => jaeger(headers, from, out),
        Format::Ot => ot(headers, from, out),
        Format::Datadog => datadog(headers, out),
        Format::Aws => aws(headers, out),
        Format::Gcp => gcp(headers, out),
        Format::Instana => instana(headers, from, out),
    }
}

/// The id in hexadecimal digits; short if the format allows both sizes and it came short, or if it is usually short
/// and did not come long.
fn sized(trace: &TraceId, from: &Extracted, usual: usize) -> IdText {
    let size = if matches!(from.trace_size, 8 | 16) { from.trace_size } else { usual };
    let mut text = IdText::new();
    hex(&mut text, trace.get(16 - size..).unwrap_or(trace));
    text
}

fn digits(bytes: &[u8]) -> IdText {
    let mut text = IdText::new();
    hex(&mut text, bytes);
    text
}

fn number(bytes: [u8; 8]) -> IdText {
    let mut buffer = itoa::Buffer::new();
    buffer.format(u64::from_be_bytes(bytes)).bytes().collect()
}

/// Bytes put together; header values here are short.
struct Value(smallvec::SmallVec<[u8; 96]>);

impl Value {
    fn of(parts: &[&[u8]]) -> Self {
        let mut value = Value(smallvec::SmallVec::new());
        parts.iter().for_each(|part| value.0.extend_from_slice(part));
        value
    }
}

fn flag(sampled: Option<bool>) -> &'static [u8] {
    if sampled == Some(true) { b"1" } else { b"0" }
}

fn w3c(headers: &mut Headers, out: &Outgoing) -> IdText {
    let trace = digits(&out.trace);
    let value = Value::of(&[b"00-", &trace, b"-", &digits(&out.span), b"-0", flag(out.sampled)]);
    headers.set("traceparent", &value.0);
    trace
}

fn b3(headers: &mut Headers, from: &Extracted, out: &Outgoing) -> IdText {
    let trace = sized(&out.trace, from, 16);
    headers.set("x-b3-traceid", &trace);
    headers.set("x-b3-spanid", digits(&out.span));
    if let Some(parent) = out.parent {
        headers.set("x-b3-parentspanid", digits(&parent));
    }
    if from.debug {
        headers.set("x-b3-flags", "1");
    } else {
        headers.set("x-b3-sampled", flag(out.sampled));
    }
    trace
}

fn b3_single(headers: &mut Headers, from: &Extracted, out: &Outgoing) -> IdText {
    let trace = sized(&out.trace, from, 16);
    let sampled: &[u8] = match (from.debug, out.sampled) {
        (true, _) => b"-d",
        (_, Some(true)) => b"-1",
        (_, Some(false)) => b"-0",
        (_, None) => b"",
    };
    let mut value = Value::of(&[&trace, b"-", &digits(&out.span), sampled]);
    if let Some(parent) = out.parent {
        value.0.push(b'-');
        hex(&mut value.0, &parent);
    }
    headers.set("b3", &value.0);
    trace
}

fn jaeger(headers: &mut Headers, from: &Extracted, out: &Outgoing) -> IdText {
    let trace = sized(&out.trace, from, 16);
    let parent = out.parent.map_or_else(|| IdText::from_slice(b"0"), |parent| digits(&parent));
    let value = Value::of(&[&trace, b":", &digits(&out.span), b":", &parent, b":0", flag(out.sampled)]);
    headers.set("uber-trace-id", &value.0);
    baggage(headers, from, "uberctx-");
    trace
}

fn ot(headers: &mut Headers, from: &Extracted, out: &Outgoing) -> IdText {
    let trace = sized(&out.trace, from, 8);
    headers.set("ot-tracer-traceid", &trace);
    headers.set("ot-tracer-spanid", digits(&out.span));
    if out.sampled.is_some() {
        headers.set("ot-tracer-sampled", flag(out.sampled));
    }
    baggage(headers, from, "ot-baggage-");
    trace
}

fn datadog(headers: &mut Headers, out: &Outgoing) -> IdText {
    let trace = number(out.trace.last_chunk().copied().unwrap_or_default());
    headers.set("x-datadog-trace-id", &trace);
    headers.set("x-datadog-parent-id", number(out.span));
    if out.sampled.is_some() {
        headers.set("x-datadog-sampling-priority", flag(out.sampled));
    }
    trace
}

fn aws(headers: &mut Headers, out: &Outgoing) -> IdText {
    let trace = digits(&out.trace);
    let (time, unique) = trace.split_at_checked(8).unwrap_or_default();
    let root = [&b"Root=1-"[..], time, b"-", unique];
    let rest = [&b";Parent="[..], &digits(&out.span), b";Sampled=", flag(out.sampled)];
    let mut value = Value::of(&root);
    rest.iter().for_each(|part| value.0.extend_from_slice(part));
    headers.set("x-amzn-trace-id", &value.0);
    trace
}

fn gcp(headers: &mut Headers, out: &Outgoing) -> IdText {
    let trace = digits(&out.trace);
    let value = Value::of(&[&trace, b"/", &number(out.span), b";o=", flag(out.sampled)]);
    headers.set("x-cloud-trace-context", &value.0);
    trace
}

fn instana(headers: &mut Headers, from: &Extracted, out: &Outgoing) -> IdText {
    let trace = sized(&out.trace, from, 16);
    headers.set("x-instana-t", &trace);
    headers.set("x-instana-s", digits(&out.span));
    headers.set("x-instana-l", flag(out.sampled));
    trace
}

/// Values are escaped: what they hold came from the client, decoded.
fn baggage(headers: &mut Headers, from: &Extracted, prefix: &str) {
    for (name, value) in &from.baggage {
        headers.set(format!("{prefix}{name}"), escaped(value));
    }
}

/// Everything but unreserved characters in percent signs.
fn escaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}
