//! What Datadog's agent is sent for an exchange: names, types and tags of the metrics.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::People;
use serde_json::json;

use super::PART;
use crate::fixture::{exchange, sent};

#[test]
fn metrics_carry_service_status_and_their_own_tags() {
    let (_, written) = sent(&PART, json!({}), &mut [exchange()]);
    assert_eq!(written.len(), 6);
    assert!(written.contains(&"kong.request.count:1|c|#name:svc_one,status:200,app:kong".to_owned()), "{written:#?}");
    assert!(written.contains(&"kong.upstream_latency:30|ms|#name:svc_one,status:200,app:kong".to_owned()));
}

#[test]
fn the_route_is_a_tag_where_one_is_named() {
    let metrics = json!([{"name": "request_size", "stat_type": "gauge", "sample_rate": 1, "tags": []}]);
    let (_, written) = sent(&PART, json!({"metrics": metrics, "route_name_tag": "route"}), &mut [exchange()]);
    assert!(written[0].contains(",status:200,route:"), "{written:?}");
}

#[test]
fn a_consumer_is_a_tag_and_dashes_of_its_id_become_underscores() {
    let mut x = exchange();
    x.consumer = Some(People::consumer("ada"));
    let id = x.consumer.as_ref().unwrap().id.to_string().replace('-', "_");
    let metrics =
        json!([{"name": "latency", "stat_type": "distribution", "consumer_identifier": "consumer_id", "tags": []}]);
    let (_, written) = sent(&PART, json!({"metrics": metrics}), &mut [x]);
    assert_eq!(written, [format!("kong.latency:40|d|#name:svc_one,status:200,consumer:{id}")]);
}

#[test]
fn of_a_metric_with_a_rate_only_that_share_is_sent() {
    let metrics = json!([{"name": "request_count", "stat_type": "counter", "sample_rate": 0.5}]);
    let mut exchanges: Vec<_> = (0..200).map(|_| exchange()).collect();
    let (_, written) = sent(&PART, json!({"metrics": metrics}), &mut exchanges);
    assert!((50..150).contains(&written.len()), "{} of 200", written.len());
    assert!(written[0].starts_with("kong.request.count:1|c|@0.5|#"), "{}", written[0]);
}
