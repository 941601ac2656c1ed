//! Plugins that limit, redirect, cache and mark traffic, through a whole node with four workers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Upstream};

use rig::Rig;

/// A node with four workers, and the upstream that its one service leads to.
struct Gateway {
    upstream: Upstream,
    rig: Rig,
}

impl Gateway {
    /// Serves `/` with these plugins on the service: a YAML list, indented by two.
    fn with(plugins: &str) -> Self {
        Self::before(upstream::echo().unwrap(), plugins)
    }

    fn before(upstream: Upstream, plugins: &str) -> Self {
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: up\n  url: http://{}\n  routes:\n  - name: all\n    paths: [/]\n    strip_path: false\n  plugins:\n{plugins}",
            upstream.address()
        );
        let rig = Rig::start(&[("nginx_worker_processes", "4".to_owned())], &config);
        Gateway { upstream, rig }
    }

    fn get(&self, target: &str) -> Response {
        client::get(self.rig.proxy, "api.test", target).unwrap()
    }

    /// A whole request but for the Host header and the empty line.
    fn send(&self, head: &str, body: &str) -> Response {
        client::once(self.rig.proxy, format!("{head}\r\nHost: api.test\r\nConnection: close\r\n\r\n{body}")).unwrap()
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
    let address = gateway.rig.proxy;
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

/// An upstream that answers each request with these headers.
fn upstream_with(headers: &'static [(&'static str, &'static str)]) -> Upstream {
    upstream::Upstream::serve(move |mut connection| {
        while connection.read_request()?.is_some() {
            connection.answer(200, headers, "0123456789")?;
        }
        Ok(())
    })
    .unwrap()
}

#[test]
fn what_an_answer_costs_is_counted_and_refused_when_used_up() {
    let upstream = upstream_with(&[("X-Kong-Limit", "video=2"), ("Content-Type", "text/plain")]);
    let gateway = Gateway::before(
        upstream,
        "  - {name: response-ratelimiting, config: {policy: local, limits: {video: {hour: 3}}}}",
    );
    let first = gateway.get("/");
    assert_eq!((first.status(), first.text().as_str()), (200, "0123456789"));
    assert_eq!(first.header("x-ratelimit-remaining-video-hour"), Some("1"));
    assert_eq!((first.header("x-kong-limit"), first.header("x-ratelimit-limit-video-hour")), (None, Some("3")));
    assert_eq!(gateway.get("/").status(), 200);
    let refused = gateway.get("/");
    assert_eq!((refused.status(), refused.text().as_str()), (429, ""));
    assert_eq!(refused.header("content-length"), Some("0"));
}

#[test]
fn a_cached_answer_is_given_by_every_worker() {
    let upstream = upstream_with(&[("Content-Type", "text/plain"), ("X-Upstream", "up")]);
    let gateway = Gateway::before(upstream, "  - {name: proxy-cache, config: {strategy: memory}}");
    let first = gateway.get("/a?b=1");
    assert_eq!(first.header("x-cache-status"), Some("Miss"), "{first:?}");
    for _ in 0..20 {
        let again = gateway.get("/a?b=1");
        assert_eq!((again.header("x-cache-status"), again.text().as_str()), (Some("Hit"), "0123456789"));
        assert_eq!((again.header("x-upstream"), again.header("age").is_some()), (Some("up"), true));
        assert!(again.header("via").is_some_and(|via| via.starts_with("1.1 gibbon/")), "as if it were proxied");
        assert_eq!(again.header("x-cache-key"), first.header("x-cache-key"));
    }
    assert_eq!(gateway.upstream.requests().len(), 1);
}

#[test]
fn a_client_that_wants_a_cached_answer_only_gets_the_page_of_504() {
    let gateway = Gateway::with("  - {name: proxy-cache, config: {strategy: memory, cache_control: true}}");
    let answer = gateway.send("GET / HTTP/1.1\r\nCache-Control: only-if-cached", "");
    assert_eq!((answer.status(), answer.header("content-type")), (504, Some("text/plain; charset=utf-8")));
    assert!(answer.text().starts_with("The upstream server is timing out\nrequest_id: "), "{}", answer.text());
    assert!(answer.header("x-cache-key").is_some() && answer.header("x-cache-status").is_none());
}

/// A real Redis server, or nothing where none is installed.
fn redis() -> gibbon_testkit::servers::Server {
    gibbon_testkit::servers::redis().unwrap()
}

#[test]
fn two_nodes_share_a_limit_through_redis() {
    let redis = redis();
    let (host, port) = (redis.address().ip(), redis.address().port());
    let config = format!(
        "  - {{name: rate-limiting, config: {{hour: 100, policy: redis, redis: {{host: {host}, port: {port}}}}}}}"
    );
    // The plugin is bound to a service; both nodes must know it by the same id to count together.
    let upstream = upstream::echo().unwrap();
    let text = format!(
        "_format_version: '3.0'\nservices:\n- id: 11111111-1111-4111-8111-111111111111\n  name: up\n  url: http://{}\n  routes:\n  - name: all\n    paths: [/]\n  plugins:\n{config}",
        upstream.address()
    );
    let workers = || [("nginx_worker_processes", "4".to_owned())];
    let nodes = [Rig::start(&workers(), &text), Rig::start(&workers(), &text)];
    let admitted: usize = std::thread::scope(|scope| {
        let client =
            |address| move || (0..40).filter(|_| client::get(address, "a.test", "/").unwrap().status() == 200).count();
        let clients: Vec<_> = nodes.iter().flat_map(|node| [node.proxy; 2]).map(|a| scope.spawn(client(a))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(admitted, 100, "of 160 requests to two nodes");
}

#[test]
fn counts_reach_redis_at_the_sync_rate() {
    let redis = redis();
    let (host, port) = (redis.address().ip(), redis.address().port());
    let redis_config = format!("redis: {{host: {host}, port: {port}}}");
    let gateway = Gateway::with(&format!(
        "  - {{name: rate-limiting, config: {{hour: 5, policy: redis, sync_rate: 0.05, {redis_config}}}}}"
    ));
    let statuses: Vec<u16> = (0..7).map(|_| gateway.get("/").status()).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429]);
    // The server learns of them soon; the test looks until it has, at most as long as a client waits.
    let deadline = std::time::Instant::now() + client::PATIENCE;
    loop {
        let answer = ask_redis(&redis, "KEYS ratelimit:*");
        let key = answer.lines().find(|line| line.starts_with("ratelimit:")).map(str::to_owned);
        if let Some(key) = key
            && ask_redis(&redis, &format!("GET {key}")).lines().nth(1) == Some("5")
        {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{answer}");
        std::thread::yield_now();
    }
}

/// An inline command, and what the server answers at once.
fn ask_redis(redis: &gibbon_testkit::servers::Server, command: &str) -> String {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(redis.address()).unwrap();
    socket.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn costs_are_counted_in_redis_too() {
    let redis = redis();
    let (host, port) = (redis.address().ip(), redis.address().port());
    let upstream = upstream_with(&[("X-Kong-Limit", "video=2")]);
    let config = format!(
        "  - {{name: response-ratelimiting, config: {{policy: redis, redis: {{host: {host}, port: {port}}}, limits: {{video: {{hour: 3}}}}}}}}"
    );
    let gateway = Gateway::before(upstream, &config);
    let deadline = std::time::Instant::now() + client::PATIENCE;
    let mut served = 0;
    // Counts are written behind the answers, so a few more than two may pass.
    while gateway.get("/").status() == 200 {
        served += 1;
        assert!(std::time::Instant::now() < deadline, "{served} answers and no refusal");
    }
    assert!(served >= 2, "{served}");
}
