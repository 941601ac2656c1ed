//! Authentication, end to end: a node with four workers, real clients and upstreams over TCP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::path::Path;

use gibbon_assembly::{NodeSettings, Running};
use gibbon_conf::{Input, Surroundings};
use gibbon_net::Inherited;
use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Request, Upstream};

struct Machine;

impl Surroundings for Machine {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// A node with a configuration, in front of an upstream that echoes.
struct Gateway {
    running: Option<Running>,
    address: SocketAddr,
    upstream: Upstream,
    _prefix: tempfile::TempDir,
}

impl Gateway {
    /// `UP` in the configuration is the upstream's address.
    fn with(config: &str) -> Gateway {
        let address = gibbon_testkit::ports::free_tcp_address().unwrap();
        let prefix = tempfile::tempdir().unwrap();
        let arguments = [
            ("prefix", prefix.path().display().to_string()),
            ("database", "off".into()),
            ("proxy_listen", format!("{address} reuseport")),
            ("nginx_worker_processes", "4".into()),
            ("admin_listen", "off".into()),
            ("status_listen", "off".into()),
        ];
        let arguments = arguments.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let loaded = gibbon_conf::load(&Input { arguments, ..Input::default() }, &Machine).unwrap();
        let node = NodeSettings {
            settings: &loaded.settings,
            values: &loaded.values,
            node_id: "",
            access_log: None,
            log_level: None,
        };
        let running = Running::start(&node, Inherited::none()).unwrap();
        let upstream = upstream::echo().unwrap();
        let gateway = Gateway { running: Some(running), address, upstream, _prefix: prefix };
        gateway.configure(config);
        gateway
    }

    fn configure(&self, config: &str) {
        let text = format!("_format_version: '3.0'\n{}", config.replace("UP", &self.upstream.address().to_string()));
        self.running.as_ref().unwrap().declarative.replace(text.as_bytes()).unwrap_or_else(|e| panic!("{e:#}"));
    }

    /// A request on a connection of its own: first line without version, then header lines.
    fn ask(&self, text: &str) -> Response {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let mut request = format!("{} HTTP/1.1\r\nHost: api.test\r\n", lines.next().unwrap());
        for line in lines {
            request += &format!("{line}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += &format!("\r\n{body}");
        client::once(self.address, request).unwrap()
    }

    /// Asks, expects 200, and gives what the upstream saw.
    fn passes(&self, text: &str) -> Request {
        let before = self.upstream.requests().len();
        let answer = self.ask(text);
        assert_eq!(answer.status(), 200, "{text}\n{}", answer.text());
        self.upstream.requests()[before].clone()
    }

    /// Asks, and expects an answer of the gateway: status, message and challenge in one line.
    fn refuses(&self, text: &str) -> String {
        let before = self.upstream.requests().len();
        let answer = self.ask(text);
        assert_eq!(self.upstream.requests().len(), before, "the upstream was reached: {text}");
        let message = answer.json().ok().and_then(|j| j["message"].as_str().map(str::to_owned)).unwrap_or_default();
        let challenge = answer.header("www-authenticate").map(|c| format!(" [{c}]")).unwrap_or_default();
        format!("{} {message}{challenge}", answer.status())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop_fast();
        }
    }
}

const KEY_AUTH: &str = "
services:
- name: s
  url: http://UP
  routes: [{name: r, paths: [/]}]
plugins: [{name: key-auth}]
consumers:
- {username: alice, custom_id: al-1, keyauth_credentials: [{key: k-alice, id: 11111111-1111-4111-8111-111111111111}]}
";

#[test]
fn key_auth_answers_as_recorded() {
    let gateway = Gateway::with(KEY_AUTH);
    assert_eq!(gateway.refuses("GET /"), "401 No API key found in request [Key]");
    assert_eq!(gateway.refuses("GET /\napikey: wrong"), "401 Unauthorized [Key]");
    assert_eq!(gateway.refuses("GET /?apikey=k-alice&apikey=x"), "401 Duplicate API key found [Key]");
    let html = gateway.ask("GET /\nAccept: text/html");
    assert!(html.text().contains("<p>No API key found in request.</p>"), "{}", html.text());

    let seen = gateway.passes("GET /\napikey: k-alice\nX-Consumer-Username: forged\nX-Anonymous-Consumer: true");
    assert_eq!(seen.header("x-consumer-username"), Some("alice"));
    assert_eq!(seen.header("x-consumer-custom-id"), Some("al-1"));
    assert_eq!(seen.header("x-credential-identifier"), Some("11111111-1111-4111-8111-111111111111"));
    assert_eq!(seen.header("x-anonymous-consumer"), None);
    assert_eq!(gateway.passes("GET /?apikey=k-alice&x=1").target, "/?apikey=k-alice&x=1");
}

#[test]
fn a_revoked_key_is_refused_by_every_worker_from_the_next_request() {
    let gateway = Gateway::with(KEY_AUTH);
    for _ in 0..16 {
        gateway.passes("GET /\napikey: k-alice");
    }
    gateway.configure(&KEY_AUTH.replace("key: k-alice", "key: k-new"));
    for _ in 0..16 {
        assert_eq!(gateway.refuses("GET /\napikey: k-alice"), "401 Unauthorized [Key]");
    }
    gateway.passes("GET /\napikey: k-new");
}
