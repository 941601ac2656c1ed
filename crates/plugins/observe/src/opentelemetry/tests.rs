//! Which traces are kept, what the upstream is told, and what a collector receives.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_pdk::{
    Exchange, Handler, Instrumentations, LogLine, NodeFacts, OutcallRequest, OutcallResponse, Phase, RequestId,
    SpanKind, TraceSettings, Try, keep_log_line,
};
use gibbon_rig::{Rig, accepted, refused};
use serde_json::{Value, json};

use super::PART;
use crate::fixture::{Protobuf, exchange};

const CALLER: (&str, &str) = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");

/// A rig whose node records these kinds and keeps this share.
fn rig(instrumentations: Instrumentations, sampling_rate: f64) -> Rig {
    let mut rig = Rig::new();
    let tracing = TraceSettings { instrumentations, sampling_rate };
    rig.host.node = Arc::new(NodeFacts { tracing, ..(*rig.host.node).clone() });
    rig.http.answer(|_| Ok(OutcallResponse { status: 200, headers: Default::default(), body: Default::default() }));
    rig
}

fn handler(rig: &Rig, more: Value) -> Arc<dyn Handler> {
    let mut config = json!({"traces_endpoint": "http://otel.test/v1/traces"});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rig.handler(&PART, config)
}

/// An exchange whose spans are recorded.
fn traced(instrumentations: Instrumentations, headers: &[(&str, &str)]) -> Exchange {
    let mut x = exchange();
    headers.iter().for_each(|(name, value)| x.request.headers.append(name, value));
    x.trace.begin(instrumentations);
    x.trace.expect(1);
    x
}

fn only_request(rig: &Rig) -> OutcallRequest {
    rig.queues.get(":traces").deliver().unwrap();
    let calls = rig.http.calls.lock().unwrap();
    assert_eq!(calls.len(), 1);
    calls[0].clone()
}

#[test]
fn a_kept_trace_is_exported_with_everything_that_was_recorded() {
    let rig = rig(Instrumentations::ALL, 1.0);
    let handler = handler(&rig, json!({"headers": {"X-Key": "k"}, "resource_attributes": {"service.name": "edge"}}));
    let mut x = traced(Instrumentations::ALL, &[CALLER]);
    x.trace.add(SpanKind::Router, 10, 20);
    x.trace.add(SpanKind::Plugin { phase: Phase::Access, name: "key-auth".into() }, 20, 30);
    let none = Err("no such name".into());
    x.trace.add(SpanKind::Dns { host: "up.test".into(), port: 80, outcome: none }, 30, 40);
    rig.access(&*handler, &mut x);
    let told = x.request.headers.get_str("traceparent").unwrap().to_owned();
    x.tries.push(Try {
        ip: [127, 0, 0, 1].into(),
        port: 9000,
        balancer_start: 1,
        balancer_start_ns: 1_000_000,
        balancer_latency: 0,
        balancer_latency_ns: 1,
        state: None,
        code: None,
    });
    rig.log(&*handler, &mut x);

    let request = only_request(&rig);
    assert_eq!((request.url.as_str(), request.headers.get_str("x-key")), ("http://otel.test/v1/traces", Some("k")));
    assert_eq!(request.headers.get_str("content-type"), Some("application/x-protobuf"));
    let message = Protobuf::of(&request.body);
    let group = message.message(1);
    let resource = group.message(1).attributes(1);
    assert_eq!((&*resource["service.name"], &*resource["service.version"]), ("edge", "3.10.0"));
    let spans = group.message(2).messages(2);
    let names: Vec<String> = spans.iter().map(|span| span.text(5)).collect();
    assert_eq!(names, ["kong", "kong.router", "kong.access.plugin.key-auth", "kong.dns", "kong.balancer"]);
    let root = &spans[0];
    assert!(spans.iter().all(|span| span.hex(1) == "0af7651916cd43dd8448eb211c80319c"));
    assert_eq!((root.hex(4), root.number(6)), ("b7ad6b7169203331".to_owned(), 2));
    assert!(spans[1..].iter().all(|span| span.hex(4) == root.hex(2)));
    let attributes = root.attributes(9);
    assert_eq!((&*attributes["http.method"], &*attributes["http.url"]), ("GET", "http://api.test/x"));
    assert_eq!((&*attributes["http.status_code"], &*attributes["http.flavor"]), ("200", "1.1"));
    assert_eq!(spans[3].message(15).number(3), 2, "a name that does not resolve is an error");
    assert_eq!(spans[3].message(11).attributes(3)["exception.message"], "no such name");
    assert_eq!(told, format!("00-{}-{}-01", root.hex(1), spans[4].hex(2)), "the upstream hangs under its try");
}

