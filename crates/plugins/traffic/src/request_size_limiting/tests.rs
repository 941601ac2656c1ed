//! Which bodies are too large, with and without a stated length.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::{Exchange, ReplyBody};
use gibbon_rig::{Ended, Rig, refused, request, with_body};
use serde_json::{Value, json};

use super::PART;

fn send(config: Value, x: &mut Exchange) -> Option<(u16, String)> {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    match rig.access(&*handler, x) {
        Ended::Next => None,
        Ended::Reply(reply) => match reply.body {
            ReplyBody::Error(Some(message)) => Some((reply.status, message.into_owned())),
            other => panic!("{other:?}"),
        },
        Ended::Fault(fault) => panic!("{fault:?}"),
    }
}

fn chunked(mut x: Exchange) -> Exchange {
    x.request.headers.remove("Content-Length");
    x.request.headers.append("Transfer-Encoding", "chunked");
    x
}

fn too_large(status: u16) -> Option<(u16, String)> {
    Some((status, "Request size limit exceeded".to_owned()))
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    let ten = json!({"allowed_payload_size": 10, "size_unit": "bytes"});
    let post = |body: &str| with_body(request("POST /", &[]), body);
    assert_eq!(send(ten.clone(), &mut post("0123456789")), None);
    assert_eq!(send(ten.clone(), &mut post("01234567890")), too_large(413));
    let kilobyte = json!({"allowed_payload_size": 1, "size_unit": "kilobytes"});
    assert_eq!(send(kilobyte.clone(), &mut post(&"a".repeat(1024))), None);
    assert_eq!(send(kilobyte, &mut post(&"a".repeat(1025))), too_large(413));
}

#[test]
fn a_body_of_unknown_size_is_read_up_to_the_limit() {
    let ten = json!({"allowed_payload_size": 10, "size_unit": "bytes"});
    let mut small = chunked(with_body(request("POST /", &[]), "0123456789"));
    assert_eq!(send(ten.clone(), &mut small), None);
    let mut large = chunked(with_body(request("POST /", &[]), "01234567890"));
    assert_eq!(send(ten, &mut large), too_large(413));
    assert_eq!(large.body_limit.map(|limit| (limit.bytes, limit.status)), Some((10, 413)));
}

#[test]
fn a_client_that_waits_for_leave_gets_417() {
    let ten = json!({"allowed_payload_size": 10, "size_unit": "bytes"});
    let mut x = with_body(request("POST /", &[("Expect", " 100-Continue ")]), "01234567890");
    assert_eq!(send(ten, &mut x), too_large(417));
}

#[test]
fn a_length_can_be_required() {
    let strict = json!({"allowed_payload_size": 10, "size_unit": "bytes", "require_content_length": true});
    let needed = Some((411, "A valid Content-Length header is required".to_owned()));
    assert_eq!(send(strict.clone(), &mut request("GET /", &[])), needed);
    assert_eq!(send(strict.clone(), &mut request("GET /", &[("Content-Length", "x")])), needed);
    assert_eq!(send(strict, &mut chunked(with_body(request("POST /", &[]), "012"))), None);
}

#[test]
fn sizes_cannot_overflow() {
    let huge = json!({"allowed_payload_size": i64::MAX, "size_unit": "megabytes"});
    assert_eq!(send(huge, &mut request("POST /", &[("Content-Length", "18446744073709551615")])), too_large(413));
}

#[test]
fn an_unknown_unit_is_refused() {
    let faults = refused(&PART, json!({"size_unit": "gigabytes"}));
    assert_eq!(faults["config"]["size_unit"], "expected one of: megabytes, kilobytes, bytes");
}
