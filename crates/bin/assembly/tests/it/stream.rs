//! TCP, TLS and UDP through a whole node.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use gibbon_testkit::ports::free_tcp_address;

use crate::rig::Rig;

/// An upstream that answers what it is told with a mark in front.
fn tcp_echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut text = Vec::new();
                let _ = stream.read_to_end(&mut text);
                let _ = stream.write_all(b"echo:");
                let _ = stream.write_all(&text);
            });
        }
    });
    address
}

#[test]
fn a_tcp_route_relays_and_a_half_close_passes() {
    let upstream = tcp_echo();
    let listen = free_tcp_address().unwrap();
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  protocol: tcp\n  host: 127.0.0.1\n  port: {}\n  routes:\n  - name: r\n    protocols: [tcp]\n    destinations:\n    - port: {}\n",
        upstream.port(),
        listen.port()
    );
    let _rig = Rig::start(&[("stream_listen", listen.to_string())], &config);
    let mut client = TcpStream::connect(listen).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "echo:hello");
}

#[test]
fn a_connection_without_a_route_is_closed() {
    let listen = free_tcp_address().unwrap();
    let _rig = Rig::start(&[("stream_listen", listen.to_string())], "_format_version: '3.0'\n");
    let mut client = TcpStream::connect(listen).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    assert!(answer.is_empty());
}

#[test]
fn a_udp_route_carries_datagrams_both_ways() {
    let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = upstream.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((n, from)) = upstream.recv_from(&mut buffer) {
            let _ = upstream.send_to(&buffer[..n].to_ascii_uppercase(), from);
        }
    });
    let port = gibbon_testkit::ports::free_udp().unwrap();
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  protocol: udp\n  host: 127.0.0.1\n  port: {}\n  routes:\n  - name: r\n    protocols: [udp]\n    destinations:\n    - port: {port}\n",
        target.port()
    );
    let _rig = Rig::start(&[("stream_listen", format!("127.0.0.1:{port} udp"))], &config);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.send_to(b"ping", ("127.0.0.1", port)).unwrap();
    let mut buffer = [0; 100];
    let (n, _) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..n], b"PING");
}

#[test]
fn a_tcp_session_is_logged_with_its_bytes_and_its_try() {
    let (upstream, listen) = (tcp_echo(), free_tcp_address().unwrap());
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  protocol: tcp\n  host: 127.0.0.1\n  port: {}\n  routes:\n  - name: r\n    protocols: [tcp]\n    destinations:\n    - port: {}\n    plugins:\n    - name: tcp-log\n      protocols: [tcp]\n      config: {{host: 127.0.0.1, port: {}}}\n",
        upstream.port(),
        listen.port(),
        sink.local_addr().unwrap().port()
    );
    let _rig = Rig::start(&[("stream_listen", listen.to_string())], &config);
    let mut client = TcpStream::connect(listen).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    client.read_to_end(&mut Vec::new()).unwrap();
    let mut line = String::new();
    BufReader::new(sink.accept().unwrap().0).read_line(&mut line).unwrap();
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    let session = &entry["session"];
    assert_eq!((&session["received"], &session["sent"], &session["status"]), (&5.into(), &10.into(), &200.into()));
    assert_eq!(entry["upstream"], serde_json::json!({"received": 10, "sent": 5}));
    assert_eq!((&entry["route"]["name"], entry["tries"].as_array().map(Vec::len)), (&"r".into(), Some(1)));
    assert!(entry.get("request").is_none() && entry.get("source").is_none());
}

/// A route of layer 4 on `listen` to `upstream`, with these plugins: a YAML list.
fn with_plugins(upstream: std::net::SocketAddr, listen: std::net::SocketAddr, plugins: &str) -> String {
    format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  protocol: tcp\n  host: 127.0.0.1\n  port: {}\n  routes:\n  - name: r\n    protocols: [tcp]\n    destinations:\n    - port: {}\nplugins:\n{plugins}",
        upstream.port(),
        listen.port()
    )
}

/// Says hello and reads until the end.
fn greet(address: std::net::SocketAddr) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let _ = client.write_all(b"hello");
    let _ = client.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    answer
}

