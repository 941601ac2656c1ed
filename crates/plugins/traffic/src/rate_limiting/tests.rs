//! Who is counted together, when a period ends, and what clients are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gibbon_pdk::{Exchange, Handler, ReplyBody};
use gibbon_rig::{Ended, People, Rig, accepted, refused, request};
use serde_json::{Value, json};
use uuid::Uuid;

use super::PART;

/// Status and message of a refusal, `None` for a request that passes.
fn outcome(ended: Ended) -> Option<(u16, String)> {
    match ended {
        Ended::Next => None,
        Ended::Reply(reply) => match reply.body {
            ReplyBody::Error(Some(message)) => Some((reply.status, message.into_owned())),
            other => panic!("{other:?}"),
        },
        Ended::Fault(fault) => Some((fault.status(), fault.to_string())),
    }
}

fn exceeded() -> Option<(u16, String)> {
    Some((429, "API rate limit exceeded".to_owned()))
}

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

    fn send(&self, x: &mut Exchange) -> Option<(u16, String)> {
        outcome(self.rig.access(&*self.handler, x))
    }

    fn get(&self) -> Option<(u16, String)> {
        self.send(&mut request("GET /", &[]))
    }
}

/// The headers about limits that an answer would carry, by name.
fn shown(x: &Exchange) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    x.added_headers.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn clients_are_told_of_each_period_and_of_the_tightest() {
    // The clock stands at 13:37:42.123 UTC.
    let limited = Limited::by(json!({"hour": 2, "day": 5}));
    let mut x = request("GET /", &[]);
    assert_eq!(limited.send(&mut x), None);
    let expected = [
        pair("X-RateLimit-Limit-Hour", "2"),
        pair("X-RateLimit-Remaining-Hour", "1"),
        pair("X-RateLimit-Limit-Day", "5"),
        pair("X-RateLimit-Remaining-Day", "4"),
        pair("RateLimit-Limit", "2"),
        pair("RateLimit-Remaining", "1"),
        pair("RateLimit-Reset", "1338"),
    ];
    assert_eq!(shown(&x), expected);
    assert_eq!(limited.get(), None);

    let mut x = request("GET /", &[]);
    let reply = limited.rig.access(&*limited.handler, &mut x).reply();
    assert_eq!(reply.headers.get_str("retry-after"), Some("1338"));
    let expected = [
        pair("X-RateLimit-Limit-Hour", "2"),
        pair("X-RateLimit-Remaining-Hour", "0"),
        pair("X-RateLimit-Limit-Day", "5"),
        pair("X-RateLimit-Remaining-Day", "3"),
        pair("RateLimit-Limit", "2"),
        pair("RateLimit-Remaining", "0"),
        pair("RateLimit-Reset", "1338"),
    ];
    assert_eq!(shown(&x), expected);
}

#[test]
fn a_period_that_begins_anew_has_room_again() {
    let limited = Limited::by(json!({"minute": 1}));
    assert_eq!((limited.get(), limited.get()), (None, exceeded()));
    limited.rig.clock.advance(Duration::from_secs(18));
    assert_eq!((limited.get(), limited.get()), (None, exceeded()));
}

#[test]
fn headers_can_be_hidden_and_refusals_worded() {
    let limited =
        Limited::by(json!({"hour": 1, "hide_client_headers": true, "error_code": 503, "error_message": "slower"}));
    let mut x = request("GET /", &[]);
    assert_eq!(limited.send(&mut x), None);
    assert_eq!(shown(&x), []);
    let reply = limited.rig.access(&*limited.handler, &mut x).reply();
    assert!(reply.headers.is_empty());
    assert_eq!(outcome(Ended::Reply(Box::new(reply))), Some((503, "slower".to_owned())));
}

#[test]
fn limits_need_not_be_whole_numbers() {
    let limited = Limited::by(json!({"hour": 1.5}));
    let mut x = request("GET /", &[]);
    assert_eq!(limited.send(&mut x), None);
    assert_eq!(x.added_headers.get_str("ratelimit-limit"), Some("1.5"));
    assert_eq!(x.added_headers.get_str("ratelimit-remaining"), Some("0.5"));
    assert_eq!((limited.get(), limited.get()), (None, exceeded()));
}

#[test]
fn consumers_are_told_apart_and_strangers_by_address() {
    let limited = Limited::by(json!({"hour": 1}));
    let from = |name: &str| {
        let mut x = request("GET /", &[]);
        x.consumer = Some(People::consumer(name));
        x
    };
    assert_eq!((limited.send(&mut from("alice")), limited.send(&mut from("bob"))), (None, None));
    assert_eq!(limited.send(&mut from("alice")), exceeded());
    assert_eq!((limited.get(), limited.get()), (None, exceeded()));
    let mut elsewhere = request("GET /", &[]);
    elsewhere.client.ip = "::1".parse().unwrap();
    assert_eq!(limited.send(&mut elsewhere), None);
}

