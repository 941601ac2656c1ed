//! The Admin API and the Status API over real HTTP, at a real node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

use gibbon_testkit::client::{self, Client, Response};
use gibbon_testkit::gateway::{Gateway, Settings};
use gibbon_testkit::{servers, upstream};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

fn database() -> Gateway {
    Settings::new().set("database", "sqlite").start().unwrap()
}

fn json_of(answer: &Response) -> Value {
    answer.json().unwrap_or_else(|e| panic!("{e}: {} {}", answer.status(), answer.text()))
}

/// A request written out, for what a plain call cannot say.
fn raw(gateway: &Gateway, request: &str) -> Response {
    client::once(gateway.addresses().admin, request.replace('\n', "\r\n")).unwrap()
}

#[test]
fn a_configuration_sent_to_a_node_without_a_datastore_serves_and_is_found_again() {
    let upstream = upstream::echo().unwrap();
    let prefix = tempfile::tempdir().unwrap();
    let settings = || Settings::new().set("prefix", prefix.path().display().to_string());
    let config = json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "url": format!("http://{}", upstream.address()), "routes": [{"name": "r", "paths": ["/a"]}]}],
    });

    let mut gateway = settings().start().unwrap();
    let none = client::get(gateway.addresses().status, "node", "/status/ready").unwrap();
    assert_eq!(none.status(), 503, "an empty node does not take traffic");
    let answer = gateway.admin("POST", "/config", &config.to_string()).unwrap();
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let shown = json_of(&answer);
    let id = shown["services"].as_object().unwrap().keys().next().unwrap().clone();
    assert_eq!(json_of(&gateway.admin("GET", "/services/s", "").unwrap())["id"], id.as_str());
    assert_eq!(gateway.get("a.test", "/a").unwrap().status(), 200);
    let same = gateway.admin("POST", "/config?check_hash=1", &config.to_string()).unwrap();
    assert_eq!((same.status(), same.text().as_str()), (304, ""));

    gateway.signal(Signal::SIGKILL).unwrap();
    gateway.wait_exit(std::time::Duration::from_secs(10)).unwrap();
    let again = settings().start().unwrap();
    assert_eq!(again.get("a.test", "/a").unwrap().status(), 200, "the last accepted configuration is in force");
    let exported = json_of(&again.admin("GET", "/config", "").unwrap());
    assert!(exported["config"].as_str().unwrap().contains("name: s"), "{exported}");
}

#[test]
fn a_refused_configuration_changes_nothing_and_says_what_is_wrong() {
    let gateway = Gateway::with_config("{_format_version: '3.0', services: [{name: s, host: a.test}]}").unwrap();
    let bad = json!({"_format_version": "3.0", "services": [{"name": "t", "host": 5, "tags": ["x"]}], "nonsense": []});
    let answer = gateway.admin("POST", "/config", &bad.to_string()).unwrap();
    let body = json_of(&answer);
    assert_eq!((answer.status(), &body["code"]), (400, &json!(14)), "{body}");
    assert_eq!(body["fields"]["services"][0]["host"], "expected a string");

    let flat = json_of(&gateway.admin("POST", "/config?flatten_errors=1", &bad.to_string()).unwrap());
    let error = &flat["flattened_errors"][0];
    assert_eq!((&error["entity_type"], &error["entity_name"]), (&json!("service"), &json!("t")), "{flat}");
    assert_eq!(error["errors"][0], json!({"type": "field", "field": "host", "message": "expected a string"}));
    assert!(flat["fields"].get("services").is_none() && flat["fields"].get("nonsense").is_some(), "{flat}");

    assert_eq!(gateway.admin("GET", "/services/s", "").unwrap().status(), 200);
    assert_eq!(gateway.admin("GET", "/services/t", "").unwrap().status(), 404);
    assert_eq!(gateway.admin("POST", "/config", "{}").unwrap().status(), 400);
}

