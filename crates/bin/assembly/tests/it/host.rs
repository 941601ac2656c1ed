//! Which plugins run on a request, where, and in which order: the rules of the chain through a whole node.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream::{self, Upstream};
use serde_json::{Value, json};

use crate::rig::Rig;

struct Gateway {
    rig: Rig,
    upstream: Upstream,
}

impl Gateway {
    /// One service `s` with one route `r` for all paths, and these further entities as YAML.
    fn with(rest: &str) -> Self {
        Self::with_settings(&[], rest)
    }

    fn with_settings(settings: &[(&str, String)], rest: &str) -> Self {
        let gateway = Gateway { rig: Rig::bare(settings), upstream: upstream::echo().unwrap() };
        gateway.load(rest);
        gateway
    }

    fn text(&self, rest: &str) -> String {
        let url = format!("http://{}", self.upstream.address());
        format!(
            "_format_version: '3.0'\nservices:\n- {{name: s, url: '{url}', routes: [{{name: r, paths: [/]}}]}}\n{rest}"
        )
    }

    fn load(&self, rest: &str) {
        self.rig.load(&self.text(rest));
    }

    /// Why the configuration is refused.
    fn refused(&self, rest: &str) -> String {
        let refused = self.rig.running().declarative.replace(self.text(rest).as_bytes());
        format!("{:#}", refused.expect_err("the configuration was accepted"))
    }

    fn get(&self, headers: &str) -> Response {
        let request = format!("GET /a HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n{headers}\r\n");
        client::once(self.rig.proxy, request).unwrap()
    }
}

#[test]
fn of_twelve_scopes_the_most_specific_wins_as_it_is_reached() {
    // Given a configuration of one plugin for each scope, from the most to the least specific.
    let scopes = [
        "consumer: c, route: r, service: s",
        "consumer_group: g, service: s, route: r",
        "consumer: c, route: r",
        "consumer: c, service: s",
        "consumer_group: g, route: r",
        "consumer_group: g, service: s",
        "route: r, service: s",
        "consumer: c",
        "consumer_group: g",
        "route: r",
        "service: s",
        "",
    ];
    let plugin = |number: usize| {
        let scope = scopes[number];
        let comma = if scope.is_empty() { "" } else { ", " };
        format!("- {{name: response-transformer{comma}{scope}, config: {{add: {{headers: ['x-scope:{number}']}}}}}}\n")
    };
    let people = "consumer_groups: [{name: g}]\nconsumers:\n\
        - {username: c, groups: [{name: g}], keyauth_credentials: [{key: k}]}\nplugins:\n- {name: key-auth}\n";
    let gateway = Gateway::with("");
    for first in 0..scopes.len() {
        // When the most specific ones are taken away, then the next one is in force.
        let rest: String = (first..scopes.len()).map(plugin).collect();
        gateway.load(&format!("{people}{rest}"));
        let answer = gateway.get("apikey: k\r\n");
        assert_eq!(answer.header("x-scope"), Some(first.to_string().as_str()), "{}", scopes[first]);
    }
}

#[test]
fn ordering_puts_a_plugin_before_or_after_another() {
    let people = "consumers: [{username: c, keyauth_credentials: [{key: k}]}]\nplugins:\n";
    let adds_key = |ordering: &str| {
        format!(
            "{people}- {{name: key-auth}}\n- {{name: request-transformer{ordering}, config: {{add: {{headers: ['apikey:k']}}}}}}\n"
        )
    };
    let gateway = Gateway::with(&adds_key(""));
    assert_eq!(gateway.get("").status(), 401, "the key comes too late");
    gateway.load(&adds_key(", ordering: {before: {access: [key-auth]}}"));
    assert_eq!(gateway.get("").status(), 200);
    gateway.load(&format!(
        "{people}- {{name: key-auth, ordering: {{after: {{access: [request-transformer]}}}}}}\n\
         - {{name: request-transformer, config: {{add: {{headers: ['apikey:k']}}}}}}\n"
    ));
    assert_eq!(gateway.get("").status(), 200);
}

#[test]
fn a_plugin_that_is_not_enabled_does_not_run() {
    let gateway = Gateway::with("plugins: [{name: request-termination, enabled: false}]");
    assert_eq!(gateway.get("").status(), 200);
    gateway.load("plugins: [{name: request-termination, enabled: true}]");
    assert_eq!(gateway.get("").status(), 503);
}

