//! The packets of an exchange: metrics, dialects of tags, and how lines share a packet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::Metrics;
use gibbon_rig::People;
use serde_json::json;

use super::PART;
use super::handler::packets;
use crate::fixture::{Peer, exchange, sent, session};

#[test]
fn the_usual_metrics_of_an_exchange_without_consumer() {
    let (_, mut written) = sent(&PART, json!({}), &mut [exchange()]);
    written.sort();
    let nil = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        written,
        [
            "kong.service.svc_one.kong_latency:10|ms",
            "kong.service.svc_one.latency:40|ms",
            "kong.service.svc_one.request.count:1|c",
            "kong.service.svc_one.request.size:100|c",
            "kong.service.svc_one.response.size:200|c",
            "kong.service.svc_one.status.200:1|c",
            "kong.service.svc_one.upstream_latency:30|ms",
            &format!("kong.service.svc_one.workspace.{nil}.status.200:1|c"),
        ]
    );
}

#[test]
fn a_consumer_has_metrics_of_its_own() {
    let mut x = exchange();
    x.consumer = Some(People::consumer("ada"));
    let (_, written) = sent(&PART, json!({"consumer_identifier_default": "username"}), &mut [x]);
    for line in ["kong.service.svc_one.user.uniques:ada|s", "kong.service.svc_one.user.ada.request.count:1|c"] {
        assert!(written.iter().any(|l| l == line), "{line} is missing in {written:#?}");
    }
}

#[test]
fn tags_come_in_four_dialects() {
    let line = |style: &str| {
        let metrics = json!([{"name": "request_count", "stat_type": "counter", "sample_rate": 1}]);
        let config = json!({"tag_style": style, "workspace_identifier_default": "workspace_name", "metrics": metrics});
        sent(&PART, config, &mut [exchange()]).1.remove(0)
    };
    assert!(line("dogstatsd").starts_with("kong.request.count:1|c|#service:svc_one,route:r,workspace:default,node:"));
    assert!(line("influxdb").starts_with("kong.request.count,service=svc_one,route=r,"));
    assert!(line("librato").starts_with("kong.request.count#service=svc_one,"));
    assert!(line("signalfx").starts_with("kong.request.count[service=svc_one,"));
}

#[test]
fn statuses_outside_the_allowed_ranges_are_not_sent() {
    let mut failed = exchange();
    failed.response.status = 500;
    let metrics = json!([{"name": "request_count", "stat_type": "counter", "sample_rate": 1}]);
    let config = json!({"allow_status_codes": ["200-204"], "metrics": metrics});
    assert_eq!(sent(&PART, config, &mut [failed, exchange()]).1.len(), 1);
}

#[test]
fn lines_share_a_packet_up_to_its_size() {
    let lines = ["aaa", "bbb", "ccc"].map(str::as_bytes);
    assert_eq!(packets(lines.into_iter(), 7), [b"aaa\nbbb".to_vec(), b"ccc".to_vec()]);
    assert_eq!(packets(lines.into_iter(), 0).len(), 3);
}

#[test]
fn what_counts_users_and_statuses_has_its_own_type_and_workspaces_have_names() {
    let metrics = json!([{"name": "status_count_per_workspace", "stat_type": "timer"},
        {"name": "status_count", "stat_type": "gauge", "sample_rate": 1}]);
    let config = json!({"workspace_identifier_default": "workspace_name", "metrics": metrics});
    let (_, written) = sent(&PART, config, &mut [session()]);
    assert_eq!(written, ["kong.service.svc_one.workspace.blue.status.200:1|c", "kong.service.svc_one.status.200:1|c"]);
}

/// A node with one dictionary.
struct Dictionary;

impl Metrics for Dictionary {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}

    fn engine_snapshot(&self) -> serde_json::Value {
        json!({"dictionaries": {"kong": {"capacity": 100, "free_space": 60}}})
    }
}

#[test]
fn sizes_of_dictionaries_are_sent_once_a_minute() {
    let metrics = json!([{"name": "shdict_usage", "stat_type": "gauge", "sample_rate": 1}]);
    let mut rig = gibbon_rig::Rig::new();
    rig.host.metrics = std::sync::Arc::new(Dictionary);
    let peer = std::sync::Arc::new(Peer::default());
    let handler = rig.handler_of(&PART, json!({"metrics": metrics}), |build| build.dial = peer.clone());
    for (seconds, lines) in [(1, 2), (30, 2), (61, 4)] {
        rig.clock.advance(std::time::Duration::from_secs(seconds));
        rig.log(&*handler, &mut exchange());
        rig.queues.get("").deliver().unwrap();
        assert_eq!(peer.written.lock().unwrap().len(), lines, "after {seconds} seconds more");
    }
    let written = peer.written.lock().unwrap().clone();
    let (begin, end) = written[0].split_once(".shdict.").unwrap();
    assert!(begin.starts_with("kong.node.") && end == "kong.free_space:60|g", "{written:?}");
    assert!(written[1].ends_with(".shdict.kong.capacity:100|g"));
}
