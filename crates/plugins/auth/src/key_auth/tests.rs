//! What `key-auth` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_pdk::{Exchange, Handler};
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, id, request, shown, upstream};

/// Alice, whose key is `k-alice`, and a plugin with this configuration.
fn given(config: Value) -> (Rig, Arc<dyn Handler>) {
    let rig = Rig::default();
    let alice = rig.add_consumer(1, Some("alice"), Some("al-1"));
    rig.credential("keyauth_credentials", 11, alice, "k-alice", &[]);
    rig.consumer(2, "anon");
    let handler = rig.handler(&PART, config);
    (rig, handler)
}

fn assert_alice(x: &Exchange) {
    assert_eq!(x.consumer.as_ref().unwrap().id, id(1));
    assert_eq!(x.credential.as_ref().unwrap().id, id(11));
    assert_eq!(upstream(x, "x-consumer-id"), Some(id(1).to_string().as_str()));
    assert_eq!(upstream(x, "x-consumer-custom-id"), Some("al-1"));
    assert_eq!(upstream(x, "x-consumer-username"), Some("alice"));
    assert_eq!(upstream(x, "x-credential-identifier"), Some(id(11).to_string().as_str()));
    assert_eq!(upstream(x, "x-anonymous-consumer"), None);
}

#[test]
fn a_key_in_header_or_query_names_the_consumer() {
    let (rig, handler) = given(json!({}));
    for text in ["GET /\nApiKey: k-alice", "GET /?x=1&apikey=k-alice", "GET /?apikey=wrong\napikey: k-alice"] {
        let mut x = request(text);
        rig.passes(&*handler, &mut x);
        assert_alice(&x);
    }
}

#[test]
fn a_missing_empty_unknown_or_doubled_key_is_refused_in_kongs_words() {
    let (rig, handler) = given(json!({}));
    let refusals = [
        ("GET /", "401 No API key found in request [Key]"),
        ("GET /\napikey:", "401 No API key found in request [Key]"),
        ("GET /?apikey=", "401 No API key found in request [Key]"),
        ("GET /?apikey", "401 No API key found in request [Key]"),
        ("GET /\napikey: wrong", "401 Unauthorized [Key]"),
        ("GET /\napikey: K-ALICE", "401 Unauthorized [Key]"),
        ("GET /\napikey: k-alice\napikey: other", "401 Duplicate API key found [Key]"),
        ("GET /?apikey=k-alice&apikey=k-alice", "401 Duplicate API key found [Key]"),
        ("OPTIONS /", "401 No API key found in request [Key]"),
    ];
    for (text, expected) in refusals {
        assert_eq!(shown(&rig.refuses(&*handler, &mut request(text))), expected, "{text}");
    }
}

#[test]
fn the_realm_stands_in_the_challenge() {
    let (rig, handler) = given(json!({"realm": "the vault"}));
    assert_eq!(
        shown(&rig.refuses(&*handler, &mut request("GET /"))),
        "401 No API key found in request [Key realm=\"the vault\"]"
    );
}

#[test]
fn headers_of_identity_that_the_client_sends_never_get_through() {
    let (rig, handler) = given(json!({}));
    let mut x = request(concat!(
        "GET /\napikey: k-alice\nX-Consumer-ID: forged\nX-Consumer-Username: forged\nX-Consumer-Custom-ID: a\n",
        "X-Consumer-Custom-ID: b\nX-Credential-Identifier: forged\nX-Anonymous-Consumer: true"
    ));
    rig.passes(&*handler, &mut x);
    assert_alice(&x);
    assert_eq!(x.request.headers.get_all("x-consumer-custom-id").count(), 1);
}

#[test]
fn a_hidden_key_does_not_reach_the_upstream() {
    let (rig, handler) = given(json!({"hide_credentials": true, "key_in_body": true}));
    let mut x = request("GET /?apikey=k-alice&x=1");
    rig.passes(&*handler, &mut x);
    assert_eq!(x.query(), Some(&b"x=1"[..]));

    let mut x = request("GET /\napikey: k-alice");
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "apikey"), None);

    let mut x = request("POST /\nContent-Type: application/json\n\n{\"apikey\":\"k-alice\",\"a\":1}");
    rig.passes(&*handler, &mut x);
    assert_alice(&x);
    assert_eq!(x.body.bytes(), Some(&br#"{"a":1}"#[..]));
}

#[test]
fn a_key_is_hidden_even_if_it_is_wrong() {
    let (rig, handler) = given(json!({"hide_credentials": true, "anonymous": "anon"}));
    let mut x = request("GET /\napikey: wrong");
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "apikey"), None);
}