#[test]
fn a_change_is_in_force_when_it_is_answered() {
    let upstream = upstream::echo().unwrap();
    let gateway = database();
    for n in 0..20 {
        let service = json!({"name": format!("s{n}"), "url": format!("http://{}", upstream.address())}).to_string();
        assert_eq!(gateway.admin("POST", "/services", &service).unwrap().status(), 201);
        let route = json!({"paths": [format!("/p{n}/")]}).to_string();
        let route = json_of(&gateway.admin("POST", &format!("/services/s{n}/routes"), &route).unwrap());
        assert_eq!(gateway.get("a.test", &format!("/p{n}/")).unwrap().status(), 200);
        let gone = gateway.admin("DELETE", &format!("/routes/{}", route["id"].as_str().unwrap()), "").unwrap();
        assert_eq!(gone.status(), 204);
        assert_eq!(gateway.get("a.test", &format!("/p{n}/")).unwrap().status(), 404);
    }
}

#[test]
fn bodies_that_cannot_be_read_are_refused_with_their_own_status() {
    let gateway =
        Settings::new().set("database", "sqlite").set("nginx_admin_client_max_body_size", "1k").start().unwrap();
    let post = |kind: &str, body: &str| {
        let head = format!(
            "POST /services HTTP/1.1\nHost: a\nConnection: close\n{kind}Content-Length: {}\n\n{body}",
            body.len()
        );
        raw(&gateway, &head)
    };
    assert_eq!(post("Content-Type: text/plain\n", "x").status(), 415);
    assert_eq!(post("", "x").status(), 415);
    let twice = post("Content-Type: application/json\nContent-Type: application/json\n", "{}");
    assert_eq!(json_of(&twice), json!({"message": "Multiple Content-Type headers not allowed"}));
    assert_eq!(json_of(&post("Content-Type: application/json\n", "{")), json!({"message": "Cannot parse JSON body"}));
    assert_eq!(post("Content-Type: application/json\n", &"x".repeat(2000)).status(), 413);
    assert_eq!(
        json_of(&post("Content-Type: application/json\n", ""))["fields"],
        json!({"host": "required field missing"})
    );
}

