//! A Lua plugin with entities and Admin paths of its own (`daos.lua`, `api.lua`), through Admin API and gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream::{self, Upstream};
use rig::Rig;
use serde_json::{Value, json};

fn written() -> String {
    format!("{}/tests/lua/?.lua", env!("CARGO_MANIFEST_DIR"))
}

fn send(address: SocketAddr, method: &str, path: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: h.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client::once(address, head + &body).unwrap()
}

struct Node {
    rig: Rig,
    admin: SocketAddr,
    upstream: Upstream,
}

impl Node {
    /// With a datastore of its own, and the plugin on a route to `upstream`.
    fn start(further: &[(&str, &str)]) -> Node {
        let admin = free_tcp_address().unwrap();
        let mut settings = vec![
            ("database", "sqlite".to_owned()),
            ("admin_listen", admin.to_string()),
            ("plugins", "bundled,key-ring".to_owned()),
            ("lua_package_path", written()),
        ];
        settings.extend(further.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let node = Node { rig: Rig::bare(&settings), admin, upstream: upstream::echo().unwrap() };
        node.made("/services", &json!({"name": "up", "url": format!("http://{}", node.upstream.address())}));
        node.made("/services/up/routes", &json!({"name": "all", "paths": ["/"]}));
        node.made("/plugins", &json!({"name": "key-ring"}));
        node.made("/consumers", &json!({"username": "ann"}));
        node
    }

    fn admin(&self, method: &str, path: &str, body: &Value) -> Response {
        send(self.admin, method, path, body)
    }

    fn made(&self, path: &str, body: &Value) -> Value {
        let answer = self.admin("POST", path, body);
        assert_eq!(answer.status(), 201, "{path}: {}", answer.text());
        answer.json().unwrap()
    }

    fn with_key(&self, key: &str) -> Response {
        let head = format!("GET / HTTP/1.1\r\nHost: h.test\r\nX-Ring-Key: {key}\r\nConnection: close\r\n\r\n");
        client::once(self.rig.proxy, head).unwrap()
    }

    /// Asks every worker often enough that each has answered.
    fn eventually(&self, key: &str, status: u16) {
        let end = Instant::now() + Duration::from_secs(30);
        let mut in_a_row = 0;
        while in_a_row < 20 {
            assert!(Instant::now() < end, "{key} is not answered with {status}");
            in_a_row = if self.with_key(key).status() == status { in_a_row + 1 } else { 0 };
        }
    }
}

#[test]
fn entities_of_a_plugin_are_kept_and_found_like_the_gateways_own() {
    let node = Node::start(&[]);
    let key = node.made("/consumers/ann/ring-key", &json!({"key": "first"}));
    assert_eq!((&key["key"], &key["uses"]), (&json!("first"), &json!(0)));
    assert_eq!(node.admin("GET", "/ring-keys/first", &Value::Null).json().unwrap()["id"], key["id"]);
    let wrong = node.admin("POST", "/ring-keys", &json!({"key": "x"}));
    assert_eq!(wrong.status(), 400);
    let fields = wrong.json().unwrap()["fields"].clone();
    assert_eq!(fields, json!({"key": "length must be at least 3", "consumer": "required field missing"}));
    let again = node.admin("POST", "/consumers/ann/ring-key", &json!({"key": "first"}));
    assert_eq!((again.status(), &again.json().unwrap()["name"]), (409, &json!("unique constraint violation")));
    assert_eq!(node.admin("GET", "/schemas/ring_keys", &Value::Null).status(), 200);

    // The plugin reads them, and those that it looked up go when they change.
    assert_eq!(node.with_key("wrong").status(), 401);
    assert_eq!(node.with_key("first").status(), 200);
    let owner = node.upstream.requests()[0].header("x-key-owner").unwrap().to_owned();
    assert_eq!(json!(owner), key["consumer"]["id"]);
    node.eventually("first", 200);
    assert_eq!(node.with_key("first").header("x-key-level"), Some("1"), "it is remembered");
    assert_eq!(node.admin("PATCH", "/ring-keys/first", &json!({"key": "second"})).status(), 200);
    node.eventually("first", 401);
    node.eventually("second", 200);
    // What did not exist when it was looked up is found once it does.
    node.eventually("third", 401);
    node.made("/consumers/ann/ring-key", &json!({"key": "third"}));
    node.eventually("third", 200);
    // They go with what they refer to.
    assert_eq!(node.admin("DELETE", "/consumers/ann", &Value::Null).status(), 204);
    node.eventually("second", 401);
    assert_eq!(node.admin("GET", "/ring-keys", &Value::Null).json().unwrap()["data"], json!([]));
}

#[test]
fn paths_of_a_plugin_are_answered_by_its_functions() {
    let node = Node::start(&[]);
    for key in ["one", "two", "three"] {
        node.made("/consumers/ann/ring-key", &json!({"key": key}));
    }
    let count = node.admin("GET", "/key-ring/count", &Value::Null);
    assert_eq!((count.status(), count.json().unwrap()), (200, json!({"count": 3})), "{}", count.text());
    let said = node.admin("POST", "/key-ring/count?twice=a&twice=b", &json!({"word": "hello"}));
    assert_eq!((said.status(), said.json().unwrap()), (201, json!({"said": "hello", "twice": ["a", "b"]})));
    assert_eq!(node.admin("PUT", "/key-ring/count", &json!({})).status(), 405);
    assert_eq!(node.admin("GET", "/key-ring/nothing", &Value::Null).status(), 404);
    let ann = node.admin("GET", "/key-ring/of/ann", &Value::Null);
    assert_eq!((ann.status(), &ann.json().unwrap()["username"]), (200, &json!("ann")));
    assert_eq!(node.admin("GET", "/key-ring/of/bob", &Value::Null).status(), 404);
    assert_eq!(node.admin("DELETE", "/key-ring/of/ann", &Value::Null).status(), 204);
    let count = node.admin("GET", "/key-ring/count", &Value::Null);
    assert_eq!(count.json().unwrap(), json!({"count": 0}));
}

/// Code that a trusted pre-function runs; its answer is JSON.
fn run(node: &Node, code: &str) -> Value {
    let before = node.admin("GET", "/plugins?tags=code", &Value::Null).json().unwrap();
    for plugin in before["data"].as_array().unwrap() {
        node.admin("DELETE", &format!("/plugins/{}", plugin["id"].as_str().unwrap()), &Value::Null);
    }
    let config = json!({"access": [code]});
    node.made("/plugins", &json!({"name": "pre-function", "config": config, "tags": ["code"]}));
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client::get(node.rig.proxy, "h.test", "/").unwrap();
        if answer.status() == 200 {
            return answer.json().unwrap();
        }
        assert!(Instant::now() < end, "{} {}", answer.status(), answer.text());
    }
}

