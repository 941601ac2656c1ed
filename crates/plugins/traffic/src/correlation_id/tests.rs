//! Which id a request gets from each generator, and who sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::Exchange;
use gibbon_rig::{Rig, refused, request};
use serde_json::json;

use super::PART;

fn upstream_id(x: &Exchange) -> String {
    x.request.headers.get_str("Kong-Request-ID").unwrap_or_default().to_owned()
}

#[test]
fn ids_of_one_node_share_a_uuid_and_count_from_one() {
    let rig = Rig::new();
    let (first, second) = (rig.handler(&PART, json!({})), rig.handler(&PART, json!({})));
    let (mut a, mut b) = (request("GET /", &[]), request("GET /", &[("Kong-Request-ID", "")]));
    rig.access(&*first, &mut a);
    rig.access(&*second, &mut b);
    let ((uuid_a, count_a), (uuid_b, count_b)) =
        (upstream_id(&a).split_once('#').map(own).unwrap(), upstream_id(&b).split_once('#').map(own).unwrap());
    assert_eq!((uuid_a.len(), count_a.as_str(), count_b.as_str()), (36, "1", "2"));
    assert_eq!(uuid_a, uuid_b);
}

fn own((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn an_id_that_the_client_sent_is_kept() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"echo_downstream": true}));
    let mut x = request("GET /", &[("kong-request-id", "mine")]);
    rig.access(&*handler, &mut x);
    assert_eq!(upstream_id(&x), "mine");
    assert_eq!(x.log_values, [("correlation_id".into(), json!("mine"))]);
    rig.answer(&*handler, &mut x, 200, &[]);
    assert_eq!(x.response.headers.get_str("Kong-Request-ID"), Some("mine"));
}

#[test]
fn the_client_sees_the_id_only_where_that_is_asked_for() {
    let rig = Rig::new();
    let silent = rig.handler(&PART, json!({"generator": "uuid"}));
    let mut x = request("GET /", &[]);
    rig.access(&*silent, &mut x);
    rig.answer(&*silent, &mut x, 200, &[]);
    assert!(!x.response.headers.contains("Kong-Request-ID"));

    let echoing = rig.handler(&PART, json!({"generator": "uuid", "echo_downstream": true, "header_name": "X-Id"}));
    let mut x = request("GET /", &[]);
    rig.access(&*echoing, &mut x);
    rig.answer(&*echoing, &mut x, 200, &[]);
    assert_eq!(x.response.headers.get("x-id"), x.request.headers.get("x-id"));
    assert_eq!(x.response.headers.get("x-id").unwrap().len(), 36);
}

#[test]
fn an_answer_before_access_gets_an_id_of_its_own() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"echo_downstream": true}));
    let mut x = request("GET /", &[]);
    rig.answer(&*handler, &mut x, 404, &[]);
    assert!(x.response.headers.contains("Kong-Request-ID"));
}

#[test]
fn a_tracker_names_listener_process_connection_request_and_time() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"generator": "tracker"}));
    let mut x = request("GET /", &[]);
    x.started_ns = 1_700_000_000_042_000_000;
    rig.access(&*handler, &mut x);
    let pid = std::process::id();
    assert_eq!(upstream_id(&x), format!("127.0.0.1-8000-{pid}-40000-1-1700000000.042"));
}

#[test]
fn an_unknown_generator_is_refused() {
    let faults = refused(&PART, json!({"generator": "nope"}));
    assert_eq!(faults["config"]["generator"], "expected one of: uuid, uuid#counter, tracker");
}
