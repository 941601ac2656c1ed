//! Which addresses come in, over HTTP and without it, and how a refusal is worded.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::{ReplyBody, Step};
use gibbon_rig::{Ended, Rig, refused, request};
use serde_json::{Value, json};

use super::PART;

/// Status and message of a refusal, `None` for who comes in.
fn visit(config: Value, address: &str) -> Option<(u16, String)> {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    let mut x = request("GET /", &[]);
    x.client.ip = address.parse().unwrap();
    match rig.access(&*handler, &mut x) {
        Ended::Next => None,
        Ended::Reply(reply) => match reply.body {
            ReplyBody::Error(Some(message)) => Some((reply.status, message.into_owned())),
            other => panic!("{other:?}"),
        },
        Ended::Fault(fault) => panic!("{fault:?}"),
    }
}

fn kept_out(address: &str) -> Option<(u16, String)> {
    Some((403, format!("IP address not allowed: {address}")))
}

#[test]
fn only_those_allowed_come_in() {
    let config = json!({"allow": ["10.0.0.0/8", "::1", "192.0.2.7"]});
    for inside in ["10.1.2.3", "::1", "192.0.2.7", "::ffff:10.1.2.3"] {
        assert_eq!(visit(config.clone(), inside), None, "{inside}");
    }
    for outside in ["11.0.0.1", "::2", "192.0.2.8"] {
        assert_eq!(visit(config.clone(), outside), kept_out(outside));
    }
}

#[test]
fn those_denied_stay_out_even_if_they_are_allowed() {
    let config = json!({"allow": ["127.0.0.0/8"], "deny": ["127.0.0.1"]});
    assert_eq!(visit(config.clone(), "127.0.0.1"), kept_out("127.0.0.1"));
    assert_eq!(visit(config, "127.0.0.2"), None);
    assert_eq!(visit(json!({"deny": ["127.0.0.1"]}), "10.0.0.1"), None);
}

#[test]
fn a_refusal_can_be_worded() {
    let config = json!({"deny": ["127.0.0.0/8"], "status": 405, "message": "go away"});
    assert_eq!(visit(config, "127.0.0.1"), Some((405, "go away".to_owned())));
}

#[test]
fn a_client_without_an_address_is_kept_out() {
    let refusal = visit(json!({"deny": ["10.0.0.1"]}), "0.0.0.0").unwrap();
    assert_eq!(refusal.1, "Cannot identify the client IP address, unix domain sockets are not supported.");
}

#[test]
fn connections_without_http_are_judged_too() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"deny": ["10.0.0.1"]}));
    let mut x = request("GET /", &[]);
    assert!(matches!(handler.preread(&mut x, &rig.host), Step::Now(gibbon_pdk::Flow::Reply(_))));
}

#[test]
fn wrong_settings_are_refused_in_kongs_words() {
    let neither = "at least one of these fields must be non-empty: 'config.allow', 'config.deny'";
    assert_eq!(refused(&PART, json!({})), json!({"@entity": [neither]}));
    let faults = refused(&PART, json!({"allow": ["10.0.0.1", "10.0.0.0/33"]}));
    assert_eq!(faults["config"]["allow"], json!([null, "invalid ip or cidr range: '10.0.0.0/33'"]));
}
