//! What browsers are told about origins, for preflights and for requests themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_message::Headers;
use gibbon_rig::{Ended, Rig, refused, request};
use serde_json::{Value, json};

use super::PART;

const A: (&str, &str) = ("Origin", "http://a.test");
const WANTS_PUT: (&str, &str) = ("Access-Control-Request-Method", "PUT");

fn lines(headers: &Headers) -> Vec<String> {
    headers.iter().map(|(n, v)| format!("{}: {}", String::from_utf8_lossy(n), String::from_utf8_lossy(v))).collect()
}

/// Headers of the answer to a preflight, `None` if it was passed on.
fn preflight(config: Value, headers: &[(&str, &str)]) -> Option<Vec<String>> {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    match rig.access(&*handler, &mut request("OPTIONS /", headers)) {
        Ended::Next => None,
        Ended::Reply(reply) => {
            assert_eq!(reply.status, 200);
            Some(lines(&reply.headers))
        }
        Ended::Fault(fault) => panic!("{fault:?}"),
    }
}

/// Headers that an upstream's answer leaves with.
fn answer(config: Value, request_headers: &[(&str, &str)], upstream: &[(&str, &str)]) -> Vec<String> {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    let mut x = request("GET /", request_headers);
    assert!(rig.access(&*handler, &mut x).is_next());
    rig.answer(&*handler, &mut x, 200, upstream);
    lines(&x.response.headers)
}

const ALL_METHODS: &str = "Access-Control-Allow-Methods: GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT";

#[test]
fn without_settings_everybody_may_do_everything() {
    let everybody = "Access-Control-Allow-Origin: *";
    assert_eq!(answer(json!({}), &[], &[]), [everybody]);
    assert_eq!(answer(json!({}), &[A], &[]), [everybody]);
    assert_eq!(preflight(json!({}), &[A, WANTS_PUT]).unwrap(), [everybody, ALL_METHODS]);
    let asked = preflight(json!({}), &[A, WANTS_PUT, ("Access-Control-Request-Headers", "x-a, x-b")]).unwrap();
    assert_eq!(asked, [everybody, "Access-Control-Allow-Headers: x-a, x-b", ALL_METHODS]);
}

#[test]
fn only_an_options_request_with_origin_and_method_is_a_preflight() {
    assert_eq!(preflight(json!({}), &[A]), None);
    assert_eq!(preflight(json!({}), &[WANTS_PUT]), None);
    assert_eq!(preflight(json!({}), &[("Origin", ""), WANTS_PUT]), None);
}

#[test]
fn a_single_origin_is_told_to_everybody() {
    let config = json!({"origins": ["http://a.test"], "methods": ["GET", "PUT"], "headers": ["x-a", "x-b"], "exposed_headers": ["x-out"], "max_age": 23});
    let answered =
        ["Vary: Origin", "Access-Control-Allow-Origin: http://a.test", "Access-Control-Expose-Headers: x-out"];
    assert_eq!(answer(config.clone(), &[A], &[]), answered);
    assert_eq!(answer(config.clone(), &[("Origin", "http://b.test")], &[]), answered);
    assert_eq!(answer(config.clone(), &[], &[]), answered);
    let expected = [
        "Vary: Origin",
        "Access-Control-Allow-Origin: http://a.test",
        "Access-Control-Allow-Headers: x-a,x-b",
        "Access-Control-Allow-Methods: GET,PUT",
        "Access-Control-Max-Age: 23",
    ];
    assert_eq!(preflight(config, &[A, WANTS_PUT]).unwrap(), expected);
}

#[test]
fn of_several_origins_the_one_that_asks_is_named() {
    let config = json!({"origins": ["http://a.test", "https://b.test:8443", r"(.+\.)?c\.test"]});
    let named = |origin: &str| answer(config.clone(), &[("Origin", origin)], &[("Access-Control-Allow-Origin", "*")]);
    assert_eq!(named("http://a.test:80"), ["Access-Control-Allow-Origin: http://a.test", "Vary: Origin"]);
    assert_eq!(named("https://b.test:8443")[0], "Access-Control-Allow-Origin: https://b.test:8443");
    assert_eq!(named("https://x.c.test")[0], "Access-Control-Allow-Origin: https://x.c.test");
    assert_eq!(named("http://evil.test"), ["Vary: Origin"], "the upstream's header goes");
    assert_eq!(answer(config.clone(), &[], &[]), ["Vary: Origin"]);
}

#[test]
fn credentials_need_a_named_origin() {
    let everybody = json!({"credentials": true});
    let named =
        ["Access-Control-Allow-Origin: http://a.test", "Vary: Origin", "Access-Control-Allow-Credentials: true"];
    let got = answer(everybody.clone(), &[A], &[]);
    assert_eq!(sorted(got), sorted(named.map(str::to_owned).to_vec()));
    assert_eq!(answer(everybody, &[], &[]), ["Access-Control-Allow-Origin: *"]);
    let listed = json!({"credentials": true, "origins": ["http://a.test", "http://b.test"]});
    let got = answer(listed, &[("Origin", "http://evil.test")], &[]);
    assert_eq!(got, ["Vary: Origin", "Access-Control-Allow-Credentials: true"]);
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn what_the_upstream_says_of_vary_is_kept() {
    let config = json!({"origins": ["http://a.test"]});
    let got = answer(config, &[A], &[("Vary", "Accept")]);
    assert_eq!(got, ["Vary: Accept", "Vary: Origin", "Access-Control-Allow-Origin: http://a.test"]);
}

#[test]
fn a_preflight_can_be_left_to_the_upstream() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"preflight_continue": true, "origins": ["http://a.test"]}));
    let mut x = request("OPTIONS /", &[A, WANTS_PUT]);
    assert!(rig.access(&*handler, &mut x).is_next());
    rig.answer(&*handler, &mut x, 200, &[]);
    assert_eq!(lines(&x.response.headers), [""; 0]);
}

#[test]
fn a_private_network_is_opened_only_to_those_who_ask() {
    let ask = ("Access-Control-Request-Private-Network", "true");
    let opened = "Access-Control-Allow-Private-Network: true".to_owned();
    assert!(preflight(json!({"private_network": true}), &[A, WANTS_PUT, ask]).unwrap().contains(&opened));
    assert!(!preflight(json!({"private_network": true}), &[A, WANTS_PUT]).unwrap().contains(&opened));
    assert!(!preflight(json!({}), &[A, WANTS_PUT, ask]).unwrap().contains(&opened));
}

#[test]
fn requests_without_an_origin_can_be_left_alone() {
    let config = json!({"allow_origin_absent": false});
    assert_eq!(answer(config.clone(), &[], &[]), [""; 0]);
    assert_eq!(answer(config.clone(), &[("Origin", "")], &[]), [""; 0]);
    assert_eq!(answer(config, &[A], &[]), ["Access-Control-Allow-Origin: *"]);
}

#[test]
fn echoed_headers_cannot_end_a_line() {
    let mut x = request("OPTIONS /", &[A, WANTS_PUT]);
    x.request.headers.append("Access-Control-Request-Headers", "a\r\nSet-Cookie: b");
    let rig = Rig::new();
    let reply = rig.access(&*rig.handler(&PART, json!({})), &mut x).reply();
    assert!(!lines(&reply.headers).join("\n").contains('\r'));
}

#[test]
fn an_origin_that_is_no_pattern_is_refused() {
    let faults = refused(&PART, json!({"origins": ["("]}));
    assert_eq!(faults["config"]["origins"], json!(["'(' is not a valid regex"]));
}