#[test]
fn places_that_are_switched_off_are_not_looked_at() {
    let (rig, handler) = given(json!({"key_in_header": false}));
    rig.refuses(&*handler, &mut request("GET /\napikey: k-alice"));
    rig.passes(&*handler, &mut request("GET /?apikey=k-alice"));
    let (rig, handler) = given(json!({"key_in_query": false}));
    rig.refuses(&*handler, &mut request("GET /?apikey=k-alice"));
    let (rig, handler) = given(json!({}));
    rig.refuses(&*handler, &mut request("POST /\nContent-Type: application/x-www-form-urlencoded\n\napikey=k-alice"));
}

#[test]
fn the_first_name_with_a_value_decides() {
    let (rig, handler) = given(json!({"key_names": ["first", "second"]}));
    rig.passes(&*handler, &mut request("GET /\nsecond: k-alice"));
    assert_eq!(
        shown(&rig.refuses(&*handler, &mut request("GET /\nfirst: no\nsecond: k-alice"))),
        "401 Unauthorized [Key]"
    );
}

#[test]
fn preflights_pass_only_if_the_plugin_does_not_run_on_them() {
    let (rig, handler) = given(json!({"run_on_preflight": false}));
    rig.passes(&*handler, &mut request("OPTIONS /"));
    rig.refuses(&*handler, &mut request("GET /"));
}

#[test]
fn an_anonymous_consumer_takes_the_place_of_an_unknown_caller() {
    for anonymous in ["anon".to_owned(), id(2).to_string()] {
        let (rig, handler) = given(json!({"anonymous": anonymous}));
        let mut x = request("GET /\nX-Credential-Identifier: forged\nX-Consumer-Custom-ID: forged");
        rig.passes(&*handler, &mut x);
        assert_eq!(upstream(&x, "x-consumer-username"), Some("anon"));
        assert_eq!(upstream(&x, "x-anonymous-consumer"), Some("true"));
        assert_eq!(upstream(&x, "x-credential-identifier"), None);
        assert_eq!(upstream(&x, "x-consumer-custom-id"), None);
        assert!(x.credential.is_none());
    }
}

#[test]
fn an_anonymous_consumer_that_does_not_exist_is_an_error_of_ours() {
    let (rig, handler) = given(json!({"anonymous": "nobody"}));
    let reply = rig.refuses(&*handler, &mut request("GET /"));
    assert_eq!(shown(&reply), "500 anonymous consumer nobody is configured but doesn't exist");
}

#[test]
fn with_anonymous_a_caller_known_from_another_plugin_stays() {
    let (rig, handler) = given(json!({"anonymous": "anon"}));
    let (_, strict) = given(json!({}));
    let mut x = request("GET /\napikey: k-alice");
    rig.passes(&*strict, &mut x);
    x.request.headers.remove("apikey");
    rig.passes(&*handler, &mut x);
    assert_alice(&x);
    // Without it, each plugin on the route must know the caller.
    rig.refuses(&*strict, &mut x);
}

#[test]
fn groups_of_the_consumer_are_known_from_then_on() {
    let (rig, handler) = given(json!({}));
    rig.group(21, id(1), "gold");
    let mut x = request("GET /\napikey: k-alice");
    rig.passes(&*handler, &mut x);
    assert_eq!(&*x.consumer_groups.unwrap()[0].name, "gold");
}

#[test]
fn an_oversized_or_binary_key_is_merely_unknown() {
    let (rig, handler) = given(json!({}));
    let long = format!("GET /\napikey: {}", "k".repeat(1 << 20));
    assert_eq!(shown(&rig.refuses(&*handler, &mut request(&long))), "401 Unauthorized [Key]");
    assert_eq!(shown(&rig.refuses(&*handler, &mut request("GET /?apikey=%ff%00%fe"))), "401 Unauthorized [Key]");
}

#[test]
fn keys_that_konnect_alone_would_know_are_not_asked_for() {
    for fine in [
        json!({"identity_realms": [{"scope": "cp"}], "principals": {"enabled": false}}),
        json!({"identity_realms": [{}]}),
    ] {
        let _ = gibbon_rig::accepted(&PART, fine);
    }
    let refused = |config| gibbon_rig::refused(&PART, config).to_string();
    assert!(
        refused(json!({"identity_realms": [{"scope": "realm", "id": "r"}]})).contains("realms are kept by Konnect")
    );
    assert!(refused(json!({"principals": {"enabled": true}})).contains("principals are kept by Konnect"));
}
