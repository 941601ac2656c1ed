//! Are its logs where the settings say, and is everything in them that belongs there?

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Instant;

use gibbon_testkit::{Settings, client, ports};
use serde_json::json;

use crate::ending::PATIENCE;

/// Echoes one connection after the other until the test ends.
fn echo_tcp() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
        }
    });
    address
}

fn echo_udp() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            socket.send_to(&buffer[..length], from).unwrap();
        }
    });
    address
}

#[test]
fn admin_status_and_stream_calls_are_written_where_the_settings_say() {
    let (tcp, udp) =
        (ports::free_tcp_address().unwrap(), SocketAddr::from(([127, 0, 0, 1], ports::free_udp().unwrap())));
    let route = |name: &str, protocol: &str, port: u16| json!({"name": name, "protocols": [protocol], "destinations": [{"port": port}]});
    let config = json!({"_format_version": "3.0", "services": [
        {"name": "t", "url": format!("tcp://{}", echo_tcp()), "routes": [route("t", "tcp", tcp.port())]},
        {"name": "u", "url": format!("udp://{}", echo_udp()), "read_timeout": 200, "routes": [route("u", "udp", udp.port())]}]});
    let gateway = Settings::new()
        .config(config.to_string())
        .set("stream_listen", format!("{tcp}, {udp} udp"))
        .set("proxy_stream_access_log", "logs/stream.log basic")
        .set("admin_access_log", "logs/calls.log short")
        .set("status_access_log", "logs/status.log")
        .set("nginx_http_log_format", "short '$remote_addr \"$request\" $status $http_x_from'")
        .start()
        .unwrap();

    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.write_all(b"12345").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(b"1234567", udp).unwrap();
    socket.recv(&mut [0; 16]).unwrap();
    let head = "GET /services/t?size=1 HTTP/1.1\r\nHost: a\r\nX-From: test\r\nConnection: close\r\n\r\n";
    assert_eq!(client::once(gateway.addresses().admin, head).unwrap().status(), 200);
    assert_eq!(client::get(gateway.addresses().status, "s", "/nothing").unwrap().status(), 404);

    for (file, expected) in [
        ("stream.log", "] TCP 200 5 5 "),
        ("stream.log", "] UDP 200 7 7 "),
        ("calls.log", "127.0.0.1 \"GET /services/t?size=1 HTTP/1.1\" 200 test\n"),
        ("status.log", "\"GET /nothing HTTP/1.1\" 404 "),
    ] {
        let path = gateway.prefix().join("logs").join(file);
        let deadline = Instant::now() + PATIENCE;
        while !fs::read_to_string(&path).unwrap_or_default().contains(expected) {
            assert!(Instant::now() < deadline, "{file} has no {expected:?}: {:?}", fs::read_to_string(&path));
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_request_line_is_logged_as_it_came_also_when_it_was_refused() {
    let gateway = Settings::new().config("_format_version: '3.0'").start().unwrap();
    let lines = ["GET  http://a.test/b?c   HTTP/1.1", "GET /%zz HTTP/1.1", "no request \x01"];
    for line in lines {
        let status = client::once(gateway.addresses().proxy, format!("{line}\r\nHost: a\r\n\r\n")).unwrap().status();
        assert!(status == 404 || status == 400, "{line}: {status}");
    }
    let path = gateway.prefix().join("logs/access.log");
    let deadline = Instant::now() + PATIENCE;
    let shown = ["\"GET  http://a.test/b?c   HTTP/1.1\" 404", "\"GET /%zz HTTP/1.1\" 400", "\"no request \\x01\" 400"];
    while !shown.iter().all(|line| fs::read_to_string(&path).unwrap_or_default().contains(line)) {
        assert!(Instant::now() < deadline, "{:?}", fs::read_to_string(&path));
        std::thread::yield_now();
    }
}
