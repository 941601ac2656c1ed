//! Which exchanges are sampled, what the upstream is told, and what a collector receives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_pdk::{Exchange, Handler, OutcallResponse, Try};
use gibbon_rig::{People, Rig, refused};
use serde_json::{Value, json};

use super::PART;
use crate::fixture::exchange;

fn handler(rig: &Rig, more: Value) -> Arc<dyn Handler> {
    let mut config = json!({"http_endpoint": "http://zipkin.test/api/v2/spans", "sample_ratio": 1});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rig.handler(&PART, config)
}

fn traced(headers: &[(&str, &str)]) -> Exchange {
    let mut x = exchange();
    headers.iter().for_each(|(name, value)| x.request.headers.append(name, value));
    x.trace.begin(Default::default());
    x.trace.expect(1);
    (x.trace.times.rewrite_end, x.trace.times.access_start) = (1_000_001, 1_000_001);
    x.latencies.access_end = 2_000_001;
    (x.trace.times.header_filter_start, x.trace.times.header_filter_end) = (32_000_001, 33_000_001);
    x
}

fn attempt(state: Option<&'static str>) -> Try {
    Try {
        ip: [127, 0, 0, 1].into(),
        port: 9000,
        balancer_start: 1,
        balancer_start_ns: 1_000_000,
        balancer_latency: 0,
        balancer_latency_ns: 5_000,
        state,
        code: state.map(|_| 502),
    }
}

/// What the collector receives for one exchange.
fn spans(config: Value, mut x: Exchange) -> Vec<Value> {
    let rig = Rig::new();
    rig.http.answer(|_| Ok(OutcallResponse { status: 202, headers: Default::default(), body: Default::default() }));
    let handler = handler(&rig, config);
    rig.access(&*handler, &mut x);
    rig.log(&*handler, &mut x);
    rig.queues.get("").deliver().unwrap();
    let calls = rig.http.calls.lock().unwrap();
    let Some(request) = calls.first() else { return Vec::new() };
    assert_eq!(request.headers.get_str("content-type"), Some("application/json"));
    serde_json::from_slice(&request.body).unwrap()
}

fn values(span: &Value) -> Vec<&str> {
    span["annotations"].as_array().into_iter().flatten().filter_map(|one| one["value"].as_str()).collect()
}

#[test]
fn an_exchange_has_a_span_for_itself_its_proxying_and_each_try() {
    let mut x = traced(&[("Zipkin-Tags", "a=1; b = two words ;c"), ("zipkin-tags", "d=4")]);
    x.tries.extend([attempt(Some("failed")), attempt(None)]);
    x.trace.peer_name = Some("up.test".into());
    x.consumer = Some(People::consumer("anna"));
    let all = spans(json!({"static_tags": [{"name": "s", "value": "v"}]}), x);
    let names: Vec<&str> = all.iter().filter_map(|span| span["name"].as_str()).collect();
    assert_eq!(names, ["GET (balancer try 1)", "GET (balancer try 2)", "GET (proxy)", "GET"]);
    let (failed, went, proxy, request) = (&all[0], &all[1], &all[2], &all[3]);
    assert_eq!((&request["kind"], &request["duration"]), (&json!("SERVER"), &json!(40_000)));
    assert_eq!((values(request), values(proxy)), (vec!["krs", "krf"], vec!["kas", "kaf", "khs", "khf", "kbs", "kbf"]));
    let tags = &request["tags"];
    assert_eq!(
        (&tags["lc"], &tags["http.path"], &tags["http.status_code"]),
        (&json!("kong"), &json!("/x"), &json!("200"))
    );
    assert_eq!(
        (&tags["a"], &tags["b"], &tags["d"], &tags["s"]),
        (&json!("1"), &json!("two words"), &json!("4"), &json!("v"))
    );
    assert!(tags.get("c").is_none() && tags["kong.consumer"].is_string());
    assert_eq!(proxy["tags"]["peer.hostname"], "up.test");
    assert_eq!(proxy["remoteEndpoint"], json!({"serviceName": "svc.one", "ipv4": "127.0.0.1", "port": 9000}));
    assert_eq!((&failed["tags"]["error"], &failed["tags"]["http.status_code"]), (&json!("true"), &json!("502")));
    assert!(went["tags"].get("error").is_none());
    assert_eq!((&went["timestamp"], &went["duration"]), (&json!(1000), &json!(5)));
    assert!([failed, went, proxy].iter().all(|span| span["parentId"] == request["id"]));
}