#[test]
fn a_dao_has_every_verb() {
    let node = Node::start(&[("untrusted_lua", "on")]);
    let ann = node.admin("GET", "/consumers/ann", &Value::Null).json().unwrap()["id"].as_str().unwrap().to_owned();
    let code = format!(
        r#"
        local keys, out = kong.db.ring_keys, {{}}
        local made = assert(keys:insert({{ key = "one", consumer = {{ id = "{ann}" }} }}))
        out.made = made.key
        out.selected = assert(keys:select({{ id = made.id }})).key
        out.by_key = assert(keys:select_by_key("one")).id == made.id
        out.by_cache_key = assert(keys:select_by_cache_key(keys:cache_key("one"))).id == made.id
        out.same_cache_key = keys:cache_key(made) == keys:cache_key("one")
        out.updated = assert(keys:update({{ id = made.id }}, {{ uses = 7 }})).uses
        out.updated_by = assert(keys:update_by_key("one", {{ uses = 8 }})).uses
        out.upserted = assert(keys:upsert_by_key("two", {{ consumer = {{ id = "{ann}" }} }})).key
        local rows, err, _, offset = keys:page(1)
        out.page = #rows
        local rest = keys:page(10, offset)
        out.rest = #rest
        out.each = 0
        for key in keys:each(1) do out.each = out.each + 1 end
        for key in keys:each_for_consumer({{ id = "{ann}" }}) do out.each = out.each + 10 end
        local none, err, fault = keys:insert({{ key = "x" }})
        out.fault, out.fields = fault.name, fault.fields
        local none, err, fault = keys:update({{ id = "{ann}" }}, {{ uses = 1 }})
        out.missing = fault.name
        out.absent = keys:select_by_key("nobody") == nil
        out.deleted = assert(keys:delete({{ id = made.id }}))
        out.gone = keys:select({{ id = made.id }}) == nil
        assert(keys:delete_by_key("two"))
        out.consumer = assert(kong.db.consumers:select_by_username("ann")).id == "{ann}"
        out.unknown = kong.db.nothing_such == nil
        return kong.response.exit(200, out)"#
    );
    let out = run(&node, &code);
    assert_eq!(
        out,
        json!({"made": "one", "selected": "one", "by_key": true, "by_cache_key": true, "same_cache_key": true,
            "updated": 7, "updated_by": 8, "upserted": "two", "page": 1, "rest": 1, "each": 22,
            "fault": "schema violation",
            "fields": {"key": "length must be at least 3", "consumer": "required field missing"},
            "missing": "not found", "absent": true, "deleted": true, "gone": true, "consumer": true, "unknown": true})
    );
}

#[test]
fn entities_of_a_plugin_stand_in_declarative_files() {
    let upstream = upstream::echo().unwrap();
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: up\n  url: http://{}\n  routes: [{{name: all, paths: [/]}}]\nplugins: [{{name: key-ring}}]\nconsumers:\n- username: ann\n  ring_keys: [{{key: declared}}]\n",
        upstream.address()
    );
    let settings = [("plugins", "bundled,key-ring".to_owned()), ("lua_package_path", written())];
    let rig = Rig::start(&settings, &config);
    let ask = |key: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: h.test\r\nX-Ring-Key: {key}\r\nConnection: close\r\n\r\n");
        client::once(rig.proxy, head).unwrap().status()
    };
    assert_eq!((ask("declared"), ask("other")), (200, 401));
    rig.load(&config.replace("declared", "changed"));
    let end = Instant::now() + Duration::from_secs(20);
    while ask("declared") != 401 || ask("changed") != 200 {
        assert!(Instant::now() < end, "what was cached stayed");
    }
}
