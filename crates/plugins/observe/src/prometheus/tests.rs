//! Which exchanges count, under which labels, and how they look when they are scraped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex, Weak};

use gibbon_pdk::{Exchange, Exporter, Exposition, Metrics};
use gibbon_rig::{People, Rig};
use serde_json::{Value, json};

use super::PART;
use crate::fixture::{exchange, session};

#[derive(Default)]
struct Registered(Mutex<Option<Weak<dyn Exporter>>>);

impl Metrics for Registered {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}

    fn engine_snapshot(&self) -> Value {
        Value::Null
    }

    fn register(&self, exporter: Weak<dyn Exporter>) {
        *self.0.lock().unwrap() = Some(exporter);
    }
}

fn exposed(config: Value, exchanges: &mut [Exchange], engine: &Value) -> String {
    let rig = Rig::new();
    let metrics = Arc::new(Registered::default());
    let handler = rig.handler_of(&PART, config, |build| build.metrics = metrics.clone());
    for x in exchanges {
        rig.log(&*handler, x);
    }
    let exporter = metrics.0.lock().unwrap().clone().unwrap().upgrade().unwrap();
    let mut out = Exposition::default();
    exporter.export(&mut out, engine);
    out.into_text()
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
}

#[test]
fn answers_are_counted_by_service_route_status_and_consumer() {
    let mut known = exchange();
    known.consumer = Some(People::consumer("ada"));
    let config = json!({"status_code_metrics": true, "per_consumer": true});
    let text = exposed(config, &mut [exchange(), exchange(), known], &Value::Null);
    let labels = "service=\"svc.one\",route=\"r\",code=\"200\",source=\"service\",workspace=\"default\"";
    has(&text, &format!("kong_http_requests_total{{{labels},consumer=\"\"}} 2"));
    has(&text, &format!("kong_http_requests_total{{{labels},consumer=\"ada\"}} 1"));
}

#[test]
fn latencies_are_cumulative_histograms() {
    let text = exposed(json!({"latency_metrics": true}), &mut [exchange()], &Value::Null);
    let labels = "service=\"svc.one\",route=\"r\",workspace=\"default\"";
    for (sample, value) in [("le=\"25\"", 0), ("le=\"50\"", 1), ("le=\"60000\"", 1), ("le=\"+Inf\"", 1)] {
        has(&text, &format!("kong_upstream_latency_ms_bucket{{{labels},{sample}}} {value}"));
    }
    has(&text, &format!("kong_kong_latency_ms_sum{{{labels}}} 10"));
    has(&text, &format!("kong_request_latency_ms_sum{{{labels}}} 40"));
}

#[test]
fn bytes_are_counted_in_both_directions() {
    let text = exposed(json!({"bandwidth_metrics": true}), &mut [exchange(), exchange()], &Value::Null);
    let of = |direction| {
        format!(
            "kong_bandwidth_bytes{{service=\"svc.one\",route=\"r\",direction=\"{direction}\",workspace=\"default\",consumer=\"\"}}"
        )
    };
    has(&text, &format!("{} 200", of("ingress")));
    has(&text, &format!("{} 400", of("egress")));
}

#[test]
fn what_matched_no_route_is_not_counted() {
    let config = json!({"status_code_metrics": true});
    let text = exposed(config, &mut [gibbon_rig::request("GET /nothing", &[])], &Value::Null);
    assert!(!text.contains("kong_http_requests_total{"), "{text}");
}

#[test]
fn target_health_has_a_sample_per_state() {
    let engine = json!({"upstreams": [{"name": "u", "targets": [
        {"target": "a:80", "addresses": [{"address": "10.0.0.1:80", "health": "UNHEALTHY"}]}]}]});
    let text = exposed(json!({"upstream_health_metrics": true}), &mut [], &engine);
    let of = |state| {
        format!(
            "kong_upstream_target_health{{upstream=\"u\",target=\"a:80\",address=\"10.0.0.1:80\",state=\"{state}\",subsystem=\"http\"}}"
        )
    };
    has(&text, &format!("{} 1", of("unhealthy")));
    has(&text, &format!("{} 0", of("healthy")));
}

#[test]
fn sessions_of_layer_4_have_families_of_their_own_under_the_name_of_their_workspace() {
    let config = json!({"status_code_metrics": true, "latency_metrics": true, "bandwidth_metrics": true});
    let text = exposed(config, &mut [session(), session()], &Value::Null);
    let labels = "service=\"svc.one\",route=\"r\"";
    has(&text, &format!("kong_stream_sessions_total{{{labels},code=\"200\",source=\"service\",workspace=\"blue\"}} 2"));
    has(&text, &format!("kong_session_duration_ms_sum{{{labels},workspace=\"blue\"}} 80"));
    has(&text, &format!("kong_kong_latency_ms_sum{{{labels},workspace=\"blue\"}} 4"));
    has(&text, &format!("kong_bandwidth_bytes{{{labels},direction=\"egress\",workspace=\"blue\",consumer=\"\"}} 400"));
    assert!(!text.contains("kong_request_latency_ms_sum") && !text.contains("kong_http_requests_total{"), "{text}");
}