#[test]
fn caller_and_gateway_share_a_span_in_b3_and_only_there() {
    let b3 =
        spans(json!({}), traced(&[("b3", "80f198ee56343ba864fe8b2a57d3eff7-05e3ac9a4f6e3b90-1-e457b5a2e4d86bd1")]));
    let request = b3.last().unwrap();
    assert_eq!((&request["id"], &request["parentId"]), (&json!("05e3ac9a4f6e3b90"), &json!("e457b5a2e4d86bd1")));
    let w3c = spans(json!({}), traced(&[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]));
    let request = w3c.last().unwrap();
    assert_eq!(
        (&request["traceId"], &request["parentId"]),
        (&json!("0af7651916cd43dd8448eb211c80319c"), &json!("b7ad6b7169203331"))
    );
}

#[test]
fn what_is_not_sampled_costs_no_times_and_sends_nothing() {
    let rig = Rig::new();
    let handler = handler(&rig, json!({}));
    let mut x = traced(&[("X-B3-Sampled", "0")]);
    rig.access(&*handler, &mut x);
    assert!(!x.trace.is_on());
    assert_eq!(x.request.headers.get_str("x-b3-sampled"), Some("0"));
    rig.log(&*handler, &mut x);
    assert!(rig.queues.get("").is_empty());
}

#[test]
fn phases_may_be_tags_and_names_may_hold_the_path() {
    let all = spans(json!({"phase_duration_flavor": "tags", "http_span_name": "method_path"}), traced(&[]));
    let (proxy, request) = (&all[0], &all[1]);
    assert_eq!((&request["name"], &request["tags"]["kong.rewrite.duration_ms"]), (&json!("GET /x"), &json!("1")));
    assert_eq!(
        (&proxy["tags"]["kong.access.duration_ms"], &proxy["tags"]["kong.header_filter.duration_ms"]),
        (&json!("1"), &json!("1"))
    );
    assert!(all.iter().all(|span| span.get("annotations").is_none()));
}

#[test]
fn ids_that_begin_here_may_be_short_and_are_shown_to_the_client() {
    let rig = Rig::new();
    let handler = handler(&rig, json!({"traceid_byte_count": 8, "http_response_header_for_traceid": "X-Trace"}));
    let mut x = traced(&[]);
    rig.access(&*handler, &mut x);
    rig.answer(&*handler, &mut x, 200, &[]);
    assert_eq!(x.response.headers.get_str("x-trace").map(str::len), Some(16));
}

#[test]
fn the_credential_is_named_unless_it_is_not_to_be() {
    let named = |include: bool| {
        let mut x = traced(&[]);
        x.credential = Some(People::credential("key", &People::consumer("anna"), &[]));
        spans(json!({"include_credential": include}), x).last().unwrap()["tags"].get("kong.credential").is_some()
    };
    assert!(named(true) && !named(false));
}

#[test]
fn repeated_and_reserved_static_tags_are_refused() {
    let tag = |name: &str| json!({"name": name, "value": "v"});
    assert!(
        refused(&PART, json!({"static_tags": [tag("a"), tag("a")]}))
            .to_string()
            .contains("repeated tags are not allowed: a")
    );
    assert!(refused(&PART, json!({"static_tags": [tag("lc")]})).to_string().contains("must not be one of"));
}