#[test]
fn a_trace_that_is_not_kept_is_told_so_and_nothing_is_recorded_or_sent() {
    let rig = rig(Instrumentations::ALL, 0.0);
    let handler = handler(&rig, json!({}));
    let mut x = traced(Instrumentations::ALL, &[CALLER]);
    x.trace.add(SpanKind::Router, 10, 20);
    rig.access(&*handler, &mut x);
    assert!(x.request.headers.get_str("traceparent").unwrap().ends_with("-00"));
    assert!(!x.trace.is_on() && x.trace.spans().is_empty());
    rig.log(&*handler, &mut x);
    assert!(rig.queues.get(":traces").is_empty());
}

#[test]
fn the_callers_no_is_always_heeded_and_its_yes_on_request() {
    let no = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
    let sampled = |rate: f64, strategy: &str, caller| {
        let rig = rig(Instrumentations::ALL, 0.01);
        let handler = handler(&rig, json!({"sampling_rate": rate, "sampling_strategy": strategy}));
        let mut x = traced(Instrumentations::ALL, &[caller]);
        rig.access(&*handler, &mut x);
        x.trace.context.unwrap().sampled
    };
    let (drop, keep) = ("parent_drop_probability_fallback", "parent_probability_fallback");
    assert!(!sampled(1.0, drop, no) && !sampled(1.0, keep, no));
    assert!(!sampled(0.0, drop, CALLER) && sampled(0.0, keep, CALLER));
    assert!(sampled(1.0, drop, CALLER), "the plugin's rate counts in place of the node's");
}

#[test]
fn without_instrumentation_headers_only_pass_through() {
    let rig = rig(Instrumentations::NONE, 1.0);
    let handler = handler(&rig, json!({"http_response_header_for_traceid": "X-Trace-Id"}));
    let mut x = traced(Instrumentations::NONE, &[CALLER]);
    rig.access(&*handler, &mut x);
    let told = x.request.headers.get_str("traceparent").unwrap();
    assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with("-00"));
    rig.answer(&*handler, &mut x, 200, &[]);
    assert_eq!(x.response.headers.get_str("x-trace-id"), Some("0af7651916cd43dd8448eb211c80319c"));
    rig.log(&*handler, &mut x);
    assert!(rig.queues.get(":traces").is_empty());
}

#[test]
fn an_exchange_that_ends_before_access_has_a_trace_of_its_own() {
    let rig = rig(Instrumentations::ALL, 1.0);
    let handler = handler(&rig, json!({}));
    let mut x = traced(Instrumentations::ALL, &[CALLER]);
    rig.log(&*handler, &mut x);
    let spans = Protobuf::of(&only_request(&rig).body).message(1).message(2).messages(2);
    assert_eq!((spans.len(), spans[0].hex(4)), (1, String::new()));
}

