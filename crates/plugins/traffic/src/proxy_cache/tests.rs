//! Which answers are kept, for whom and for how long they are given again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use gibbon_message::Method;
use gibbon_pdk::{AdminCall, Exchange, Handler, ReplyBody, Store as _};
use gibbon_rig::{Ended, People, Rig, refused, request};
use serde_json::{Value, json};

use super::PART;

struct Cached {
    rig: Rig,
    handler: Arc<dyn Handler>,
}

/// What a client got: status of the cache, body, and the whole exchange.
struct Got {
    cache: Option<String>,
    body: String,
    x: Exchange,
    from_upstream: bool,
}

impl Cached {
    fn with(config: Value) -> Self {
        let mut whole = json!({"strategy": "memory"});
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let rig = Rig::new();
        let handler = rig.handler(&PART, whole);
        Cached { rig, handler }
    }

    fn get(&self, line: &str, headers: &[(&str, &str)]) -> Got {
        self.answered(request(line, headers), 200, &[("Content-Type", "application/json")], &["[1,", "2]"])
    }

    /// Serves a request; the upstream, if it is asked, answers like this.
    fn answered(&self, mut x: Exchange, status: u16, headers: &[(&str, &str)], body: &[&str]) -> Got {
        let header = |x: &Exchange| x.added_headers.get_str("X-Cache-Status").map(str::to_owned);
        match self.rig.access(&*self.handler, &mut x) {
            Ended::Next => {
                self.rig.answer(&*self.handler, &mut x, status, headers);
                let body = self.rig.body(&*self.handler, &mut x, body);
                let cache = x.response.headers.get_str("X-Cache-Status").map(str::to_owned);
                Got { cache, body, x, from_upstream: true }
            }
            Ended::Reply(reply) => {
                let body = match &reply.body {
                    ReplyBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    _ => String::new(),
                };
                x.response.status = reply.status;
                x.response.headers = reply.headers.clone();
                Got { cache: header(&x), body, x, from_upstream: false }
            }
            Ended::Fault(fault) => panic!("{fault:?}"),
        }
    }

    fn statuses(&self, lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| self.get(line, &[]).cache.unwrap()).collect()
    }
}

#[test]
fn an_answer_is_given_again_until_it_is_too_old() {
    let cached = Cached::with(json!({"cache_ttl": 10}));
    let first = cached.get("GET /a", &[]);
    assert_eq!((first.cache.as_deref(), first.from_upstream), (Some("Miss"), true));
    cached.rig.clock.advance(Duration::from_secs(5));
    let again = cached.get("GET /a", &[]);
    assert_eq!((again.cache.as_deref(), again.from_upstream), (Some("Hit"), false));
    assert_eq!(again.body, "[1,2]");
    assert_eq!(again.x.response.headers.get_str("age"), Some("5"));
    assert_eq!(again.x.response.headers.get_str("content-type"), Some("application/json"));
    assert_eq!(again.x.added_headers.get("X-Cache-Key").unwrap().len(), 64);
    cached.rig.clock.advance(Duration::from_secs(5));
    assert_eq!(cached.get("GET /a", &[]).cache.as_deref(), Some("Miss"));
}

#[test]
fn an_answer_may_be_kept_for_longer_than_it_is_given_again() {
    let cached = Cached::with(json!({"cache_ttl": 10, "storage_ttl": 100}));
    cached.get("GET /a", &[]);
    cached.rig.clock.advance(Duration::from_secs(11));
    assert_eq!(cached.statuses(&["GET /a", "GET /a"]), ["Refresh", "Hit"]);
}

#[test]
fn methods_statuses_and_media_types_decide_what_is_kept() {
    let cached = Cached::with(json!({"response_code": [200], "content_type": ["text/*"]}));
    let post = cached.get("POST /", &[]);
    assert_eq!((post.cache.as_deref(), post.x.added_headers.contains("X-Cache-Key")), (Some("Bypass"), false));
    let answered = |line: &str, status, kind: &str| {
        cached.answered(request(line, &[]), status, &[("Content-Type", kind)], &["x"]).cache.unwrap()
    };
    assert_eq!(answered("GET /404", 404, "text/plain"), "Bypass");
    assert_eq!(answered("GET /json", 200, "application/json"), "Bypass");
    assert_eq!(answered("GET /charset", 200, "text/html; charset=utf-8"), "Bypass");
    assert_eq!([answered("GET /ok", 200, "text/html"), answered("GET /ok", 200, "text/html")], ["Miss", "Hit"]);
}

