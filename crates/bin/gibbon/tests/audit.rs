//! What was done through the Admin API is written down, signed, and told to those who asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_testkit::gateway::{Gateway, Settings};
use serde_json::{Value, json};

fn call(gateway: &Gateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = gateway.admin(method, path, &body).unwrap();
    (answer.status(), answer.json().unwrap_or(Value::Null))
}

fn records(gateway: &Gateway, path: &str) -> Vec<Value> {
    call(gateway, "GET", path, &Value::Null).1["data"].as_array().unwrap().clone()
}

#[test]
fn calls_and_changes_are_recorded_without_secrets_and_signed() {
    let folder = tempfile::tempdir().unwrap();
    let (key, public) = (folder.path().join("key.pem"), folder.path().join("public.pem"));
    let openssl =
        |arguments: &[&str]| assert!(Command::new("openssl").args(arguments).output().unwrap().status.success());
    openssl(&["genrsa", "-out", key.to_str().unwrap(), "2048"]);
    openssl(&["rsa", "-in", key.to_str().unwrap(), "-pubout", "-out", public.to_str().unwrap()]);
    let gateway = Settings::new()
        .set("database", "sqlite")
        .set("audit_log", "on")
        .set("audit_log_ignore_paths", "^/status$")
        .set("audit_log_ignore_methods", "HEAD")
        .set("audit_log_ignore_tables", "consumers")
        .set("audit_log_signing_key", key.display().to_string())
        .start()
        .unwrap();

    call(&gateway, "GET", "/status", &Value::Null);
    call(&gateway, "POST", "/consumers", &json!({"username": "ada"}));
    let made =
        call(&gateway, "POST", "/consumers/ada/basic-auth?token=t", &json!({"username": "ada", "password": "hush"}));
    assert_eq!(made.0, 201);
    assert_eq!(call(&gateway, "DELETE", "/consumers/ada", &Value::Null).0, 204);

    let requests = records(&gateway, "/audit/requests");
    let paths: Vec<&str> =
        requests.iter().map(|r| r["path"].as_str().unwrap()).filter(|p| p.starts_with("/c")).collect();
    assert_eq!(paths, ["/consumers", "/consumers/ada/basic-auth?token=", "/consumers/ada"], "in order of time");
    assert!(!requests.iter().any(|r| r["path"] == "/status"));
    let created = requests.iter().find(|r| r["payload"].is_string() && r["removed_from_payload"].is_string()).unwrap();
    assert_eq!(
        (&created["payload"], &created["removed_from_payload"]),
        (&json!(r#"{"username":"ada"}"#), &json!("password"))
    );
    assert_eq!(
        (&created["status"], &created["client_ip"], &created["method"]),
        (&json!(201), &json!("127.0.0.1"), &json!("POST"))
    );
    assert!(created["ttl"].as_i64().unwrap() > 2_500_000);

    let objects = records(&gateway, "/audit/objects?dao_name=basicauth_credentials");
    let operations: Vec<&str> = objects.iter().map(|o| o["operation"].as_str().unwrap()).collect();
    assert_eq!(operations, ["create", "delete"], "what a deletion takes with it is told as well");
    assert!(!objects[0]["entity"].as_str().unwrap().contains("hush"));
    assert_eq!(objects[0]["request_id"], created["request_id"]);
    assert!(records(&gateway, "/audit/objects?dao_name=consumers").is_empty());
    assert_eq!(records(&gateway, "/audit/requests?method=DELETE").len(), 1);
    assert_eq!(records(&gateway, "/audit/requests?before=1000").len(), 0);

    // Anybody with the public key can check a record.
    let mut fields: Vec<(&String, &Value)> = created.as_object().unwrap().iter().collect();
    fields.retain(|(name, _)| !matches!(name.as_str(), "signature" | "ttl"));
    fields.sort_by_key(|(name, _)| *name);
    let texts = fields.iter().map(|(_, value)| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    });
    let (text, signature) = (folder.path().join("text"), folder.path().join("signature"));
    std::fs::write(&text, texts.collect::<Vec<_>>().join("|")).unwrap();
    std::fs::write(&signature, STANDARD.decode(created["signature"].as_str().unwrap()).unwrap()).unwrap();
    let [public, signature, text] = [public, signature, text].map(|path| path.display().to_string());
    openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &signature, &text]);
    assert_eq!(call(&gateway, "POST", "/audit/requests", &json!({})).0, 405);
}

