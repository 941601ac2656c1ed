//! Plugins that trace, through a whole node: what collectors receive, what upstreams are told, and that a collector
//! which hangs costs nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use gibbon_assembly::{NodeSettings, Running};
use gibbon_conf::{Input, Surroundings};
use gibbon_net::Inherited;
use gibbon_testkit::client;
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream::{self, Upstream};
use serde_json::{Value, json};

struct Machine;

impl Surroundings for Machine {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

/// A node that records every kind of span, and the upstream that its one service leads to.
struct Gateway {
    proxy: SocketAddr,
    status: SocketAddr,
    upstream: Upstream,
    running: Option<Running>,
    _prefix: tempfile::TempDir,
}

impl Gateway {
    /// Serves `/x` with these global plugins: a YAML list.
    fn with(plugins: &str) -> Self {
        let upstream = upstream::echo().unwrap();
        let prefix = tempfile::tempdir().unwrap();
        let (proxy, status) = (free_tcp_address().unwrap(), free_tcp_address().unwrap());
        let arguments = [
            ("prefix", prefix.path().display().to_string()),
            ("database", "off".into()),
            ("proxy_listen", format!("{proxy} reuseport")),
            ("admin_listen", "off".into()),
            ("status_listen", status.to_string()),
            ("nginx_worker_processes", "2".into()),
            ("tracing_instrumentations", "all".into()),
            ("tracing_sampling_rate", "1".into()),
        ];
        let arguments = arguments.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let loaded = gibbon_conf::load(&Input { arguments, ..Input::default() }, &Machine).unwrap();
        let node = NodeSettings {
            settings: &loaded.settings,
            values: &loaded.values,
            node_id: "",
            access_logs: Default::default(),
            log_level: None,
        };
        let running = Running::start(&node, Inherited::none()).unwrap();
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: svc\n  url: http://localhost:{}\n  routes:\n  - name: r\n    paths: [/x]\n    strip_path: false\nplugins:\n{plugins}",
            upstream.address().port()
        );
        running.declarative.replace(config.as_bytes()).unwrap();
        Gateway { proxy, status, upstream, running: Some(running), _prefix: prefix }
    }

    fn get(&self, target: &str) -> u16 {
        client::get(self.proxy, "api.test", target).unwrap().status()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop_fast();
        }
    }
}

/// Fields of a protobuf message by number: numbers and bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let end = bytes.iter().position(|byte| byte & 128 == 0).unwrap();
        let (number, rest) = bytes.split_at(end + 1);
        *bytes = rest;
        number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 127))
    }
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        bytes = rest;
        found.push((key >> 3, value.to_vec()));
    }
    found
}

fn all(message: &[u8], number: u64) -> Vec<Vec<u8>> {
    fields(message).into_iter().filter(|(field, _)| *field == number).map(|(_, value)| value).collect()
}

fn first(message: &[u8], number: u64) -> Vec<u8> {
    all(message, number).into_iter().next().unwrap_or_default()
}