#[test]
fn a_consumer_may_be_limited_by_each_of_its_credentials() {
    let limited = Limited::by(json!({"hour": 1, "limit_by": "credential"}));
    let alice = People::consumer("alice");
    let with = |key: &str| {
        let mut x = request("GET /", &[]);
        x.consumer = Some(Arc::clone(&alice));
        x.credential = Some(People::credential(key, &alice, &[]));
        x
    };
    assert_eq!((limited.send(&mut with("k1")), limited.send(&mut with("k2"))), (None, None));
    assert_eq!(limited.send(&mut with("k1")), exceeded());
}

#[test]
fn a_header_tells_requests_apart_where_there_is_one() {
    let limited = Limited::by(json!({"hour": 1, "limit_by": "header", "header_name": "X-Tenant"}));
    let of = |tenant: &str| request("GET /", &[("x-tenant", tenant)]);
    assert_eq!((limited.send(&mut of("a")), limited.send(&mut of("b"))), (None, None));
    assert_eq!(limited.send(&mut of("a")), exceeded());
    // Whoever spells an address in the header does not use up what that address has.
    assert_eq!((limited.send(&mut of("10.0.0.1")), limited.get()), (None, None));
}

#[test]
fn one_path_can_be_counted_however_it_is_spelled() {
    let limited = Limited::by(json!({"hour": 1, "limit_by": "path", "path": "/only"}));
    assert_eq!(limited.send(&mut request("GET /only", &[])), None);
    assert_eq!(limited.send(&mut request("GET /o%6Ely?x=1", &[])), exceeded());
    // Other paths count by address.
    assert_eq!(limited.send(&mut request("GET /only/x", &[])), None);
    assert_eq!(limited.send(&mut request("GET /other", &[])), exceeded());
}

#[test]
fn configurations_of_the_same_scope_share_counts_and_others_do_not() {
    let rig = Rig::new();
    let first = rig.handler(&PART, json!({"hour": 1}));
    let changed = rig.handler(&PART, json!({"hour": 2}));
    let elsewhere = rig.handler_of(&PART, json!({"hour": 1}), |build| build.route = Some(Uuid::from_bytes([7; 16])));
    let send = |handler: &dyn Handler| outcome(rig.access(handler, &mut request("GET /", &[])));
    assert_eq!((send(&*first), send(&*first)), (None, exceeded()));
    assert_eq!((send(&*changed), send(&*changed)), (None, exceeded()), "one was used before");
    assert_eq!(send(&*elsewhere), None);
}

#[test]
fn four_workers_together_admit_exactly_the_limit() {
    let limited = Limited::by(json!({"hour": 1000}));
    let handler = &limited.handler;
    let admitted: usize = std::thread::scope(|scope| {
        let worker = || {
            let rig = Rig::new();
            (0..500).filter(|_| rig.access(&**handler, &mut request("GET /", &[])).is_next()).count()
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1000);
}

#[test]
fn local_counts_are_decided_at_once() {
    let limited = Limited::by(json!({"hour": 1}));
    assert!(limited.rig.answers_at_once(&*limited.handler, &mut request("GET /", &[])));
}

mod cluster {
    use super::*;

    #[test]
    fn nodes_share_counts_in_the_datastore_and_refused_requests_are_given_back() {
        let limited = Limited::by(json!({"minute": 1, "hour": 3, "policy": "cluster"}));
        assert_eq!((limited.get(), limited.get()), (None, exceeded()));
        let counters = limited.rig.store.counters();
        assert_eq!(counters.values().copied().collect::<Vec<_>>(), [1, 1]);
        let nil = Uuid::nil();
        let key = format!("ratelimit:{nil}:{nil}:10.0.0.1:1709213820000:minute");
        assert!(counters.contains_key(&key), "{counters:?}");
        limited.rig.clock.advance(Duration::from_secs(60));
        assert_eq!((limited.get(), limited.get()), (None, exceeded()));
    }

    #[test]
    fn without_a_datastore_it_is_refused() {
        let rig = Rig::new();
        rig.store.absent.store(true, Ordering::SeqCst);
        let refusal = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            rig.handler(&PART, json!({"hour": 1, "policy": "cluster"}))
        }));
        let message = *refusal.err().unwrap().downcast::<String>().unwrap();
        assert!(message.contains("policy 'cluster' needs a datastore"), "{message}");
    }

    #[test]
    fn a_store_that_is_away_lets_requests_pass_or_fails_them() {
        let tolerant = Limited::by(json!({"hour": 1, "policy": "cluster"}));
        tolerant.rig.store.down.store(true, Ordering::SeqCst);
        let mut x = request("GET /", &[]);
        assert_eq!((tolerant.send(&mut x), shown(&x)), (None, vec![]));
        let strict = Limited::by(json!({"hour": 1, "policy": "cluster", "fault_tolerant": false}));
        strict.rig.store.down.store(true, Ordering::SeqCst);
        assert_eq!(strict.get().unwrap().0, 500);
    }
}

