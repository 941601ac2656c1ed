//! What the log server receives: one entry or a batch, with which address and credentials.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};

use gibbon_pdk::{OutcallRequest, OutcallResponse};
use gibbon_rig::{Rig, refused};
use serde_json::{Value, json};

use super::PART;
use crate::fixture::exchange;

fn requests(config: Value, exchanges: usize, status: u16) -> (Vec<OutcallRequest>, Result<(), String>) {
    let rig = Rig::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tell = seen.clone();
    rig.http.answer(move |request| {
        tell.lock().unwrap().push(request);
        Ok(OutcallResponse { status, headers: Default::default(), body: Default::default() })
    });
    let handler = rig.handler(&PART, config);
    for _ in 0..exchanges {
        rig.log(&*handler, &mut exchange());
    }
    let outcome = rig.queues.get("").deliver();
    let seen = seen.lock().unwrap().clone();
    (seen, outcome)
}

#[test]
fn certificates_are_verified_if_that_is_asked_for() {
    let verify = |config: Value| requests(config, 1, 200).0[0].tls.verify;
    assert!(!verify(json!({"http_endpoint": "https://log.test/"})));
    assert!(verify(json!({"http_endpoint": "https://log.test/", "ssl_verify": true})));
}

#[test]
fn an_entry_is_posted_with_the_urls_credentials_and_without_its_query() {
    let config = json!({"http_endpoint": "http://u:p@log.test/in?k=v", "headers": {"X-Log": "1"}});
    let (seen, outcome) = requests(config, 1, 200);
    let request = &seen[0];
    assert_eq!((outcome, request.url.as_str(), request.method.as_str()), (Ok(()), "http://log.test/in", "POST"));
    assert_eq!(request.headers.get_str("authorization"), Some("Basic dTpw"));
    assert_eq!(request.headers.get_str("content-type"), Some("application/json"));
    assert_eq!(request.headers.get_str("x-log"), Some("1"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["source"], &body["service"]["name"]), (&json!("upstream"), &json!("svc.one")));
    assert!(body["route"].get("methods").is_none(), "null fields are left out");
}

#[test]
fn batches_are_arrays() {
    let (seen, _) = requests(json!({"http_endpoint": "http://log.test", "queue": {"max_batch_size": 5}}), 2, 201);
    let body: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(body.as_array().map(Vec::len), Some(2));
}

#[test]
fn anything_from_300_on_is_a_failure() {
    let (_, outcome) = requests(json!({"http_endpoint": "http://log.test"}), 1, 302);
    assert_eq!(outcome, Err("request to log server returned status code 302".to_owned()));
}

#[test]
fn older_queue_settings_count_where_they_differ_from_their_defaults() {
    let rig = Rig::new();
    let config = json!({"http_endpoint": "http://log.test", "queue_size": 7, "flush_timeout": 2});
    rig.handler(&PART, config);
    let settings = rig.queues.get("").settings.clone();
    assert_eq!((settings.max_batch_size, settings.max_coalescing_delay.as_secs()), (7, 1));
}

#[test]
fn an_authorization_header_beside_credentials_is_refused() {
    let config = json!({"http_endpoint": "http://u:p@log.test", "headers": {"Authorization": "x"}});
    assert!(refused(&PART, config).to_string().contains("Authorization"));
}

#[test]
fn configurations_that_send_alike_share_a_queue_whose_name_tells_no_secret() {
    let rig = Rig::new();
    let alike = json!({"http_endpoint": "http://u:secret@log.test/in", "headers": {"X-Key": "hidden"}});
    let other = json!({"http_endpoint": "http://u:secret@log.test/in", "headers": {"X-Key": "another"}});
    for config in [&alike, &alike, &other] {
        rig.handler(&PART, config.clone());
    }
    let names = rig.queues.names();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("http-log:http://log.test:") && !name.contains("secret")));
}