#[test]
fn consumers_do_not_see_each_others_answers() {
    let cached = Cached::with(json!({}));
    let as_consumer = |name: &str| {
        let mut x = request("GET /", &[]);
        x.matched = Some(route());
        x.consumer = Some(People::consumer(name));
        cached.answered(x, 200, &[("Content-Type", "text/plain")], &[name])
    };
    as_consumer("alice");
    assert_eq!(as_consumer("bob").cache.as_deref(), Some("Miss"));
    assert_eq!(as_consumer("alice").body, "alice");
}

fn route() -> std::rc::Rc<gibbon_pdk::Matched> {
    let route = gibbon_pdk::Route {
        id: uuid::Uuid::nil(),
        id_text: "r".into(),
        name: None,
        workspace: uuid::Uuid::nil(),
        protocols: gibbon_pdk::Protocols::default(),
        https_redirect_status_code: 426,
        strip_path: false,
        preserve_host: false,
        path_handling: gibbon_pdk::PathHandling::V0,
        request_buffering: true,
        response_buffering: true,
        service: None,
        document: gibbon_pdk::Document::new(&json!({})),
    };
    std::rc::Rc::new(gibbon_pdk::Matched { route: Arc::new(route), service: None, workspace: None })
}

#[test]
fn what_belongs_to_one_client_or_connection_is_not_given_again() {
    let cached = Cached::with(json!({}));
    let headers = [
        ("Content-Type", "text/plain"),
        ("Keep-Alive", "timeout=5"),
        ("X-RateLimit-Remaining-Hour", "3"),
        ("X-RateLimit-Limit-Hour", "9"),
        ("Content-Length", "1"),
        ("Age", "77"),
    ];
    cached.answered(request("GET /", &[]), 200, &headers, &["x"]);
    let again = cached.get("GET /", &[]);
    let names: Vec<String> =
        again.x.response.headers.iter().map(|(n, _)| String::from_utf8_lossy(n).into_owned()).collect();
    assert_eq!(names, ["Content-Type", "X-RateLimit-Limit-Hour", "age"]);
    assert_eq!(again.x.response.headers.get_str("age"), Some("0"));
}

mod cache_control {
    use super::*;

    fn obeying() -> Cached {
        Cached::with(json!({"cache_control": true, "cache_ttl": 60}))
    }

    fn serve(cached: &Cached, line: &str, wish: &str, answer: &str) -> Option<String> {
        let wishes = [("Cache-Control", wish)];
        let x = request(line, if wish.is_empty() { &[] } else { &wishes });
        let mut headers = vec![("Content-Type", "application/json")];
        if !answer.is_empty() {
            headers.push(("Cache-Control", answer));
        }
        cached.answered(x, 200, &headers, &["x"]).cache
    }

    #[test]
    fn answers_say_whether_and_how_long_they_may_be_kept() {
        let cached = obeying();
        for (answer, expected) in [
            ("max-age=60", ["Miss", "Hit"]),
            ("s-maxage=9", ["Miss", "Hit"]),
            ("no-store", ["Bypass", "Bypass"]),
            ("private", ["Bypass", "Bypass"]),
            ("", ["Bypass", "Bypass"]),
        ] {
            let line = format!("GET /{answer}");
            let got = [serve(&cached, &line, "", answer), serve(&cached, &line, "", answer)];
            assert_eq!(got.map(Option::unwrap), expected, "{answer}");
        }
    }

    #[test]
    fn requests_say_what_they_take() {
        let cached = obeying();
        serve(&cached, "GET /", "", "max-age=60");
        cached.rig.clock.advance(Duration::from_secs(2));
        let ask = |wish: &str| serve(&cached, "GET /", wish, "max-age=60").unwrap();
        assert_eq!(ask("no-cache"), "Bypass");
        assert_eq!(ask("no-store"), "Bypass");
        assert_eq!(ask("max-age=2"), "Hit");
        assert_eq!(ask("min-fresh=58"), "Hit");
        assert_eq!(ask("max-age=1"), "Refresh");
        assert_eq!(ask("min-fresh=61"), "Refresh");
    }

