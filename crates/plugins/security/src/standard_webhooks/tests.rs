//! Which webhooks are believed: signature, age and completeness.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_pdk::{Clock, Exchange, RequestBody, SpooledBody};
use gibbon_rig::{Ended, Rig, refused, request, with_body};
use serde_json::json;

use super::PART;

const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn signature(secret: &[u8], id: &str, time: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{time}.{body}").as_bytes())))
}

/// Whether a webhook is let in; refusals are always the same.
fn is_let_in(rig: &Rig, mut x: Exchange) -> bool {
    let handler = rig.handler(&PART, json!({"secret_v1": SECRET}));
    match rig.access(&*handler, &mut x) {
        Ended::Next => true,
        Ended::Reply(reply) => {
            assert_eq!(reply.status, 400);
            false
        }
        Ended::Fault(fault) => panic!("{fault:?}"),
    }
}

fn webhook(id: &str, time: &str, signature: &str, body: &str) -> Exchange {
    let headers = [("webhook-id", id), ("webhook-timestamp", time), ("webhook-signature", signature)];
    with_body(request("POST /", &headers), body)
}

#[test]
fn a_signed_webhook_comes_in_and_a_changed_one_does_not() {
    let rig = Rig::new();
    let now = rig.clock.wall();
    let (time, signed) = (now.to_string(), signature(SECRET.as_bytes(), "m1", now, "{\"a\":1}"));
    assert!(is_let_in(&rig, webhook("m1", &time, &signed, "{\"a\":1}")));
    assert!(!is_let_in(&rig, webhook("m1", &time, &signed, "{\"a\":2}")));
    assert!(!is_let_in(&rig, webhook("m2", &time, &signed, "{\"a\":1}")));
    assert!(!is_let_in(&rig, webhook("m1", &(now + 1).to_string(), &signed, "{\"a\":1}")));
    assert!(!is_let_in(&rig, webhook("m1", &time, &signed.replace("v1,", "v2,"), "{\"a\":1}")));
    let decoded = STANDARD.decode(SECRET).unwrap();
    let other = signature(&decoded, "m1", now, "{\"a\":1}");
    assert!(!is_let_in(&rig, webhook("m1", &time, &other, "{\"a\":1}")), "the secret is not decoded");
}

#[test]
fn what_is_too_old_or_incomplete_is_refused() {
    let rig = Rig::new();
    let now = rig.clock.wall();
    let at = |time: i64| webhook("m", &time.to_string(), &signature(SECRET.as_bytes(), "m", time, "x"), "x");
    assert!(is_let_in(&rig, at(now - 300)) && !is_let_in(&rig, at(now - 301)));
    assert!(is_let_in(&rig, at(now + 1_000_000)), "clocks of senders may be ahead");
    assert!(!is_let_in(&rig, at(i64::MIN)));
    let empty = signature(SECRET.as_bytes(), "m", now, "");
    let headers = [("webhook-id", "m"), ("webhook-timestamp", &*now.to_string()), ("webhook-signature", &*empty)];
    assert!(!is_let_in(&rig, request("GET /", &headers)), "nothing is signed");
    assert!(!is_let_in(&rig, with_body(request("POST /", &[("webhook-id", "m")]), "x")));
    for (time, signed) in
        [("abc", "v1,AAAA"), ("", "v1,AAAA"), (&*now.to_string(), "v1,AAAA"), (&*now.to_string(), "v1,é")]
    {
        assert!(!is_let_in(&rig, webhook("m", time, signed, "x")), "{time} {signed}");
    }
}

#[test]
fn the_body_of_a_hopeless_webhook_is_not_read() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"secret_v1": SECRET}));
    let mut x = webhook("m", "1", "v1,AAAA", "x");
    assert_eq!(rig.access(&*handler, &mut x).reply().status, 400);
    assert!(x.body.is_unread());
}

#[test]
fn a_body_in_a_file_is_checked_too() {
    let rig = Rig::new();
    let now = rig.clock.wall();
    let body = "x".repeat(200_000);
    let file = |text: &str| {
        let path = std::env::temp_dir().join(format!("webhook-{}-{}", std::process::id(), text.len()));
        let mut file =
            std::fs::OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        RequestBody::Spooled(SpooledBody { file: Arc::new(file), len: text.len() as u64 })
    };
    let signed = signature(SECRET.as_bytes(), "m", now, &body);
    let mut good = webhook("m", &now.to_string(), &signed, "");
    good.body = file(&body);
    assert!(is_let_in(&rig, good));
    let mut bad = webhook("m", &now.to_string(), &signed, "");
    bad.body = file(&body[1..]);
    assert!(!is_let_in(&rig, bad));
}

#[test]
fn a_secret_is_needed_and_time_runs_forward() {
    assert_eq!(refused(&PART, json!({}))["config"]["secret_v1"], "required field missing");
    let faults = refused(&PART, json!({"secret_v1": "x", "tolerance_second": -1}));
    assert_eq!(faults["config"]["tolerance_second"], "value must be greater than -1");
}
