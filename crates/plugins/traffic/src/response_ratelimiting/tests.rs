//! What answers cost, where that is counted, and when nothing is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gibbon_pdk::{Exchange, Handler, ReplyBody};
use gibbon_rig::{Ended, Rig, refused, request};
use serde_json::{Value, json};

use super::PART;

struct Limited {
    rig: Rig,
    handler: Arc<dyn Handler>,
}

impl Limited {
    fn by(config: Value) -> Self {
        let rig = Rig::new();
        let handler = rig.handler(&PART, config);
        Limited { rig, handler }
    }

    /// A whole exchange whose answer has these headers; `None` if it did not get that far.
    fn serve(&self, headers: &[(&str, &str)]) -> Option<Exchange> {
        let mut x = request("GET /", &[]);
        if !self.rig.access(&*self.handler, &mut x).is_next() {
            return None;
        }
        self.rig.answer(&*self.handler, &mut x, 200, headers);
        Some(x)
    }
}

fn header<'a>(x: &'a Exchange, name: &str) -> Option<&'a str> {
    x.response.headers.get_str(name)
}

#[test]
fn upstreams_say_what_an_answer_costs() {
    let limited = Limited::by(json!({"limits": {"video": {"minute": 5, "hour": 9}}}));
    let x = limited.serve(&[("X-Kong-Limit", "video=2")]).unwrap();
    assert_eq!(header(&x, "X-Kong-Limit"), None, "clients do not see costs");
    assert_eq!(header(&x, "X-RateLimit-Remaining-video"), Some("5"), "before the answer");
    assert_eq!(header(&x, "X-RateLimit-Limit-video-minute"), Some("5"));
    assert_eq!(header(&x, "X-RateLimit-Remaining-video-minute"), Some("3"));
    assert_eq!(header(&x, "X-RateLimit-Remaining-video-hour"), Some("7"));
    let x = limited.serve(&[]).unwrap();
    assert_eq!(header(&x, "X-RateLimit-Remaining-video-minute"), Some("3"), "costs nothing");
}

#[test]
fn an_answer_that_costs_more_than_nothing_is_refused_when_nothing_is_left() {
    let limited = Limited::by(json!({"limits": {"a": {"hour": 3}}}));
    assert_eq!(limited.serve(&[("x-kong-limit", "a=5")]).unwrap().response.status, 200, "it may overshoot once");
    let x = limited.serve(&[("x-kong-limit", "a=1")]).unwrap();
    assert_eq!((x.response.status, x.replacement_body.as_deref()), (429, Some(&b""[..])));
    assert_eq!(limited.serve(&[]).unwrap().response.status, 200, "free answers still pass");
}

#[test]
fn requests_can_be_refused_before_they_reach_the_upstream() {
    let limited =
        Limited::by(json!({"block_on_first_violation": true, "limits": {"a": {"hour": 1}, "b": {"hour": 9}}}));
    limited.serve(&[("X-Kong-Limit", "a=1")]).unwrap();
    match limited.rig.access(&*limited.handler, &mut request("GET /", &[])) {
        Ended::Reply(reply) => {
            assert_eq!(reply.status, 429);
            assert!(matches!(reply.body, ReplyBody::Error(Some(m)) if m == "API rate limit exceeded for 'a'"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_hidden_are_the_headers_of_periods() {
    let limited =
        Limited::by(json!({"hide_client_headers": true, "header_name": "X-Cost", "limits": {"a": {"hour": 1}}}));
    for _ in 0..2 {
        let x = limited.serve(&[("X-Cost", "a")]).unwrap();
        assert_eq!(header(&x, "X-RateLimit-Remaining-a"), Some("1"), "a name without a number costs nothing");
        assert_eq!((header(&x, "X-RateLimit-Limit-a-hour"), header(&x, "X-Cost")), (None, None));
    }
}

#[test]
fn shared_counts_are_read_before_and_written_behind() {
    let redis = json!({"policy": "redis", "redis": {"host": "r.test"}, "limits": {"a": {"minute": 2, "hour": 9}}});
    let cluster = json!({"policy": "cluster", "limits": {"a": {"minute": 2, "hour": 9}}});
    for config in [redis, cluster] {
        let limited = Limited::by(config);
        limited.serve(&[("X-Kong-Limit", "a=2")]).unwrap();
        limited.rig.queues.get("counts/").deliver().unwrap();
        let x = limited.serve(&[("X-Kong-Limit", "a=1")]).unwrap();
        assert_eq!((x.response.status, header(&x, "X-RateLimit-Remaining-a")), (429, Some("0")));
        assert!(limited.rig.queues.get("counts/").is_empty(), "a refused answer costs nothing");
    }
}

#[test]
fn shared_keys_are_named_as_other_nodes_name_them() {
    let config = json!({"policy": "redis", "redis": {"host": "r.test"}, "limits": {"a": {"minute": 2}}});
    let limited = Limited::by(config);
    limited.serve(&[("X-Kong-Limit", "a=2")]).unwrap();
    limited.rig.queues.get("counts/").deliver().unwrap();
    let entries = limited.rig.kv.entries();
    let nil = "00000000-0000-0000-0000-000000000000";
    let key = format!("response-ratelimit:{nil}:{nil}:10.0.0.1:1709213820000:a:minute");
    assert_eq!(entries.get(&key), Some(&("2".to_owned(), Some(60))));
}

#[test]
fn counts_that_cannot_be_reached_let_requests_pass_or_fail_them() {
    let config = |tolerant| json!({"policy": "redis", "redis": {"host": "r.test"}, "fault_tolerant": tolerant, "limits": {"a": {"hour": 1}}});
    let tolerant = Limited::by(config(true));
    tolerant.rig.kv.down.store(true, Ordering::SeqCst);
    let x = tolerant.serve(&[("X-Kong-Limit", "a=1")]).unwrap();
    assert_eq!((header(&x, "X-Kong-Limit"), header(&x, "X-RateLimit-Remaining-a")), (None, None));
    let strict = Limited::by(config(false));
    strict.rig.kv.down.store(true, Ordering::SeqCst);
    assert_eq!(strict.rig.access(&*strict.handler, &mut request("GET /", &[])).fault().status(), 500);
}

#[test]
fn limits_are_checked_one_by_one() {
    let faults = |limits| refused(&PART, json!({"limits": limits}))["config"]["limits"].clone();
    assert_eq!(
        faults(json!({"a": {"minute": 9, "hour": 1}})),
        "The limit for hour(1.0) cannot be lower than the limit for minute(9.0)"
    );
    let missing = "at least one of these fields must be non-empty: 'second', 'minute', 'hour', 'day', 'month', 'year'";
    assert_eq!(faults(json!({"a": {}}))["@entity"], json!([missing]));
    assert_eq!(refused(&PART, json!({}))["config"]["limits"], "required field missing");
    assert_eq!(faults(json!({})), "length must be at least 1");
}
