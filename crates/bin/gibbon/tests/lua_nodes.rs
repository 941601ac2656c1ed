//! Lua plugins on two nodes of one PostgreSQL: entities that a plugin brings, what caches hold of them, and what the nodes
//! tell each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::servers::{self, Server};
use gibbon_testkit::upstream::{self, Upstream};
use gibbon_testkit::{Gateway, Settings};
use serde_json::{Value, json};

struct Cluster {
    nodes: [Gateway; 2],
    _upstream: Upstream,
    _database: Server,
}

impl Cluster {
    fn start() -> Cluster {
        let database = servers::postgres().unwrap();
        let node = || {
            Settings::new()
                .on_postgres(database.address())
                .set("db_update_frequency", "0.2")
                .set("nginx_worker_processes", "2")
                .set("plugins", "bundled,key-ring,town-crier")
                .set("lua_package_path", format!("{}/../assembly/tests/lua/?.lua", env!("CARGO_MANIFEST_DIR")))
        };
        assert!(node().command_line(&["migrations", "bootstrap"]).unwrap().status.success());
        let upstream = upstream::echo().unwrap();
        let cluster = Cluster {
            nodes: [node().start().unwrap(), node().start().unwrap()],
            _upstream: upstream,
            _database: database,
        };
        let url = format!("http://{}", cluster._upstream.address());
        cluster.made(0, "/services", &json!({"name": "up", "url": url}));
        cluster.made(0, "/services/up/routes", &json!({"name": "keys", "paths": ["/keys"]}));
        cluster.made(0, "/services/up/routes", &json!({"name": "town", "paths": ["/town"]}));
        cluster.made(0, "/routes/keys/plugins", &json!({"name": "key-ring"}));
        cluster.made(0, "/routes/town/plugins", &json!({"name": "town-crier"}));
        cluster.made(0, "/consumers", &json!({"username": "ann"}));
        cluster
    }

    fn admin(&self, node: usize, method: &str, path: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.nodes[node].admin(method, path, &body).unwrap()
    }

    fn made(&self, node: usize, path: &str, body: &Value) -> Value {
        let answer = self.admin(node, "POST", path, body);
        assert_eq!(answer.status(), 201, "{path}: {}", answer.text());
        answer.json().unwrap()
    }

    fn get(&self, node: usize, path: &str, key: &str) -> Response {
        let head = format!("GET {path} HTTP/1.1\r\nHost: h.test\r\nX-Ring-Key: {key}\r\nConnection: close\r\n\r\n");
        client::once(self.nodes[node].addresses().proxy, head).unwrap()
    }

    /// Asks both nodes until each of their workers has surely answered so.
    fn eventually(&self, key: &str, status: u16) {
        for node in 0..2 {
            until(&format!("node {node} answers {key} with {status}"), 20, || {
                self.get(node, "/keys", key).status() == status
            });
        }
    }
}

/// Waits until something holds so many times in a row.
fn until(what: &str, times: u32, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    let mut in_a_row = 0;
    while in_a_row < times {
        assert!(Instant::now() < end, "never: {what}");
        in_a_row = if holds() { in_a_row + 1 } else { 0 };
    }
}

#[test]
fn entities_of_a_plugin_are_those_of_every_node() {
    let cluster = Cluster::start();
    cluster.eventually("one", 401);
    // Both nodes remember that there is none, until one of them is told otherwise.
    let made = cluster.made(1, "/consumers/ann/ring-key", &json!({"key": "one"}));
    cluster.eventually("one", 200);
    let listed = cluster.admin(0, "GET", "/ring-keys", &Value::Null).json().unwrap();
    assert_eq!(listed["data"][0]["id"], made["id"]);
    assert_eq!(cluster.admin(0, "PATCH", "/ring-keys/one", &json!({"key": "two"})).status(), 200);
    cluster.eventually("one", 401);
    cluster.eventually("two", 200);
    let again = cluster.admin(1, "POST", "/consumers/ann/ring-key", &json!({"key": "two"}));
    assert_eq!(again.status(), 409, "{}", again.text());
    let wrong = cluster.admin(1, "POST", "/ring-keys", &json!({"key": "x"}));
    let fields = wrong.json().unwrap()["fields"].clone();
    assert_eq!(fields, json!({"key": "length must be at least 3", "consumer": "required field missing"}));
    // They go with what they refer to, on both.
    assert_eq!(cluster.admin(1, "DELETE", "/consumers/ann", &Value::Null).status(), 204);
    cluster.eventually("two", 401);
}

#[test]
fn what_a_node_broadcasts_every_other_node_is_told_once() {
    let cluster = Cluster::start();
    let heard = |node: usize, word: &str| {
        let answer = cluster.get(node, &format!("/town?of={word}"), "-");
        answer.json().unwrap_or_default()["heard"].as_u64().unwrap_or(u64::MAX)
    };
    for node in 0..2 {
        until("the plugin answers", 20, || heard(node, "nothing") == 0);
    }
    for (from, word) in [(0, "fire"), (1, "flood")] {
        let said = cluster.get(from, &format!("/town?say={word}"), "-");
        assert_eq!(said.status(), 200, "{}", said.text());
        until(&format!("{word} is heard"), 1, || heard(1 - from, word) == 1);
    }
    // In order: whoever has heard the last has heard the first for good, and the speaker not itself.
    assert_eq!((heard(0, "fire"), heard(1, "fire")), (0, 1));
    assert_eq!((heard(0, "flood"), heard(1, "flood")), (1, 0));
}