/// The records of an export request.
fn records(body: &[u8]) -> Vec<Vec<u8>> {
    all(body, 1).iter().flat_map(|group| all(group, 2)).flat_map(|scoped| all(&scoped, 2)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_collector_receives_the_spans_of_a_request() {
    let collector = upstream::echo().unwrap();
    let gateway = Gateway::with(&format!(
        "- {{name: opentelemetry, config: {{traces_endpoint: 'http://{}/v1/traces', queue: {{max_batch_size: 200, max_coalescing_delay: 0.1}}}}}}\n- {{name: correlation-id}}",
        collector.address()
    ));
    assert_eq!(gateway.get("/x?q=1"), 200);
    let told = gateway.upstream.next_request().unwrap().header("traceparent").unwrap().to_owned();
    let request = collector.next_request().unwrap();
    assert_eq!(
        (request.target.as_str(), request.header("content-type")),
        ("/v1/traces", Some("application/x-protobuf"))
    );
    let spans = records(&request.body);
    let by_name: BTreeMap<String, &Vec<u8>> =
        spans.iter().map(|span| (String::from_utf8(first(span, 5)).unwrap(), span)).collect();
    let names: Vec<&str> = by_name.keys().map(String::as_str).collect();
    let expected = [
        "kong",
        "kong.access.plugin.correlation-id",
        "kong.access.plugin.opentelemetry",
        "kong.balancer",
        "kong.dns",
        "kong.header_filter.plugin.correlation-id",
        "kong.header_filter.plugin.opentelemetry",
        "kong.router",
    ];
    assert_eq!(names, expected);
    let (root, balancer) = (by_name["kong"], by_name["kong.balancer"]);
    assert_eq!(told, format!("00-{}-{}-01", hex(&first(root, 1)), hex(&first(balancer, 2))));
    for (name, span) in &by_name {
        let time = |field| u64::from_le_bytes(first(span, field).try_into().unwrap());
        assert!(time(7) <= time(8), "{name} ends before it begins");
        assert!(time(7) >= u64::from_le_bytes(first(root, 7).try_into().unwrap()), "{name} begins before the request");
    }
}

#[test]
fn a_request_without_a_route_has_a_trace_too() {
    let collector = upstream::echo().unwrap();
    let gateway = Gateway::with(&format!(
        "- {{name: opentelemetry, config: {{traces_endpoint: 'http://{}', queue: {{max_batch_size: 200, max_coalescing_delay: 0.1}}}}}}",
        collector.address()
    ));
    assert_eq!(gateway.get("/nothing"), 404);
    let spans = records(&collector.next_request().unwrap().body);
    let names: Vec<String> = spans.iter().map(|span| String::from_utf8(first(span, 5)).unwrap()).collect();
    assert_eq!(names, ["kong", "kong.router", "kong.header_filter.plugin.opentelemetry"]);
}

#[test]
fn zipkin_spans_and_log_entries_name_the_trace_that_the_upstream_was_told() {
    let (collector, sink) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let gateway = Gateway::with(&format!(
        "- {{name: zipkin, config: {{http_endpoint: 'http://{}/spans', sample_ratio: 1, queue: {{max_batch_size: 3}}}}}}\n- {{name: http-log, config: {{http_endpoint: 'http://{}'}}}}",
        collector.address(),
        sink.address()
    ));
    assert_eq!(gateway.get("/x"), 200);
    let told = gateway.upstream.next_request().unwrap();
    let (trace, span) = (told.header("x-b3-traceid").unwrap(), told.header("x-b3-spanid").unwrap());
    let spans: Value = serde_json::from_slice(&collector.next_request().unwrap().body).unwrap();
    let names: Vec<&str> = spans.as_array().unwrap().iter().filter_map(|span| span["name"].as_str()).collect();
    assert_eq!(names, ["GET (balancer try 1)", "GET (proxy)", "GET"]);
    assert!(spans.as_array().unwrap().iter().all(|span| span["traceId"] == trace));
    assert_eq!((&spans[1]["id"], &spans[1]["tags"]["peer.hostname"]), (&json!(span), &json!("localhost")));
    let entry: Value = serde_json::from_slice(&sink.next_request().unwrap().body).unwrap();
    assert_eq!(entry["trace_id"], json!({"b3": trace}));
}

#[test]
fn a_collector_that_hangs_slows_no_request_and_drops_what_is_too_much() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let gateway = Gateway::with(&format!(
        "- {{name: opentelemetry, config: {{traces_endpoint: 'http://{address}', queue: {{max_entries: 10, max_batch_size: 5, max_coalescing_delay: 0}}}}}}"
    ));
    let begin = Instant::now();
    for _ in 0..200 {
        assert_eq!(gateway.get("/x"), 200);
    }
    // One delivery alone would wait for eleven seconds.
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    // Of 200 requests with several spans each, what waits is bounded, and the rest is counted as lost.
    let metrics = client::get(gateway.status, "api.test", "/metrics").unwrap().text();
    let lost = metrics.lines().find(|line| line.starts_with("gibbon_queue_lost_entries_total{")).unwrap();
    let count: u64 = lost.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(count > 500, "{lost}");
    // What was sent is one batch of five, whatever came after it.
    let (mut stream, _) = silent.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut head = [0; 1024];
    let read = stream.read(&mut head).unwrap();
    assert!(String::from_utf8_lossy(&head[..read]).starts_with("POST / HTTP/1.1\r\n"));
}

#[test]
fn spans_of_lua_are_part_of_the_trace() {
    let collector = upstream::echo().unwrap();
    let code =
        "local outer = kong.tracing.start_span('look-up', { attributes = { kind = 'cache', size = 3, fresh = true } })
        kong.tracing.set_active_span(outer)
        local inner = kong.tracing.start_span('miss')
        inner:add_event('asked', { where = 'db' })
        inner:record_error('not there')
        inner:set_status(2)
        inner:finish()
        outer:finish()
        assert(kong.tracing.active_span() == outer and outer.is_recording)
        kong.tracing:set_should_sample(true)
        assert(kong.tracing:get_sampling_decision() == true)
        local seen = 0
        kong.tracing.process_span(function() seen = seen + 1 end)
        assert(seen == 2)";
    let plugin = json!({"name": "pre-function", "config": {"access": [code]}});
    let gateway = Gateway::with(&format!(
        "- {{name: opentelemetry, config: {{traces_endpoint: 'http://{}', queue: {{max_batch_size: 200, max_coalescing_delay: 0.1}}}}}}\n- {plugin}",
        collector.address()
    ));
    assert_eq!(gateway.get("/x"), 200);
    let spans = records(&collector.next_request().unwrap().body);
    let named = |name: &str| spans.iter().find(|span| first(span, 5) == name.as_bytes()).unwrap();
    let (outer, inner) = (named("look-up"), named("miss"));
    assert_eq!(first(inner, 4), first(outer, 2), "the one is within the other");
    assert_eq!(first(outer, 1), first(named("kong"), 1), "both are of the request's trace");
    let attributes: Vec<Vec<u8>> = all(outer, 9).iter().map(|pair| first(pair, 1)).collect();
    assert_eq!(attributes.len(), 3);
    let events: Vec<Vec<u8>> = all(inner, 11).iter().map(|event| first(event, 2)).collect();
    assert_eq!(events, [b"asked".to_vec(), b"exception".to_vec()]);
    assert_eq!(first(&first(inner, 15), 3)[0], 2);
}