#[test]
fn a_condition_is_asked_when_the_plugin_is_reached() {
    let stop = |condition: &str| {
        format!("plugins:\n- {{name: request-termination, condition: '{condition}', config: {{status_code: 418}}}}\n")
    };
    let gateway = Gateway::with(&stop(r#"http.headers.x_stop == "yes" && http.path ^= "/a""#));
    assert_eq!(gateway.get("").status(), 200);
    assert_eq!(gateway.get("X-Stop: yes\r\n").status(), 418);
    // What a plugin above wrote into the request counts; `request-termination` comes last.
    let marks = r#"- {name: request-transformer, config: {add: {headers: ['x-stop:yes']}}}"#;
    gateway.load(&format!("{}{marks}\n", stop(r#"http.headers.x_stop == "yes""#)));
    assert_eq!(gateway.get("").status(), 418);
    // Who sits the access phase out has no part in the later ones.
    let mark =
        "- {name: response-transformer, condition: 'http.method == \"PUT\"', config: {add: {headers: ['x-seen:1']}}}";
    gateway.load(&format!("plugins:\n{mark}\n"));
    assert_eq!(gateway.get("").header("x-seen"), None);
    gateway.load(&format!("plugins:\n{}\n", mark.replace("PUT", "GET")));
    assert_eq!(gateway.get("").header("x-seen"), Some("1"));
}

#[test]
fn a_condition_that_says_nothing_is_refused_and_the_former_configuration_stays() {
    let gateway = Gateway::with("");
    for bad in ["http.nonsense == \"x\"", "http.path ==", "consumer.username == \"x\""] {
        let why = gateway.refused(&format!("plugins: [{{name: request-termination, condition: '{bad}'}}]\n"));
        assert!(why.contains("condition"), "{bad}: {why}");
    }
    assert_eq!(gateway.get("").status(), 200);
}

#[test]
fn names_of_instances_are_unique() {
    let two = "plugins:\n- {name: cors, instance_name: one}\n- {name: request-termination, instance_name: one}\n";
    let why = Gateway::with("").refused(two);
    assert!(why.contains("instance_name") || why.contains("one"), "{why}");
}

#[test]
fn only_the_plugins_that_the_settings_name_are_there() {
    let plugins = |value: &str| vec![("plugins", value.to_owned())];
    let gateway = Gateway::with_settings(&plugins("key-auth, request-termination"), "plugins: [{name: key-auth}]");
    assert_eq!(gateway.get("").status(), 401);
    let why = gateway.refused("plugins: [{name: cors}]");
    assert!(why.contains("plugin 'cors' not enabled; add it to the 'plugins' configuration property"), "{why}");
    let none = Gateway::with_settings(&plugins("off"), "");
    assert!(none.refused("plugins: [{name: key-auth}]").contains("plugin 'key-auth' not enabled"));
    let all = Gateway::with_settings(&plugins("bundled"), "plugins: [{name: cors}, {name: key-auth}]");
    assert_eq!(all.get("").status(), 401);
}

/// An upstream of connections that answers with what it was told.
fn tcp_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                let _ = stream.read_to_end(&mut text);
                let _ = stream.write_all(&text);
            });
        }
    });
    address
}

fn through_tcp(to: SocketAddr) -> String {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(client::PATIENCE)).unwrap();
    let _ = stream.write_all(b"hello").and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn protocols_decide_whether_requests_or_connections_are_met() {
    let listen = free_tcp_address().unwrap();
    let streams = format!(
        "- {{name: t, protocol: tcp, host: 127.0.0.1, port: {}, routes: [{{name: t, protocols: [tcp], destinations: [{{port: {}}}]}}]}}\n",
        tcp_echo().port(),
        listen.port()
    );
    let deny = |protocols: &str| {
        format!("{streams}plugins:\n- {{name: ip-restriction{protocols}, config: {{deny: [127.0.0.0/8]}}}}\n")
    };
    let gateway = Gateway::with_settings(&[("stream_listen", listen.to_string())], &deny(", protocols: [http, https]"));
    assert_eq!((gateway.get("").status(), through_tcp(listen).as_str()), (403, "hello"));
    gateway.load(&deny(", protocols: [tcp]"));
    assert_eq!((gateway.get("").status(), through_tcp(listen).as_str()), (200, ""));
    gateway.load(&deny(""));
    assert_eq!((gateway.get("").status(), through_tcp(listen).as_str()), (403, ""), "both by default, as in Kong");
}

