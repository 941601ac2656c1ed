//! Plugins that log and count, through a whole node with four workers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

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

/// A node, and the upstream that its one service leads to.
struct Gateway {
    proxy: SocketAddr,
    status: SocketAddr,
    _upstream: Upstream,
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
            ("nginx_worker_processes", "4".into()),
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
            "_format_version: '3.0'\nservices:\n- name: svc\n  url: http://{}\n  routes:\n  - name: r\n    paths: [/x]\n    strip_path: false\nplugins:\n{plugins}",
            upstream.address()
        );
        running.declarative.replace(config.as_bytes()).unwrap();
        Gateway { proxy, status, _upstream: upstream, running: Some(running), _prefix: prefix }
    }

    fn get(&self, target: &str) -> u16 {
        client::get(self.proxy, "api.test", target).unwrap().status()
    }

    fn metrics(&self) -> String {
        client::get(self.status, "api.test", "/metrics").unwrap().text()
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
fn http_log_posts_the_entry_of_a_proxied_request() {
    let sink = upstream::echo().unwrap();
    let gateway = Gateway::with(&format!(
        "- {{name: http-log, config: {{http_endpoint: 'http://u:p@{}/in?k=v'}}}}",
        sink.address()
    ));
    assert_eq!(gateway.get("/x?q=1"), 200);
    let request = sink.next_request().unwrap();
    assert_eq!(
        (request.header("content-type"), request.header("authorization")),
        (Some("application/json"), Some("Basic dTpw"))
    );
    let entry: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(entry["request"]["uri"], "/x?q=1");
    assert_eq!(entry["request"]["url"], format!("http://api.test:{}/x?q=1", gateway.proxy.port()));
    assert_eq!(entry["request"]["querystring"], json!({"q": "1"}));
    assert_eq!((&entry["upstream_uri"], &entry["upstream_status"]), (&json!("/x?q=1"), &json!("200")));
    assert_eq!((&entry["route"]["name"], &entry["service"]["name"]), (&json!("r"), &json!("svc")));
    assert_eq!((&entry["source"], entry["tries"].as_array().map(Vec::len)), (&json!("upstream"), Some(1)));
    assert!(entry["route"].as_object().unwrap().values().all(|value| !value.is_null()));
    assert!(entry["response"]["headers"]["x-kong-request-id"] == entry["request"]["id"]);
}

#[test]
fn http_log_shows_its_certificate_to_an_endpoint_that_asks_for_one() {
    let pem = |name: &str| {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    };
    let (server, client) = (pem("127.0.0.1"), pem("logger.test"));
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let sink = upstream::echo().unwrap();
    let endpoint = gibbon_testkit::servers::nginx(&format!(
        "server {{ listen LISTEN ssl; ssl_certificate {}; ssl_certificate_key {}; ssl_client_certificate {};\n\
         ssl_verify_client on; location / {{ proxy_pass http://{}; proxy_set_header X-Verified $ssl_client_verify; }} }}",
        file("cert.pem", &server.0),
        file("key.pem", &server.1),
        file("client.pem", &client.0),
        sink.address()
    ));
    let endpoint = endpoint.unwrap();
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let id = "11111111-1111-4111-8111-111111111111";
    let config = |shown: &str| {
        format!("{{http_endpoint: 'https://{}/in', queue: {{max_retry_time: 0.1}}{shown}}}", endpoint.address())
    };
    let gateway = Gateway::with(&format!(
        "- {{name: http-log, instance_name: one, config: {}}}\n- {{name: http-log, route: r, config: {}}}\ncertificates:\n- id: {id}\n  cert: |\n{}  key: |\n{}",
        config(""),
        config(&format!(", client_certificate: {{id: {id}}}")),
        indented(&client.0),
        indented(&client.1)
    ));
    // Who shows none is refused by the endpoint.
    assert_eq!(gateway.get("/elsewhere"), 404);
    assert_eq!(gateway.get("/x?with=one"), 200);
    let seen = sink.next_request().unwrap();
    let entry: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!((seen.header("x-verified"), &entry["request"]["uri"]), (Some("SUCCESS"), &json!("/x?with=one")));
    assert!(sink.requests().is_empty());
}

#[test]
fn what_a_node_logged_before_it_ends_still_arrives() {
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = sink.local_addr().unwrap().port();
    let gateway = Gateway::with(&format!("- {{name: tcp-log, config: {{host: 127.0.0.1, port: {port}}}}}"));
    assert_eq!(gateway.get("/nothing"), 404);
    drop(gateway);
    let mut text = String::new();
    BufReader::new(sink.accept().unwrap().0).read_line(&mut text).unwrap();
    let entry: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!((&entry["source"], &entry["response"]["status"]), (&json!("kong"), &json!(404)));
    assert!(entry.get("route").is_none() && entry.get("tries").is_none());
}

#[test]
fn statsd_sends_its_lines_over_udp() {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = sink.local_addr().unwrap().port();
    let gateway = Gateway::with(&format!("- {{name: statsd, config: {{host: 127.0.0.1, port: {port}}}}}"));
    assert_eq!(gateway.get("/x"), 200);
    let mut buffer = [0; 1500];
    let read = sink.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..read], b"kong.service.svc.request.count:1|c");
}

