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