#[test]
fn connections_are_logged_by_plugins_that_are_told_to() {
    let listen = free_tcp_address().unwrap();
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let rest = format!(
        "- {{name: t, protocol: tcp, host: 127.0.0.1, port: {}, routes: [{{name: t, protocols: [tcp], destinations: [{{port: {}}}]}}]}}\n\
         plugins:\n- {{name: tcp-log, protocols: [tcp], config: {{host: 127.0.0.1, port: {}}}}}\n",
        tcp_echo().port(),
        listen.port(),
        sink.local_addr().unwrap().port()
    );
    let gateway = Gateway::with_settings(&[("stream_listen", listen.to_string())], &rest);
    assert_eq!(gateway.get("").status(), 200, "which is not logged");
    assert_eq!(through_tcp(listen), "hello");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(sink.accept().unwrap().0), &mut line).unwrap();
    let entry: Value = serde_json::from_str(&line).unwrap();
    let session = json!({"received": 5, "sent": 5, "status": 200, "server_port": listen.port()});
    assert_eq!((&entry["route"]["name"], &entry["session"]), (&json!("t"), &session), "{entry}");
    assert_eq!(entry["upstream"], json!({"received": 5, "sent": 5}));
    assert!(entry.get("request").is_none() && entry.get("source").is_none(), "{entry}");
}

#[test]
fn plugins_and_credentials_of_a_workspace_stay_in_it() {
    let admin = free_tcp_address().unwrap();
    let settings = [("database", "sqlite".to_owned()), ("admin_listen", admin.to_string())];
    let (rig, upstream) = (Rig::bare(&settings), upstream::echo().unwrap());
    let call = |line: &str, body: Value| {
        let body = body.to_string();
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\nContent-Length: {length}");
        let answer = client::once(admin, format!("{head}\r\nConnection: close\r\n\r\n{body}")).unwrap();
        assert!(answer.status() < 300, "{line}: {} {}", answer.status(), answer.text());
    };
    call("POST /workspaces", json!({"name": "team"}));
    for workspace in ["default", "team"] {
        let url = format!("http://{}", upstream.address());
        call(&format!("POST /{workspace}/services"), json!({"name": "s", "url": url}));
        let path = format!("/{workspace}");
        call(&format!("POST /{workspace}/services/s/routes"), json!({"name": "r", "paths": [path]}));
        call(&format!("POST /{workspace}/consumers"), json!({"username": "c"}));
    }
    let get = |path: &str, key: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nConnection: close\r\n\r\n");
        client::once(rig.proxy, request).unwrap().status()
    };
    call("POST /team/plugins", json!({"name": "key-auth"}));
    call("POST /team/consumers/c/key-auth", json!({"key": "of-team"}));
    call("POST /default/consumers/c/key-auth", json!({"key": "of-default"}));
    assert_eq!([get("/default", ""), get("/team", "")], [200, 401], "a plugin for all of a workspace");
    assert_eq!([get("/team", "of-default"), get("/team", "of-team")], [401, 200]);
    // Loggers tell which workspace it was.
    let sink = upstream::echo().unwrap();
    for workspace in ["default", "team"] {
        let config = json!({"http_endpoint": format!("http://{}/", sink.address())});
        call(&format!("POST /{workspace}/plugins"), json!({"name": "http-log", "config": config}));
    }
    for (path, key, workspace) in [("/default", "", "default"), ("/team", "of-team", "team")] {
        assert_eq!(get(path, key), 200);
        let entry: Value = serde_json::from_slice(&sink.next_request().unwrap().body).unwrap();
        assert_eq!(entry["workspace_name"], workspace, "{entry}");
        assert_eq!(entry["workspace"], entry["route"]["ws_id"], "{entry}");
    }
}

#[test]
fn a_log_endpoint_that_hangs_slows_nobody_and_costs_entries_once_the_queue_is_full() {
    // Given an endpoint that takes connections and never answers, and a queue of ten.
    let sink = upstream::silent().unwrap();
    let status = free_tcp_address().unwrap();
    let log = format!(
        "plugins:\n- {{name: http-log, config: {{http_endpoint: 'http://{}/', timeout: 60000, queue: {{max_entries: 10}}}}}}\n",
        sink.address()
    );
    let gateway = Gateway::with_settings(&[("status_listen", status.to_string())], &log);
    let mut client = client::Client::connect(gateway.rig.proxy).unwrap();
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(client.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().status(), 200);
    }
    assert!(began.elapsed() < Duration::from_secs(30), "the endpoint's timeout is a minute");
    // Then what does not fit is dropped and counted; the log phase runs behind the answers.
    let deadline = Instant::now() + client::PATIENCE;
    loop {
        let metrics = client::get(status, "status", "/metrics").unwrap().text();
        let lost = metrics.lines().find(|line| line.starts_with("gibbon_queue_lost_entries_total{"));
        let lost: u64 = lost.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap());
        if lost >= 39 {
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        std::thread::yield_now();
    }
}
