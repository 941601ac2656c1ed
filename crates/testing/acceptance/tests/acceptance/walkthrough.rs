//! A walkthrough that people know, from the first service to the second node: a route per model, one limit for both, a
//! group of consumers with a limit of its own, and a dump of decK that makes another node the same.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use gibbon_acceptance::backends::Backends;
use gibbon_testkit::{Gateway, Settings, client, servers};
use serde_json::{Value, json};

/// Requests per minute for everybody, and for who is in the group `gold`.
const LIMIT: usize = 10;
const GOLD: usize = 15;
const TAG: &str = "walkthrough";

fn node() -> Gateway {
    Settings::new().set("database", "sqlite").set("nginx_worker_processes", "4").start().unwrap()
}

/// A call of the Admin API that must go well.
fn admin(gateway: &Gateway, line: &str, body: &Value) -> Value {
    let (method, target) = line.split_once(' ').unwrap();
    let answer = gateway.admin(method, target, &body.to_string()).unwrap();
    assert!(answer.status() < 300, "{line}: {} {}", answer.status(), answer.text());
    answer.json().unwrap()
}

fn limit(minute: usize) -> Value {
    json!({"name": "rate-limiting", "config": {"minute": minute, "policy": "local"}})
}

/// What decK of Debian (1.4) knows; it finds it by the tag.
fn configure(gateway: &Gateway, backends: &Backends) {
    let url = format!("http://{}", backends.addresses().rest);
    let make = |line: &str, mut entity: Value| {
        entity["tags"] = json!([TAG]);
        admin(gateway, line, &entity);
    };
    make("POST /services", json!({"name": "chat", "url": url}));
    for model in ["small", "large"] {
        make("POST /services/chat/routes", json!({"name": model, "paths": [format!("/{model}")]}));
        let append = json!({"append": {"body": [format!("model:{model}")]}});
        make(&format!("POST /routes/{model}/plugins"), json!({"name": "request-transformer", "config": append}));
    }
    make("POST /services/chat/plugins", json!({"name": "key-auth"}));
    make("POST /services/chat/plugins", limit(LIMIT));
    for name in ["ada", "bea", "eve"] {
        make("POST /consumers", json!({"username": name}));
        make(&format!("POST /consumers/{name}/key-auth"), json!({"key": format!("key-of-{name}")}));
    }
}

/// Groups of consumers are younger than that decK, which would take their plugins for plugins of everybody.
fn configure_gold(gateway: &Gateway) {
    admin(gateway, "POST /consumer_groups", &json!({"name": "gold"}));
    admin(gateway, "POST /consumer_groups/gold/plugins", &limit(GOLD));
    admin(gateway, "POST /consumer_groups/gold/consumers", &json!({"consumer": "bea"}));
}

/// A question to a model: status, and the body that the backend saw.
fn ask(gateway: &Gateway, path: &str, consumer: &str) -> (u16, Value) {
    let body = r#"{"model":"mine","prompt":"hello"}"#;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\napikey: key-of-{consumer}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = client::once(gateway.addresses().proxy, head + body).unwrap();
    let echoed = answer.json().unwrap_or_default();
    (answer.status(), serde_json::from_str(echoed["body"].as_str().unwrap_or_default()).unwrap_or_default())
}

/// How many of a minute's questions are let through when they go to both routes in turn.
fn admitted(gateway: &Gateway, consumer: &str) -> usize {
    let minute = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    loop {
        let began = minute();
        let paths = ["/small", "/large"].iter().cycle().take(GOLD + 5);
        let passed = paths.filter(|path| ask(gateway, path, consumer).0 == 200).count();
        // A count that ran into the next minute says nothing; there the limit is fresh.
        if minute() == began {
            return passed;
        }
    }
}

/// Asked by one whose limit nobody has used.
fn bodies_name_both_models(gateway: &Gateway) {
    assert_eq!(ask(gateway, "/small", "nobody").0, 401);
    assert_eq!(ask(gateway, "/small", "eve"), (200, json!({"model": ["mine", "small"], "prompt": "hello"})));
    assert_eq!(ask(gateway, "/large", "eve"), (200, json!({"model": ["mine", "large"], "prompt": "hello"})));
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

#[test]
fn two_models_behind_one_limit_are_carried_to_a_second_node() {
    let backends = Backends::start().unwrap();
    let first = node();
    configure(&first, &backends);
    configure_gold(&first);
    assert_eq!([admitted(&first, "ada"), admitted(&first, "bea")], [LIMIT, GOLD]);

    let folder = tempfile::tempdir().unwrap();
    deck(&first, folder.path(), &["dump", "--select-tag", TAG, "-o", "kong.yaml"]);
    let second = node();
    deck(&second, folder.path(), &["sync", "-s", "kong.yaml"]);
    for node in [&first, &second] {
        let difference = deck(node, folder.path(), &["diff", "-s", "kong.yaml"]);
        assert!(difference.contains("Created: 0\n  Updated: 0\n  Deleted: 0"), "{difference}");
    }
    configure_gold(&second);
    assert_eq!([admitted(&second, "ada"), admitted(&second, "bea")], [LIMIT, GOLD]);
    for node in [&first, &second] {
        bodies_name_both_models(node);
    }
}
