//! Language-model traffic through a whole node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../it/rig.rs"]
#[allow(dead_code)]
mod rig;

mod calls;
mod demo;
mod faults;
mod limits;
mod operations;
mod passed_on;
mod telemetry;

use std::time::{Duration, Instant};

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{Connection, Upstream};
use serde_json::{Value, json};

use rig::Rig;

const PATIENCE: Duration = Duration::from_secs(30);

const ANTHROPIC: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":11,"output_tokens":6}}"#;
const OPENAI: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":6,"total_tokens":17}}"#;

/// A provider that answers every request with this.
fn provider(status: u16, media: &'static str, body: &'static str) -> Upstream {
    Upstream::serve(move |mut c: Connection| {
        while c.read_request()?.is_some() {
            c.answer(status, &[("Content-Type", media)], body)?;
        }
        Ok(())
    })
    .unwrap()
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

fn openai_event(text: &str) -> String {
    let delta = json!({"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-x",
        "choices":[{"index":0,"delta":{"content":text},"finish_reason":null}]});
    format!("data: {delta}\n\n")
}

/// A gateway with one route at `/` and one plugin on it.
fn gateway(plugin: &Value) -> Rig {
    gateway_with(std::slice::from_ref(plugin))
}

fn gateway_with(plugins: &[Value]) -> Rig {
    // One worker: what a call used is counted behind its answer, and before the next request is read.
    rig_with_workers(plugins, "1")
}

fn rig_with_workers(plugins: &[Value], count: &str) -> Rig {
    Rig::start(&[("nginx_worker_processes", count.to_owned())], &configuration(plugins))
}

/// One service, with one route at `/`.
fn configuration(plugins: &[Value]) -> String {
    json!({"_format_version": "3.0", "services": [{"name": "llm", "url": "http://127.0.0.1:1",
        "routes": [{"name": "llm", "paths": ["/"], "strip_path": false}], "plugins": plugins}]})
    .to_string()
}

fn target(provider: &str, at: &Upstream, options: Value) -> Value {
    let mut options = options;
    options["upstream_url"] = json!(format!("http://{}/up", at.address()));
    json!({"route_type": "llm/v1/chat", "model": {"provider": provider, "name": "m", "options": options},
        "auth": {"header_name": "x-key", "header_value": "secret"}})
}

fn ai_proxy(format: &str, mut target: Value) -> Value {
    target["llm_format"] = json!(format);
    json!({"name": "ai-proxy", "config": target})
}

fn advanced(targets: &[Value], balancer: Value) -> Value {
    json!({"name": "ai-proxy-advanced", "config": {"targets": targets, "balancer": balancer}})
}

fn post(path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn send(rig: &Rig, path: &str, body: &Value) -> Response {
    client::once(rig.proxy, post(path, body)).unwrap()
}

fn chat(stream: bool) -> Value {
    json!({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], "stream": stream})
}

/// Waits until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
