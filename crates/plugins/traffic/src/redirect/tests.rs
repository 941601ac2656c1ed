//! Where clients are sent to, and which locations are refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::ReplyBody;
use gibbon_rig::{Rig, refused, request};
use serde_json::{Value, json};

use super::PART;

fn location(config: Value, line: &str) -> (u16, String) {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    let reply = rig.access(&*handler, &mut request(line, &[])).reply();
    assert!(matches!(&reply.body, ReplyBody::Bytes(body) if &body[..] == b"redirecting"));
    assert!(!reply.headers.contains("content-type"));
    (reply.status, reply.headers.get_str("location").unwrap().to_owned())
}

#[test]
fn clients_are_sent_to_the_location_as_it_stands() {
    let config = json!({"location": "https://new.test/start?x=1"});
    assert_eq!(location(config, "GET /old?y=2"), (301, "https://new.test/start?x=1".to_owned()));
    let config = json!({"location": "https://new.test", "status_code": 307});
    assert_eq!(location(config, "GET /old"), (307, "https://new.test".to_owned()));
}

#[test]
fn path_and_query_of_the_request_can_be_kept() {
    let kept = |base: &str, line: &str| location(json!({"location": base, "keep_incoming_path": true}), line).1;
    assert_eq!(kept("https://new.test/start?x=1", "GET /old/a?y=2"), "https://new.test/old/a?y=2");
    assert_eq!(kept("HTTPS://New.Test:443", "GET /"), "https://new.test/");
    assert_eq!(kept("http://new.test:8080/#top", "GET /a%20b"), "http://new.test:8080/a%20b#top");
    assert_eq!(kept("http://u@new.test", "GET //evil.test/../x?"), "http://u@new.test/x");
}

#[test]
fn a_location_needs_scheme_and_host() {
    let faults = refused(&PART, json!({"location": "nowhere"}));
    assert_eq!(faults["config"]["location"], "missing host in url");
    assert_eq!(refused(&PART, json!({}))["config"]["location"], "required field missing");
}
