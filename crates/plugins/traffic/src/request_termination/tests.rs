//! What is answered instead of the upstream, and when.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::ReplyBody;
use gibbon_rig::{Rig, json_body, refused, request, with_body};
use serde_json::json;

use super::PART;

#[test]
fn every_request_is_answered_with_503_unless_told_otherwise() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({}));
    let reply = rig.access(&*handler, &mut request("GET /", &[])).reply();
    assert_eq!((reply.status, json_body(&reply)), (503, json!({"message": "Service unavailable"})));
    assert_eq!(reply.headers.get_str("content-type"), Some("application/json; charset=utf-8"));
}

#[test]
fn a_message_of_its_own_replaces_the_usual_one() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"status_code": 401, "message": "who are you"}));
    let reply = rig.access(&*handler, &mut request("GET /", &[])).reply();
    assert_eq!((reply.status, json_body(&reply)), (401, json!({"message": "who are you"})));
}

#[test]
fn a_status_without_a_usual_message_leaves_the_body_to_the_gateway() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"status_code": 418}));
    let reply = rig.access(&*handler, &mut request("GET /", &[])).reply();
    assert!(matches!(reply.body, ReplyBody::Empty));
    assert_eq!(reply.status, 418);
}

#[test]
fn a_body_goes_out_as_it_is() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"status_code": 200, "content_type": "text/html", "body": "<p>soon</p>"}));
    let reply = rig.access(&*handler, &mut request("GET /", &[])).reply();
    assert!(matches!(&reply.body, ReplyBody::Bytes(bytes) if &bytes[..] == b"<p>soon</p>"));
    assert_eq!(reply.headers.get_str("content-type"), Some("text/html"));
}

#[test]
fn a_trigger_is_a_header_or_a_query_argument() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"trigger": "X-Stop"}));
    assert!(rig.access(&*handler, &mut request("GET /?x-stop=1", &[])).is_next(), "arguments are case-sensitive");
    assert_eq!(rig.access(&*handler, &mut request("GET /?a&X-Stop", &[])).reply().status, 503);
    assert_eq!(rig.access(&*handler, &mut request("GET /", &[("x-stop", "")])).reply().status, 503);
}

#[test]
fn an_echo_describes_the_request() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"echo": true, "status_code": 404}));
    let headers = [("X-A", "1"), ("x-a", "2"), ("Content-Type", "application/json")];
    let mut x = with_body(request("POST /a//b?c=1&d&c=2", &headers), r#"{"k":[1]}"#);
    let reply = rig.access(&*handler, &mut x).reply();
    let body = json_body(&reply);
    assert_eq!(body["message"], "Not found");
    assert_eq!(body["kong"]["hostname"], "node.test");
    let seen = &body["request"];
    assert_eq!(seen["headers"]["x-a"], json!(["1", "2"]));
    assert_eq!(seen["query"], json!({"c": ["1", "2"], "d": true}));
    assert_eq!((&seen["path"], &seen["method"]), (&json!("/a/b"), &json!("POST")));
    assert_eq!((&seen["body"], &seen["raw_body"]), (&json!({"k": [1]}), &json!(r#"{"k":[1]}"#)));
    assert_eq!(seen["uri_captures"], json!({"named": {}, "unnamed": []}));
}

#[test]
fn settings_that_exclude_each_other_are_refused() {
    let whole = |config| refused(&PART, config)["config"].clone();
    assert_eq!(whole(json!({"message": "m", "body": "b"})), "message cannot be used with content_type or body");
    assert_eq!(whole(json!({"content_type": "text/plain"})), "content_type requires a body");
    assert_eq!(whole(json!({"echo": true, "body": "b"})), "echo cannot be used with content_type and body");
    let faults = refused(&PART, json!({"status_code": 99}));
    assert_eq!(faults["config"]["status_code"], "value should be between 100 and 599");
}