#[test]
fn exchanges_of_one_batch_with_different_resources_are_sent_apart() {
    let rig = rig(Instrumentations::ALL, 1.0);
    let handler = handler(&rig, json!({"resource_attributes": {"tenant": "$(headers.x-tenant)"}}));
    for tenant in ["a", "b", "b"] {
        let mut x = traced(Instrumentations::ALL, &[("X-Tenant", tenant)]);
        rig.access(&*handler, &mut x);
        rig.log(&*handler, &mut x);
    }
    let groups = Protobuf::of(&only_request(&rig).body).messages(1);
    let shown: Vec<_> =
        groups.iter().map(|g| (g.message(1).attributes(1)["tenant"].clone(), g.message(2).messages(2).len())).collect();
    assert_eq!(shown, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
}

#[test]
fn lines_of_the_error_log_are_exported_with_the_trace_of_their_request() {
    let rig = rig(Instrumentations::ALL, 0.0);
    let handler = handler(&rig, json!({"logs_endpoint": "http://otel.test/v1/logs"}));
    let mut x = traced(Instrumentations::ALL, &[CALLER]);
    x.id = RequestId([5; 16]);
    rig.access(&*handler, &mut x);
    let line = LogLine {
        time_ns: 7,
        level: "error",
        message: "upstream broke off".into(),
        source: "gibbon_proxy::answer",
        line: Some(12),
        request: Some(x.id),
    };
    keep_log_line(line.clone());
    keep_log_line(LogLine { request: Some(RequestId([6; 16])), message: "of another".into(), ..line });
    rig.log(&*handler, &mut x);
    rig.queues.get(":logs").deliver().unwrap();
    let calls = rig.http.calls.lock().unwrap();
    assert_eq!(calls[0].url, "http://otel.test/v1/logs");
    let records = Protobuf::of(&calls[0].body).message(1).message(2).messages(2);
    let record = records.iter().find(|record| record.message(5).text(1) == "upstream broke off").unwrap();
    assert!(records.iter().all(|record| record.message(5).text(1) != "of another"));
    assert_eq!((record.number(1), record.number(2), record.text(3)), (7, 17, "ERR".to_owned()));
    assert_eq!(record.hex(9), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(record.attributes(6)["request.id"], "05".repeat(16));
}

#[test]
fn only_200_is_a_delivery() {
    let rig = rig(Instrumentations::ALL, 1.0);
    rig.http.answer(|_| Ok(OutcallResponse { status: 202, headers: Default::default(), body: Default::default() }));
    let handler = handler(&rig, json!({}));
    let mut x = traced(Instrumentations::ALL, &[]);
    rig.log(&*handler, &mut x);
    assert_eq!(rig.queues.get(":traces").deliver(), Err("response error: 202".to_owned()));
}

#[test]
fn older_settings_count_where_they_differ_from_their_defaults() {
    let rig = rig(Instrumentations::ALL, 1.0);
    handler(&rig, json!({"batch_span_count": 7, "batch_flush_delay": 3}));
    let settings = rig.queues.get(":traces").settings.clone();
    assert_eq!((settings.max_batch_size, settings.max_coalescing_delay.as_secs()), (7, 1));
    let filled = accepted(&PART, json!({"endpoint": "http://otel.test"}));
    assert_eq!(
        (&filled["traces_endpoint"], &filled["queue"]["max_batch_size"]),
        (&json!("http://otel.test"), &json!(200))
    );
}

#[test]
fn some_endpoint_is_required() {
    assert!(refused(&PART, json!({})).to_string().contains("at least one of these fields must be non-empty"));
}

/// A metric by its name, out of everything that was sent there.
fn metric(rig: &Rig, name: &str) -> Protobuf {
    let calls = rig.http.calls.lock().unwrap();
    let last = calls.iter().rfind(|call| call.url == "http://otel.test/v1/metrics").unwrap();
    let metrics = Protobuf::of(&last.body).message(1).message(2).messages(2);
    metrics.into_iter().find(|metric| metric.text(1) == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn figures_are_added_up_and_sent_once_per_interval() {
    let rig = rig(Instrumentations::NONE, 0.0);
    let metrics = json!({"endpoint": "http://otel.test/v1/metrics", "push_interval": 7, "enable_request_metrics": true,
        "enable_latency_metrics": true, "enable_bandwidth_metrics": true});
    let handler = handler(&rig, json!({"metrics": metrics}));
    let queue = rig.queues.get(":metrics");
    assert_eq!(queue.settings.max_coalescing_delay.as_secs(), 7);
    for status in [200, 200, 404] {
        let mut x = exchange();
        x.response.status = status;
        (x.request_bytes, x.response_bytes) = (50, 2_000);
        rig.log(&*handler, &mut x);
    }
    queue.deliver().unwrap();
    let count = metric(&rig, "http.server.request.count");
    let sum = count.message(7);
    assert_eq!((count.text(3).as_str(), sum.number(2), sum.number(3)), ("{request}", 2, 1));
    let mut points: Vec<_> =
        sum.messages(1).iter().map(|p| (p.attributes(7)["kong.response.status_code"].clone(), p.number(6))).collect();
    points.sort();
    assert_eq!(points, [("200".to_owned(), 2), ("404".to_owned(), 1)]);
    let attributes = sum.message(1).attributes(7);
    assert_eq!(attributes["http.request.method"], "GET");
    assert!(attributes.contains_key("kong.service.name") && !attributes.contains_key("kong.auth.consumer.name"));
    let sizes = metric(&rig, "http.server.response.size").message(9);
    assert_eq!((sizes.number(2), sizes.message(1).number(4)), (2, 3));
    let sent = metric(&rig, "http.server.response.size").message(9).message(1);
    assert_eq!(f64::from_bits(sent.number(5)), 6_000.0);
    assert_eq!(metric(&rig, "kong.latency.total").message(9).message(1).number(4), 3);

    // What comes later is added to what was sent.
    rig.log(&*handler, &mut exchange());
    queue.deliver().unwrap();
    let points = metric(&rig, "http.server.request.count").message(7).messages(1);
    assert_eq!(points.iter().map(|point| point.number(6)).sum::<u64>(), 4);
}

#[test]
fn a_record_of_each_request_is_exported() {
    let rig = rig(Instrumentations::NONE, 0.0);
    let handler = handler(&rig, json!({"access_logs": {"endpoint": "http://otel.test/v1/logs"}}));
    let mut x = exchange();
    x.id = RequestId([5; 16]);
    rig.log(&*handler, &mut x);
    rig.queues.get(":access_logs").deliver().unwrap();
    let calls = rig.http.calls.lock().unwrap();
    let record = Protobuf::of(&calls[0].body).message(1).message(2).message(2);
    let entry: Value = serde_json::from_str(&record.message(5).text(1)).unwrap();
    assert_eq!(entry["request"]["id"], "05".repeat(16));
    assert_eq!((record.number(2), record.attributes(6)["request.id"].clone()), (9, "05".repeat(16)));
}
