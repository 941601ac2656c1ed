//! Plugins that limit, redirect, cache and mark traffic, through a whole node with four workers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;
use std::path::Path;

use gibbon_assembly::Running;
use gibbon_conf::{Input, Surroundings};
use gibbon_net::Inherited;
use gibbon_pdk::NodeFacts;
use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Upstream};

struct Machine;

impl Surroundings for Machine {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// A node with four workers, and the upstream that its one service leads to.
struct Gateway {
    address: SocketAddr,
    upstream: Upstream,
    running: Option<Running>,
    _prefix: tempfile::TempDir,
}

impl Gateway {
    /// Serves `/` with these plugins on the service: a YAML list, indented by two.
    fn with(plugins: &str) -> Self {
        Self::before(upstream::echo().unwrap(), plugins)
    }

    fn before(upstream: Upstream, plugins: &str) -> Self {
        let prefix = tempfile::tempdir().unwrap();
        let address = gibbon_testkit::ports::free_tcp_address().unwrap();
        let arguments = [
            ("prefix", prefix.path().display().to_string()),
            ("database", "off".into()),
            ("proxy_listen", format!("{address} reuseport")),
            ("nginx_worker_processes", "4".into()),
        ];
        let arguments = arguments.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let loaded = gibbon_conf::load(&Input { arguments, ..Input::default() }, &Machine).unwrap();
        let running = Running::start(&loaded.settings, NodeFacts::default(), Inherited::none()).unwrap();
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: up\n  url: http://{}\n  routes:\n  - name: all\n    paths: [/]\n    strip_path: false\n  plugins:\n{plugins}",
            upstream.address()
        );
        running.declarative.replace(config.as_bytes()).unwrap();
        Gateway { address, upstream, running: Some(running), _prefix: prefix }
    }

    fn get(&self, target: &str) -> Response {
        client::get(self.address, "api.test", target).unwrap()
    }

    /// A whole request but for the Host header and the empty line.
    fn send(&self, head: &str, body: &str) -> Response {
        client::once(self.address, format!("{head}\r\nHost: api.test\r\nConnection: close\r\n\r\n{body}")).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop_fast();
        }
    }
}

#[test]
fn request_termination_answers_in_place_of_the_upstream() {
    let gateway = Gateway::with("  - {name: request-termination, config: {status_code: 401, message: who are you}}");
    let answer = gateway.get("/");
    assert_eq!((answer.status(), answer.text().as_str()), (401, r#"{"message":"who are you"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert!(gateway.upstream.requests().is_empty());
}

#[test]
fn four_workers_admit_exactly_what_a_local_limit_allows() {
    let gateway = Gateway::with("  - {name: rate-limiting, config: {hour: 1000, policy: local}}");
    let address = gateway.address;
    let admitted: usize = std::thread::scope(|scope| {
        let client = || {
            // Several connections per client, so that every worker gets some.
            let each = |_| {
                let mut client = client::Client::connect(address).unwrap();
                let answers =
                    (0..50).map(|_| client.exchange("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap().status());
                answers.filter(|status| *status == 200).count()
            };
            (0..6).map(each).sum::<usize>()
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(admitted, 1000, "of 1200 requests");
    let refused = gateway.get("/");
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.json().unwrap()["message"], "API rate limit exceeded");
    assert_eq!(refused.header("x-ratelimit-remaining-hour"), Some("0"));
    assert_eq!(refused.header("ratelimit-limit"), Some("1000"));
    let reset = refused.header("ratelimit-reset").unwrap();
    assert_eq!(refused.header("retry-after"), Some(reset));
}

#[test]
fn a_delayed_request_is_answered_when_there_is_room() {
    let gateway = Gateway::with("  - {name: rate-limiting, config: {second: 2, on_limit: delay, max_delay: 20}}");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..5).map(|_| scope.spawn(|| gateway.get("/").status())).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 5]);
}

#[test]
fn counts_that_cannot_be_reached_are_no_reason_to_refuse_unless_that_is_asked_for() {
    let dead = gibbon_testkit::ports::free_tcp_address().unwrap();
    let config = |tolerant: bool| {
        let redis = format!("{{host: {}, port: {}}}", dead.ip(), dead.port());
        format!(
            "  - {{name: rate-limiting, config: {{hour: 1, policy: redis, fault_tolerant: {tolerant}, redis: {redis}}}}}"
        )
    };
    let tolerant = Gateway::with(&config(true));
    assert_eq!([tolerant.get("/").status(), tolerant.get("/").status()], [200, 200]);
    let strict = Gateway::with(&config(false)).get("/");
    assert_eq!(
        (strict.status(), strict.json().unwrap()["message"].clone()),
        (500, "An unexpected error occurred".into())
    );
}

#[test]
fn request_size_limiting_stops_reading_at_the_limit() {
    let gateway =
        Gateway::with("  - {name: request-size-limiting, config: {allowed_payload_size: 10, size_unit: bytes}}");
    let post = |headers: &str, body: &str| gateway.send(&format!("POST / HTTP/1.1\r\n{headers}"), body);
    assert_eq!(post("Content-Length: 10", "0123456789").status(), 200);
    let large = post("Content-Length: 11", "01234567890");
    assert_eq!((large.status(), large.json().unwrap()["message"].clone()), (413, "Request size limit exceeded".into()));
    assert_eq!(post("Transfer-Encoding: chunked", "3\r\n012\r\n0\r\n\r\n").status(), 200);
    let chunked = post("Transfer-Encoding: chunked", "b\r\n01234567890\r\n0\r\n\r\n");
    assert_eq!(
        (chunked.status(), chunked.json().unwrap()["message"].clone()),
        (413, "Request size limit exceeded".into())
    );
    // A body that never ends is refused as soon as it is too large.
    let endless = post("Transfer-Encoding: chunked", "b\r\n01234567890\r\n");
    assert_eq!(endless.status(), 413);
}

#[test]
fn redirect_keeps_path_and_query_where_told_to() {
    let gateway =
        Gateway::with("  - {name: redirect, config: {location: 'https://new.test/x', keep_incoming_path: true}}");
    let answer = gateway.get("/a/b?c=d");
    assert_eq!((answer.status(), answer.text().as_str()), (301, "redirecting"));
    assert_eq!(answer.header("location"), Some("https://new.test/a/b?c=d"));
}

#[test]
fn correlation_ids_reach_upstream_and_client() {
    let gateway = Gateway::with("  - {name: correlation-id, config: {header_name: X-Id, echo_downstream: true}}");
    let answer = gateway.get("/");
    let id = answer.header("x-id").unwrap();
    assert!(id.ends_with("#1"), "{id}");
    assert_eq!(gateway.upstream.requests()[0].header("x-id"), Some(id));
}