#[test]
fn verbs_and_paths_that_do_not_exist_are_told_apart() {
    let gateway = database();
    let call = |method, path| {
        let answer = gateway.admin(method, path, "").unwrap();
        (answer.status(), answer.text())
    };
    assert_eq!(call("GET", "/nothing"), (404, r#"{"message":"Not found"}"#.into()));
    assert_eq!(call("GET", "/targets"), (404, r#"{"message":"Not found"}"#.into()));
    assert_eq!(call("DELETE", "/services"), (405, r#"{"message":"Method not allowed"}"#.into()));
    assert_eq!(call("GET", "/services/").0, 200);
    assert_eq!(call("GET", "/default/services").0, 200, "the only workspace goes by its name");
    assert_eq!(call("GET", "/nobody/services").0, 404);
    assert_eq!(call("OPTIONS", "/services").0, 204);
}

#[test]
fn a_connection_goes_on_after_a_refusal() {
    let gateway = database();
    let mut client = Client::connect(gateway.addresses().admin).unwrap();
    let body = "x".repeat(100_000);
    for (line, status) in
        [("POST /nothing", 404), ("PUT /services", 405), ("POST /services", 415), ("GET /services", 200)]
    {
        let head = format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: {}", body.len());
        let answer = client.exchange(format!("{head}\r\n\r\n{body}")).unwrap();
        assert_eq!((answer.status(), answer.header("connection")), (status, Some("keep-alive")), "{line}");
    }
}

#[test]
fn browsers_may_call_from_the_console_only() {
    let gateway =
        Settings::new().set("database", "sqlite").set("admin_gui_url", "http://console.test:8002").start().unwrap();
    let origin = |origin: &str| {
        let request = format!("GET /services HTTP/1.1\nHost: a\nConnection: close\nOrigin: {origin}\n\n");
        raw(&gateway, &request).header("access-control-allow-origin").unwrap().to_owned()
    };
    assert_eq!(origin("http://console.test:8002"), "http://console.test:8002");
    assert_eq!(origin("http://evil.test"), "http://console.test:8002");
}

#[test]
fn it_listens_with_tls_and_http_2_too() {
    let gateway = database();
    let tls = gibbon_testkit::ports::free_tcp_address().unwrap();
    let listen = format!("{}, {tls} ssl http2", gateway.addresses().admin);
    drop(gateway);
    let _gateway = Settings::new().set("database", "sqlite").set("admin_listen", listen).start();
    let mut client = Client::connect_tls(tls, "localhost", &["http/1.1"]).unwrap();
    let answer = client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(json_of(&answer)["version"], "3.10.0");
    assert_eq!(Client::connect_tls(tls, "localhost", &["h2"]).unwrap().alpn().as_deref(), Some("h2"));
}

#[test]
fn a_node_that_drains_is_no_longer_ready() {
    let gateway = database();
    let status = gateway.addresses().status;
    assert_eq!(client::get(status, "node", "/status/ready").unwrap().status(), 200);
    let drain = "POST /status/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{\"status\":\"draining\"}";
    assert_eq!(client::once(status, drain).unwrap().status(), 204);
    let answer = client::get(status, "node", "/status/ready").unwrap();
    assert_eq!((answer.status(), json_of(&answer)), (503, json!({"message": "draining"})));
}

#[test]
fn figures_of_name_resolution_are_shown_by_the_newer_client_alone() {
    let shown = |client: &str| {
        let gateway = Settings::new().set("new_dns_client", client).start().unwrap();
        let answer = client::get(gateway.addresses().status, "node", "/status/dns").unwrap();
        (answer.status(), json_of(&answer))
    };
    assert_eq!(shown("off"), (501, json!({"message": "not implemented with the legacy DNS client"})));
    let (status, figures) = shown("on");
    assert!(status == 200 && figures["worker"]["count"].is_u64() && figures["stats"].is_object(), "{figures}");
}

#[test]
fn the_level_of_the_log_is_read_and_changed() {
    let gateway = database();
    let call =
        |method, path: &str| json_of(&gateway.admin(method, path, "").unwrap())["message"].as_str().unwrap().to_owned();
    assert_eq!(call("GET", "/debug/node/log-level"), "log level: info");
    assert_eq!(call("PUT", "/debug/node/log-level/debug"), "log level changed");
    assert_eq!(call("GET", "/debug/node/log-level"), "log level: debug");
    assert_eq!(call("PUT", "/debug/node/log-level/loud"), "unknown log level: loud");
    assert_eq!(call("PUT", "/debug/node/log-level/info?timeout=-1"), "timeout must be greater than or equal to 0");
}

#[test]
fn a_target_is_set_unhealthy_by_hand_and_gets_no_traffic() {
    let (one, two) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let gateway = database();
    let post = |path: &str, body: Value| {
        let answer = gateway.admin("POST", path, &body.to_string()).unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text());
    };
    post("/upstreams", json!({"name": "u.test", "healthchecks": {"passive": {"unhealthy": {"tcp_failures": 3}}}}));
    for target in [&one, &two] {
        post("/upstreams/u.test/targets", json!({"target": target.address().to_string()}));
    }
    post("/services", json!({"name": "s", "host": "u.test"}));
    post("/services/s/routes", json!({"paths": ["/"]}));
    let unhealthy = format!("/upstreams/u.test/targets/{}/unhealthy", one.address());
    assert_eq!(gateway.admin("PUT", &unhealthy, "").unwrap().status(), 204);
    for _ in 0..6 {
        assert_eq!(gateway.get("a.test", "/").unwrap().status(), 200);
    }
    assert_eq!((one.requests().len(), two.requests().len()), (0, 6));
    let health = json_of(&gateway.admin("GET", "/upstreams/u.test/health", "").unwrap());
    let mut seen: Vec<&str> =
        health["data"].as_array().unwrap().iter().map(|t| t["health"].as_str().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["HEALTHY", "UNHEALTHY"]);
}

#[test]
fn plugins_keep_rows_and_counters_of_their_own_in_the_datastore() {
    let upstream = upstream::echo().unwrap();
    let gateway = database();
    let post = |path: &str, body: Value| {
        let answer = gateway.admin("POST", path, &body.to_string()).unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text());
    };
    post("/services", json!({"name": "s", "url": format!("http://{}", upstream.address())}));
    post("/services/s/routes", json!({"paths": ["/"]}));
    post("/services/s/plugins", json!({"name": "rate-limiting", "config": {"hour": 2, "policy": "cluster"}}));
    let statuses: Vec<u16> = (0..3).map(|_| gateway.get("a.test", "/").unwrap().status()).collect();
    assert_eq!(statuses, [200, 200, 429]);
}

#[test]
fn consumers_are_in_groups_and_seen_from_both_sides() {
    let gateway = database();
    let call = |method: &str, path: &str, body: &str| {
        let answer = gateway.admin(method, path, body).unwrap();
        (answer.status(), if answer.text().is_empty() { Value::Null } else { json_of(&answer) })
    };
    assert_eq!(call("POST", "/consumer_groups", r#"{"name":"gold"}"#).0, 201);
    call("POST", "/consumers", r#"{"username":"bob"}"#);
    call("POST", "/consumers", r#"{"username":"eve"}"#);
    let (status, added) = call("POST", "/consumer_groups/gold/consumers", r#"{"consumer":["bob","eve"]}"#);
    assert_eq!(
        (status, &added["consumer_group"]["name"], added["consumers"].as_array().unwrap().len()),
        (201, &json!("gold"), 2)
    );
    assert_eq!(call("POST", "/consumer_groups/gold/consumers", r#"{"consumer":"bob"}"#).0, 409);
    assert_eq!(call("POST", "/consumer_groups/gold/plugins", r#"{"name":"rate-limiting","config":{"hour":2}}"#).0, 201);

    let (_, group) = call("GET", "/consumer_groups/gold", "");
    assert_eq!(group["consumer_group"]["name"], "gold");
    assert_eq!(
        (group["consumers"].as_array().unwrap().len(), &group["plugins"][0]["name"]),
        (2, &json!("rate-limiting"))
    );
    assert_eq!(call("GET", "/consumers/bob/consumer_groups", "").1["data"][0]["name"], "gold");
    assert_eq!(call("GET", "/consumer_groups/gold/consumers/bob", "").1["username"], "bob");
    assert_eq!(call("DELETE", "/consumer_groups/gold/consumers/bob", "").0, 204);
    assert_eq!(call("GET", "/consumer_groups/gold/consumers/bob", "").0, 404);
    assert_eq!(call("DELETE", "/consumer_groups/gold", "").0, 204);
    assert_eq!(call("GET", "/consumers/eve/consumer_groups", "").1["data"], json!([]));
    assert_eq!(call("GET", "/plugins", "").1["data"], json!([]), "the group's plugin went with it");
}

#[test]
fn names_in_one_workspace_are_free_in_another() {
    let gateway = database();
    let call = |method: &str, path: &str, body: &str| {
        let answer = gateway.admin(method, path, body).unwrap();
        (answer.status(), if answer.text().is_empty() { Value::Null } else { json_of(&answer) })
    };
    assert_eq!(call("GET", "/workspaces", "").1["data"][0]["name"], "default");
    assert_eq!(call("GET", "/team/services", "").0, 404);
    assert_eq!(call("POST", "/workspaces", r#"{"name":"team"}"#).0, 201);
    assert_eq!(call("GET", "/team/workspaces/team", "").1["name"], "team");
    assert_eq!(call("POST", "/services", r#"{"name":"s","host":"a.test"}"#).0, 201);
    assert_eq!(call("POST", "/team/services", r#"{"name":"s","host":"b.test"}"#).0, 201);
    assert_eq!(call("POST", "/team/services", r#"{"name":"s","host":"b.test"}"#).0, 409);
    assert_eq!(call("GET", "/services/s", "").1["host"], "a.test");
    assert_eq!(call("GET", "/team/services/s", "").1["host"], "b.test");
    let (_, of_default) = call("GET", "/services/s", "");
    let id = of_default["id"].as_str().unwrap();
    assert_eq!(call("GET", &format!("/team/services/{id}"), "").0, 404);
    let route = format!(r#"{{"paths":["/"],"service":{{"id":"{id}"}}}}"#);
    assert_eq!(call("POST", "/team/routes", &route).1["code"], 4, "a reference does not leave the workspace");
    assert_eq!(call("DELETE", "/workspaces/team", "").1["message"], "Workspace is not empty");
    assert_eq!(call("DELETE", "/team/services/s", "").0, 204);
    assert_eq!(call("DELETE", "/workspaces/team", "").0, 204);
    assert_eq!(call("PATCH", "/workspaces/default", r#"{"comment":"first"}"#).1["comment"], "first");
    assert_eq!(call("DELETE", "/workspaces/default", "").0, 400);
}

#[test]
fn a_plugin_takes_settings_from_the_partial_it_is_linked_to() {
    let gateway = database();
    let call = |method: &str, path: &str, body: Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = gateway.admin(method, path, &body).unwrap();
        (answer.status(), if answer.text().is_empty() { Value::Null } else { json_of(&answer) })
    };
    let plugin = |partials: Value| json!({"name": "rate-limiting", "config": {"hour": 2, "policy": "redis"}, "partials": partials});
    assert_eq!(call("POST", "/plugins", plugin(json!([]))).0, 400, "redis needs a host");
    let (status, partial) =
        call("POST", "/partials", json!({"name": "shared", "type": "redis-ce", "config": {"host": "127.0.0.1"}}));
    assert_eq!(status, 201, "{partial}");
    let (status, linked) = call("POST", "/plugins", plugin(json!([{"name": "shared"}])));
    assert_eq!((status, &linked["partials"][0]["id"]), (201, &partial["id"]), "{linked}");
    assert_eq!(linked["config"]["redis"]["host"], Value::Null, "it is stored without them");
    assert_eq!(call("GET", "/partials/shared/links", Value::Null).1["data"][0]["id"], linked["id"]);
    assert_eq!(call("DELETE", "/partials/shared", Value::Null).1["code"], 4);
    assert_eq!(call("PATCH", "/partials/shared", json!({"config": {"host": "127.0.0.2"}})).0, 200);
    let path = format!("/plugins/{}", linked["id"].as_str().unwrap());
    assert_eq!(call("DELETE", &path, Value::Null).0, 204);
    assert_eq!(call("DELETE", "/partials/shared", Value::Null).0, 204);
}

#[test]
fn deck_finds_nothing_to_change_after_it_synced() {
    let gateway = database();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kong.yaml");
    std::fs::write(&file, DECK).unwrap();
    let deck = |words: &[&str]| deck(&gateway, folder.path(), words);
    assert!(deck(&["ping"]).contains("3.10.0"));
    assert!(deck(&["sync", "-s", "kong.yaml"]).contains("Created: 13"));
    // What deck 1.4 itself leaves out of a file it reads from the gateway is known by then.
    deck(&["dump", "-o", "dump.yaml"]);
    let diff = deck(&["diff", "-s", "dump.yaml"]);
    assert!(diff.contains("Created: 0\n  Updated: 0\n  Deleted: 0"), "{diff}");
    deck(&["validate", "-s", "dump.yaml"]);
    deck(&["reset", "-f"]);
    for kind in ["services", "routes", "consumers", "upstreams", "plugins", "key-auths", "acls"] {
        let list = json_of(&gateway.admin("GET", &format!("/{kind}"), "").unwrap());
        assert_eq!(list["data"], json!([]), "{kind}");
    }
    assert!(deck(&["sync", "-s", "dump.yaml"]).contains("Created: 13"));
}

fn deck(gateway: &Gateway, folder: &Path, words: &[&str]) -> String {
    let mut command = Command::new(servers::tool("deck").unwrap());
    command.env("DECK_ANALYTICS", "off").current_dir(folder);
    command.args(["--kong-addr", &format!("http://{}", gateway.addresses().admin)]).args(words);
    let output = command.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "deck {words:?}: {said}");
    said
}

const DECK: &str = r#"
_format_version: "1.1"
services:
- name: s1
  host: backend.test
  port: 80
  protocol: http
  tags: [a]
  routes:
  - name: r1
    paths: [/a]
    strip_path: true
    protocols: [http, https]
  - name: r2
    hosts: [a.test]
    strip_path: false
    protocols: [https]
  plugins:
  - name: rate-limiting
    config:
      minute: 5
      policy: local
upstreams:
- name: up1.test
  targets:
  - target: 10.0.0.1:80
    weight: 100
  - target: 10.0.0.2:80
    weight: 50
consumers:
- username: bob
  keyauth_credentials:
  - key: secret1
  acls:
  - group: g1
- username: alice
  custom_id: a1
plugins:
- name: key-auth
- name: request-termination
  enabled: false
  config:
    status_code: 418
"#;