/// A receiver of hooks: answers 200 and hands on what it got.
fn receiver() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, got) = mpsc::channel();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut text = Vec::new();
            let mut buffer = [0; 4096];
            while !is_whole(&text) {
                match socket.read(&mut buffer) {
                    Ok(read @ 1..) => text.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if sender.send(String::from_utf8_lossy(&text).into_owned()).is_err() {
                return;
            }
        }
    });
    (address, got)
}

fn is_whole(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn hooks_are_told_of_changes_they_asked_for() {
    let gateway = Settings::new().set("database", "sqlite").start().unwrap();
    let (address, got) = receiver();
    let hook = |handler: &str, event: &str, config: Value| {
        let body = json!({"source": "crud", "event": event, "handler": handler, "config": config});
        call(&gateway, "POST", "/event-hooks", &body)
    };
    assert_eq!(hook("lambda", "consumers", json!({})).0, 400);
    assert_eq!(hook("webhook", "nothing", json!({"url": address})).0, 400);
    assert_eq!(hook("webhook", "consumers", json!({"url": "file:///etc/passwd"})).0, 400);
    let (status, made) = hook("webhook", "consumers:create", json!({"url": address, "secret": "s"}));
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(call(&gateway, "GET", &format!("/event-hooks/{id}/ping"), &Value::Null).0, 200);
    assert!(got.recv_timeout(PATIENCE).unwrap().contains(r#""event":"ping""#));

    call(&gateway, "POST", "/services", &json!({"name": "s", "host": "a.test"}));
    call(&gateway, "POST", "/consumers", &json!({"username": "ada"}));
    let told = got.recv_timeout(PATIENCE).unwrap();
    assert!(told.starts_with("POST /hook ") && told.to_ascii_lowercase().contains("x-kong-signature: sha1="), "{told}");
    let body: Value = serde_json::from_str(told.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        (&body["source"], &body["event"], &body["operation"]),
        (&json!("crud"), &json!("consumers"), &json!("create"))
    );
    assert_eq!(body["entity"]["username"], "ada");
    let sources = call(&gateway, "GET", "/event-hooks/sources", &Value::Null).1;
    assert!(sources["data"]["crud"]["consumers"].is_object() && sources["data"]["balancer"]["health"].is_object());
    assert_eq!(call(&gateway, "DELETE", &format!("/event-hooks/{id}"), &Value::Null).0, 204);
}

#[test]
fn hooks_are_told_when_a_targets_health_changes() {
    let gateway = Settings::new().set("database", "sqlite").start().unwrap();
    let (address, got) = receiver();
    let checks = json!({"passive": {"unhealthy": {"tcp_failures": 1}}});
    call(&gateway, "POST", "/upstreams", &json!({"name": "u", "healthchecks": checks}));
    call(&gateway, "POST", "/upstreams/u/targets", &json!({"target": "127.0.0.1:1"}));
    let config = json!({"url": address, "method": "PUT", "body": "{{ upstream }} {{ ip }}:{{ port }} {{ health }}"});
    let hook = json!({"source": "balancer", "event": "health", "handler": "webhook-custom", "config": config});
    assert_eq!(call(&gateway, "POST", "/event-hooks", &hook).0, 201);
    // Seen once as it is, then changed back and forth until the change is told.
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        for health in ["unhealthy", "healthy"] {
            let path = format!("/upstreams/u/targets/127.0.0.1:1/{health}");
            assert_eq!(call(&gateway, "PUT", &path, &Value::Null).0, 204);
            if let Ok(told) = got.recv_timeout(Duration::from_millis(1500)) {
                assert!(told.starts_with("PUT /hook ") && told.contains("u 127.0.0.1:1 "), "{told}");
                return;
            }
        }
        assert!(std::time::Instant::now() < deadline, "never told");
    }
}
