//! What `basic-auth` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use base64::Engine as _;
use gibbon_pdk::Handler;
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, id, request, shown, upstream};

/// SHA-1 of `pa:ss` followed by the id of consumer 1.
fn stored() -> String {
    let salted = format!("pa:ss{}", id(1));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn given(config: Value) -> (Rig, Arc<dyn Handler>) {
    let rig = Rig::default();
    let bob = rig.consumer(1, "bob");
    rig.credential("basicauth_credentials", 11, bob, "bob", &[("password", &stored())]);
    rig.consumer(2, "anon");
    let handler = rig.handler(&PART, config);
    (rig, handler)
}

fn basic(pair: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[test]
fn the_right_password_names_the_consumer() {
    let (rig, handler) = given(json!({}));
    for header in [
        "Authorization: Basic Ym9iOnBhOnNz",
        "authorization: basic Ym9iOnBhOnNz",
        "Authorization: BasicYm9iOnBhOnNz",
        "Proxy-Authorization: Basic Ym9iOnBhOnNz",
        "Proxy-Authorization: Basic bm9ib2R5Ong=\nAuthorization: Basic Ym9iOnBhOnNz",
        "Proxy-Authorization: Digest x\nAuthorization: Basic Ym9iOnBhOnNz",
    ] {
        let mut x = request(&format!("GET /\n{header}"));
        rig.passes(&*handler, &mut x);
        assert_eq!(upstream(&x, "x-consumer-username"), Some("bob"), "{header}");
        assert_eq!(upstream(&x, "x-credential-identifier"), Some("bob"));
        assert!(upstream(&x, "authorization").or(upstream(&x, "proxy-authorization")).is_some());
    }
}

#[test]
fn everything_else_is_refused_in_the_same_words() {
    let (rig, handler) = given(json!({}));
    for header in [
        "X-None: 1",
        "Authorization: Basic Ym9iOndyb25n",
        "Authorization: Basic bm9ib2R5Ong=",
        "Authorization: Basic !!!",
        "Authorization: Basic Ym9i",
        "Authorization: Bearer Ym9iOnBhOnNz",
        "Authorization: Basic",
        "Proxy-Authorization: Basic Ym9iOndyb25n\nAuthorization: Basic Ym9iOnBhOnNz",
    ] {
        let reply = rig.refuses(&*handler, &mut request(&format!("GET /\n{header}")));
        assert_eq!(shown(&reply), "401 Unauthorized [Basic realm=\"service\"]", "{header}");
    }
}

#[test]
fn the_stored_hash_is_not_a_password() {
    let (rig, handler) = given(json!({}));
    let mut x = request(&format!("GET /\nAuthorization: {}", basic(&format!("bob:{}", stored()))));
    rig.refuses(&*handler, &mut x);
}

#[test]
fn the_realm_stands_in_the_challenge() {
    let (rig, handler) = given(json!({"realm": "r2"}));
    assert_eq!(shown(&rig.refuses(&*handler, &mut request("GET /"))), "401 Unauthorized [Basic realm=\"r2\"]");
}

#[test]
fn hidden_credentials_do_not_reach_the_upstream_even_if_they_are_wrong() {
    let (rig, handler) = given(json!({"hide_credentials": true, "anonymous": "anon"}));
    for pair in ["bob:pa:ss", "bob:wrong", "nobody:x"] {
        let mut x = request(&format!("GET /\nAuthorization: {}", basic(pair)));
        rig.passes(&*handler, &mut x);
        assert_eq!(upstream(&x, "authorization"), None, "{pair}");
    }
}

#[test]
fn a_consumer_with_a_custom_id_only_is_shown_by_it() {
    let (rig, handler) = given(json!({}));
    let c9 = rig.add_consumer(3, None, Some("c9"));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("pw{c9}").as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    rig.credential("basicauth_credentials", 12, c9, "carol", &[("password", &hash)]);
    let mut x = request(&format!("GET /\nX-Consumer-Username: forged\nAuthorization: {}", basic("carol:pw")));
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "x-consumer-custom-id"), Some("c9"));
    assert_eq!(upstream(&x, "x-consumer-username"), None);
}

#[test]
fn a_user_name_with_line_breaks_ends_no_header() {
    let (rig, handler) = given(json!({}));
    let evil = "bob\r\n\r\nGET /admin";
    rig.credential("basicauth_credentials", 13, id(1), evil, &[("password", &stored())]);
    let mut x = request(&format!("GET /\nAuthorization: {}", basic(&format!("{evil}:pa:ss"))));
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "x-credential-identifier"), Some("bob%0D%0A%0D%0AGET /admin"));
}

#[test]
fn oversized_credentials_are_merely_wrong() {
    let (rig, handler) = given(json!({}));
    for pair in [format!("{}:x", "u".repeat(1 << 20)), format!("bob:{}", "p".repeat(1 << 20))] {
        rig.refuses(&*handler, &mut request(&format!("GET /\nAuthorization: {}", basic(&pair))));
    }
}