mod redis {
    use super::*;

    fn config(more: Value) -> Value {
        let mut config = json!({"hour": 2, "policy": "redis", "redis": {"host": "redis.test", "password": "p"}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    }

    #[test]
    fn each_request_is_counted_there_with_the_period_as_time_to_live() {
        let limited = Limited::by(config(json!({})));
        assert_eq!((limited.get(), limited.get(), limited.get()), (None, None, exceeded()));
        let entries = limited.rig.kv.entries();
        let (key, (count, ttl)) = entries.iter().next().unwrap();
        assert!(key.starts_with("ratelimit:") && key.ends_with(":hour"), "{key}");
        assert_eq!((count.as_str(), *ttl), ("3", Some(3600)), "refused requests count too");
        assert_eq!(limited.rig.kv.round_trips.load(Ordering::SeqCst), 3);
        let opened = limited.rig.kv_opened.borrow();
        assert_eq!((opened[0].host.as_str(), opened[0].port), ("redis.test", 6379));
        assert_eq!((opened[0].password.as_deref(), opened[0].timeout), (Some("p"), Duration::from_secs(2)));
    }

    #[test]
    fn a_server_that_is_away_lets_requests_pass_or_fails_them() {
        let tolerant = Limited::by(config(json!({})));
        tolerant.rig.kv.down.store(true, Ordering::SeqCst);
        assert_eq!(tolerant.get(), None);
        let strict = Limited::by(config(json!({"fault_tolerant": false})));
        strict.rig.kv.down.store(true, Ordering::SeqCst);
        assert_eq!(strict.get().unwrap().0, 500);
        strict.rig.kv.down.store(false, Ordering::SeqCst);
        assert_eq!(strict.get(), None, "it comes back by itself");
    }

    #[test]
    fn with_a_sync_rate_only_the_first_request_waits() {
        let limited = Limited::by(config(json!({"hour": 10, "sync_rate": 0.5})));
        assert_eq!(limited.get(), None);
        for _ in 0..3 {
            assert!(limited.rig.answers_at_once(&*limited.handler, &mut request("GET /", &[])));
        }
        assert_eq!(limited.rig.kv.round_trips.load(Ordering::SeqCst), 1, "one look at the counts");
        let queue = limited.rig.queues.get("synced/");
        assert_eq!((queue.len(), queue.settings.max_coalescing_delay), (1, Duration::from_millis(500)));
        queue.deliver().unwrap();
        let entries = limited.rig.kv.entries();
        assert_eq!(entries.values().next().unwrap(), &("4".to_owned(), Some(3600)));
    }

    #[test]
    fn what_other_nodes_admitted_counts_from_the_next_reconciliation() {
        // Two nodes, one server.
        let here = Limited::by(config(json!({"hour": 4, "sync_rate": 1})));
        let mut other = Rig::new();
        other.kv = Arc::clone(&here.rig.kv);
        let there = Limited { handler: other.handler(&PART, config(json!({"hour": 4, "sync_rate": 1}))), rig: other };
        assert_eq!((here.get(), here.get(), there.get()), (None, None, None));
        here.rig.queues.get("synced/").deliver().unwrap();
        there.rig.queues.get("synced/").deliver().unwrap();
        // Three are used, and this node knows of two of them until it reconciles again.
        assert_eq!(there.get(), None);
        assert_eq!(there.get(), exceeded());
        assert_eq!(here.get(), None, "the other node's third and fourth are not known here");
        here.rig.queues.get("synced/").deliver().unwrap();
        assert_eq!(here.get(), exceeded());
    }

    #[test]
    fn a_reconciliation_that_fails_is_made_up_for() {
        let limited = Limited::by(config(json!({"hour": 10, "sync_rate": 1})));
        assert_eq!((limited.get(), limited.get()), (None, None));
        limited.rig.kv.down.store(true, Ordering::SeqCst);
        let queue = limited.rig.queues.get("synced/");
        queue.deliver().unwrap();
        assert_eq!((queue.len(), limited.get()), (1, None), "it is wound up again, and requests go on");
        limited.rig.kv.down.store(false, Ordering::SeqCst);
        queue.deliver().unwrap();
        assert_eq!(limited.rig.kv.entries().values().next().unwrap().0, "3");
        assert!(queue.is_empty());
    }

    #[test]
    fn old_names_of_settings_still_work() {
        let config = accepted(&PART, json!({"hour": 1, "redis_host": "old.test", "redis_port": 7000}));
        assert_eq!((&config["redis"]["host"], &config["redis"]["port"]), (&json!("old.test"), &json!(7000)));
    }
}

mod delay {
    use super::*;

    #[test]
    fn a_request_above_the_limit_waits_for_the_next_period() {
        let limited = Limited::by(json!({"second": 2, "on_limit": "delay"}));
        let start = limited.rig.clock.now_ms();
        assert_eq!((limited.get(), limited.get()), (None, None));
        let mut third = request("GET /", &[]);
        assert_eq!(limited.send(&mut third), None);
        assert_eq!(limited.rig.clock.now_ms() - start, 877, "from .123 to the next second");
        assert_eq!(third.added_headers.get_str("ratelimit-remaining"), Some("1"), "one more has room in that second");
    }

    #[test]
    fn what_would_wait_too_long_is_refused_at_once() {
        let limited = Limited::by(json!({"minute": 1, "on_limit": "delay", "max_delay": 5}));
        let start = limited.rig.clock.now_ms();
        assert_eq!((limited.get(), limited.get()), (None, exceeded()));
        assert_eq!(limited.rig.clock.now_ms(), start);
    }

    #[test]
    fn only_so_many_wait_at_once() {
        let limited = Limited::by(json!({"second": 1, "on_limit": "delay", "max_delayed": 1}));
        assert_eq!(limited.get(), None);
        let (mut waiting, mut refused) = (request("GET /", &[]), request("GET /", &[]));
        let seated = limited.handler.access(&mut waiting, &limited.rig.host);
        assert_eq!(limited.send(&mut refused), exceeded());
        drop(seated);
        assert_eq!(limited.get(), None, "the seat is free again");
    }

    #[test]
    fn shared_counts_are_asked_again_when_the_period_is_over() {
        let redis = json!({"second": 1, "policy": "redis", "redis": {"host": "r.test"}, "on_limit": "delay"});
        for config in [redis, json!({"second": 1, "policy": "cluster", "on_limit": "delay"})] {
            let limited = Limited::by(config);
            let start = limited.rig.clock.now_ms();
            assert_eq!((limited.get(), limited.get()), (None, None));
            assert_eq!(limited.rig.clock.now_ms() - start, 877);
        }
    }
}

mod refusals {
    use super::*;

    fn config_fault(config: Value) -> Value {
        refused(&PART, config)["config"].clone()
    }

    #[test]
    fn a_limit_is_needed() {
        let periods = "'config.second', 'config.minute', 'config.hour', 'config.day', 'config.month', 'config.year'";
        let expected = format!("at least one of these fields must be non-empty: {periods}");
        assert_eq!(refused(&PART, json!({})), json!({"@entity": [expected]}));
        assert_eq!(config_fault(json!({"minute": 0}))["minute"], "value must be greater than 0");
    }

    #[test]
    fn longer_periods_cannot_allow_less() {
        let message = "The limit for hour(5.0) cannot be lower than the limit for minute(10.0)";
        assert_eq!(config_fault(json!({"minute": 10, "hour": 5})), message);
    }

    #[test]
    fn what_requests_are_told_apart_by_must_be_named() {
        let faults = refused(&PART, json!({"minute": 1, "limit_by": "header"}));
        assert_eq!(faults["config"]["header_name"], "required field missing");
        assert_eq!(faults["@entity"], json!(["failed conditional validation given value of field 'config.limit_by'"]));
    }

    #[test]
    fn redis_needs_a_host_and_only_redis_has_a_sync_rate() {
        let faults = refused(&PART, json!({"minute": 1, "policy": "redis"}));
        assert_eq!(faults["config"]["redis"]["host"], "required field missing");
        assert_eq!(
            config_fault(json!({"minute": 1, "sync_rate": 1})),
            "sync_rate can only be used with the redis policy"
        );
        let soon = json!({"minute": 1, "policy": "redis", "redis": {"host": "a"}, "sync_rate": 0.01});
        assert_eq!(config_fault(soon), "sync_rate must be greater than 0.02, or -1 to disable");
    }

    #[test]
    fn settings_of_our_own_are_absent_while_unset() {
        let config = accepted(&PART, json!({"minute": 1}));
        assert!(config.get("on_limit").is_none() && config.get("max_delay").is_none());
        assert!(config["redis"].get("cloud_authentication").is_none());
    }
}
