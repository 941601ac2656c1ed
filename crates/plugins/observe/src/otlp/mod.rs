//! OpenTelemetry's export protocol: the messages this gateway sends, as protobuf.
//!
//! Only writing is here, and only the fields that are used; the numbers are those of `opentelemetry-proto` 1.x.

mod records;
mod resource;
mod wire;

pub use records::{Event, LogRecord, Span, SpanKind, Value};
pub use resource::Resource;
pub use wire::Message;

/// Who made the spans.
const SCOPE: (&str, &str) = ("kong-internal", "0.1.0");

/// An export request: records under the resource they belong to. Neighbours of one resource are sent together. All
/// three levels have the same numbers in requests of traces and of logs.
pub fn export<'a>(records: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut groups: Vec<(&[u8], Vec<&[u8]>)> = Vec::new();
    for (resource, record) in records {
        match groups.last_mut() {
            Some((last, list)) if *last == resource => list.push(record),
            _ => groups.push((resource, vec![record])),
        }
    }
    let mut request = Message::default();
    for (resource, list) in groups {
        request.message(1, |group| {
            group.bytes(1, resource);
            group.message(2, |scoped| {
                scoped.message(1, |scope| {
                    scope.text(1, SCOPE.0);
                    scope.text(2, SCOPE.1);
                });
                list.iter().for_each(|record| scoped.bytes(2, record));
            });
        });
    }
    request.into_bytes()
}