#[test]
fn the_status_interface_shows_figures_of_all_workers() {
    let gateway = Gateway::with("- {name: prometheus, config: {status_code_metrics: true, latency_metrics: true}}");
    for _ in 0..8 {
        assert_eq!(gateway.get("/x"), 200);
    }
    let labels = "service=\"svc\",route=\"r\",code=\"200\",source=\"service\",workspace=\"default\",consumer=\"\"";
    let wanted = format!("kong_http_requests_total{{{labels}}} 8");
    // The log phase runs after the client has its answer.
    let text = loop {
        let text = gateway.metrics();
        if text.lines().any(|line| line == wanted) {
            break text;
        }
        assert!(!text.contains(&format!("{labels}}} 9")), "{text}");
        std::thread::yield_now();
    };
    for family in
        ["kong_nginx_connections_total", "kong_node_info", "kong_datastore_reachable", "kong_request_latency_ms_bucket"]
    {
        assert!(text.contains(&format!("\n{family}")), "{family} is missing in\n{text}");
    }
}

#[test]
fn loggers_add_and_remove_fields_by_lua() {
    let sink = upstream::echo().unwrap();
    let gateway = Gateway::with(&format!(
        r#"- name: http-log
  config:
    http_endpoint: http://{}
    custom_fields_by_lua:
      tenant: return kong.request.get_header("x-tenant") or "none"
      route: return nil
      request.shown: "return {{ status = kong.response.get_status(), list = {{1, 2}} }}"
      broken: error("no such field")
      unreachable: return io.open("/etc/hostname")
"#,
        sink.address()
    ));
    for _ in 0..8 {
        assert_eq!(gateway.get("/x"), 200);
        let entry: Value = serde_json::from_slice(&sink.next_request().unwrap().body).unwrap();
        assert_eq!((&entry["tenant"], entry.get("route")), (&json!("none"), None));
        assert_eq!(entry["request"]["shown"], json!({"status": 200, "list": [1, 2]}));
        assert_eq!((entry.get("broken"), entry.get("unreachable")), (None, None));
        assert_eq!(entry["service"]["name"], "svc");
    }
}

#[test]
fn a_field_whose_lua_does_not_parse_is_refused() {
    let gateway = Gateway::with("");
    for plugin in [
        "file-log, config: {path: /tmp/x",
        "http-log, config: {http_endpoint: 'http://a.test'",
        "loggly, config: {key: k",
        "syslog, config: {facility: user",
        "tcp-log, config: {host: a.test, port: 1",
        "udp-log, config: {host: a.test, port: 1",
    ] {
        let config = format!(
            "_format_version: '3.0'\nplugins:\n- {{name: {plugin}, custom_fields_by_lua: {{a: 'return ('}}}}}}\n"
        );
        let refused = gateway.running.as_ref().unwrap().declarative.replace(config.as_bytes());
        let why = format!("{:#}", refused.err().unwrap());
        assert!(why.contains("Error parsing function: [string") && why.contains("near"), "{plugin}: {why}");
    }
}