#[test]
fn addresses_are_kept_out_of_a_tcp_route() {
    let (upstream, listen) = (tcp_echo(), free_tcp_address().unwrap());
    let plugin = |config: &str| format!("- {{name: ip-restriction, protocols: [tcp], config: {config}}}");
    let rig = Rig::start(
        &[("stream_listen", listen.to_string())],
        &with_plugins(upstream, listen, &plugin("{deny: [127.0.0.0/8]}")),
    );
    assert_eq!(greet(listen), "");
    rig.load(&with_plugins(upstream, listen, &plugin("{allow: [127.0.0.1]}")));
    assert_eq!(greet(listen), "echo:hello");
}

#[test]
fn every_logger_tells_of_a_tcp_session() {
    let (upstream, listen) = (tcp_echo(), free_tcp_address().unwrap());
    let status = free_tcp_address().unwrap();
    let http = gibbon_testkit::upstream::echo().unwrap();
    let zipkin = gibbon_testkit::upstream::echo().unwrap();
    let sinks: Vec<UdpSocket> = (0..4).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    let port = |at: usize| sinks[at].local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.log");
    let plugins = format!(
        "- {{name: file-log, protocols: [tcp], config: {{path: '{}'}}}}
- {{name: http-log, protocols: [tcp], config: {{http_endpoint: 'http://{}', custom_fields_by_lua: {{who: 'return kong.client.get_ip()'}}}}}}
- {{name: zipkin, protocols: [tcp], config: {{http_endpoint: 'http://{}', sample_ratio: 1, queue: {{max_batch_size: 3}}}}}}
- {{name: udp-log, protocols: [tcp], config: {{host: 127.0.0.1, port: {}}}}}
- {{name: loggly, protocols: [tcp], config: {{key: k, host: 127.0.0.1, port: {}}}}}
- {{name: statsd, protocols: [tcp], config: {{host: 127.0.0.1, port: {}}}}}
- {{name: datadog, protocols: [tcp], config: {{host: 127.0.0.1, port: {}}}}}
- {{name: syslog, protocols: [tcp]}}
- {{name: prometheus, protocols: [tcp], config: {{status_code_metrics: true, latency_metrics: true}}}}
",
        file.display(),
        http.address(),
        zipkin.address(),
        port(0),
        port(1),
        port(2),
        port(3),
    );
    let settings = [("stream_listen", listen.to_string()), ("status_listen", status.to_string())];
    let _rig = Rig::start(&settings, &with_plugins(upstream, listen, &plugins));
    assert_eq!(greet(listen), "echo:hello");

    let heard = |at: usize| {
        sinks[at].set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut buffer = [0; 4096];
        let read = sinks[at].recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    };
    let entry: serde_json::Value = serde_json::from_slice(&http.next_request().unwrap().body).unwrap();
    assert_eq!((&entry["session"]["received"], &entry["who"]), (&5.into(), &"127.0.0.1".into()));
    let entry: serde_json::Value = serde_json::from_str(&heard(0)).unwrap();
    assert_eq!(entry["session"]["status"], 200);
    assert!(heard(1).starts_with("<14>1 ") && heard(2).starts_with("kong.service.s."), "loggly and statsd");
    assert!(heard(3).contains("#name:s,status:200"), "datadog");
    let spans: serde_json::Value = serde_json::from_slice(&zipkin.next_request().unwrap().body).unwrap();
    assert!(spans.as_array().unwrap().iter().any(|span| span["name"] == "stream"), "{spans}");
    let begin = std::time::Instant::now();
    let seen = |text: String, what: &str| {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what} is missing in {text}");
        std::thread::yield_now();
        text.contains(what)
    };
    while !seen(std::fs::read_to_string(&file).unwrap_or_default(), "\"session\"") {}
    let metrics = || gibbon_testkit::client::get(status, "node", "/metrics").unwrap().text();
    while !seen(metrics(), "kong_stream_sessions_total{service=\"s\",route=\"r\",code=\"200\",") {}
    assert!(metrics().contains("kong_session_duration_ms_count{service=\"s\",route=\"r\",workspace=\"default\"} 1"));
}