    #[test]
    fn who_wants_a_cached_answer_or_none_gets_504() {
        let cached = obeying();
        let reply = cached.answered(request("GET /", &[("Cache-Control", "only-if-cached")]), 200, &[], &[]);
        assert_eq!((reply.x.response.status, reply.cache, reply.from_upstream), (504, None, false));
        assert!(reply.x.added_headers.contains("X-Cache-Key"));
    }
}

#[test]
fn headers_about_the_cache_can_be_left_out_and_asked_for() {
    let cached =
        Cached::with(json!({"response_headers": {"age": false, "X-Cache-Status": false, "X-Cache-Key": false}}));
    cached.get("GET /", &[]);
    let silent = cached.get("GET /", &[]);
    assert_eq!((silent.cache, silent.x.added_headers.len()), (None, 0));
    assert!(!silent.x.response.headers.contains("age"));
    let asked = cached.get("GET /", &[("Kong-Debug", "1")]);
    assert_eq!(asked.cache.as_deref(), Some("Hit"));
    assert!(asked.x.response.headers.contains("age") && asked.x.added_headers.contains("x-cache-key"));
}

#[test]
fn the_admin_api_can_look_at_answers_and_forget_them() {
    let cached = Cached::with(json!({}));
    let first = cached.get("GET /", &[]);
    let key = first.x.added_headers.get_str("X-Cache-Key").unwrap().to_owned();
    let plugin = uuid::Uuid::from_bytes([1; 16]);
    let rig = &cached.rig;
    let (_, paths) = super::admin_paths(&rig.state, rig.clock.clone(), rig.store.clone(), rig.random.clone());
    let call = |method, path: &str| {
        let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        gibbon_rig::run(paths.answer(AdminCall { method, path, query: vec![], body: Value::Null }))
    };
    let status = |method, path: &str| call(method, path).map(|answer| answer.status);

    let record = call(Method::Get, &key).unwrap().body.unwrap();
    assert_eq!((&record["status"], &record["body"], &record["body_len"]), (&json!(200), &json!("[1,2]"), &json!(5)));
    assert_eq!(record["headers"], json!({"Content-Type": "application/json"}));
    assert_eq!(status(Method::Get, &format!("{plugin}/caches/{key}")), Some(200));
    assert_eq!(status(Method::Get, &format!("{}/caches/{key}", uuid::Uuid::nil())), Some(404));
    assert_eq!((status(Method::Get, "nope"), status(Method::Delete, "nope")), (Some(404), Some(404)));
    assert_eq!((status(Method::Post, &key), status(Method::Get, "a/b")), (Some(405), None));

    assert_eq!((status(Method::Delete, &key), status(Method::Delete, &key)), (Some(204), Some(404)));
    assert_eq!(cached.statuses(&["GET /", "GET /"]), ["Miss", "Hit"]);
    assert_eq!(status(Method::Delete, &format!("{plugin}/caches/{key}")), Some(204));
    assert_eq!(cached.statuses(&["GET /", "GET /"]), ["Miss", "Hit"]);
    assert_eq!(status(Method::Delete, ""), Some(204));
    assert_eq!(cached.statuses(&["GET /"]), ["Miss"]);

    // The other nodes of the datastore are told, and do the same.
    let told = gibbon_rig::run(rig.store.list("cluster_events", "channel", "proxy-cache:purge")).unwrap();
    let mut told: Vec<&str> = told.iter().map(|event| event["data"].as_str().unwrap()).collect();
    told.sort_unstable();
    let of_plugin = format!("{plugin} {key}");
    let mut expected = vec!["", "nope", &of_plugin, &key, &key];
    expected.sort_unstable();
    assert_eq!(told, expected);
    for what in ["", &key, &of_plugin] {
        assert_eq!(cached.statuses(&["GET /"]), ["Hit"]);
        super::hear(&rig.state, "another:channel", what);
        assert_eq!(cached.statuses(&["GET /"]), ["Hit"]);
        super::hear(&rig.state, "proxy-cache:purge", what);
        assert_eq!(cached.statuses(&["GET /"]), ["Miss"], "{what}");
    }
}

#[test]
fn a_strategy_is_needed() {
    let faults = refused(&PART, json!({"cache_ttl": -1}));
    assert_eq!(
        faults["config"],
        json!({"cache_ttl": "value must be greater than 0", "strategy": "required field missing"})
    );
}
