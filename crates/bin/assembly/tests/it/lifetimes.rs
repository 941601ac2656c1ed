//! What long conversations hold on to, and for how long.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gibbon_testkit::{Client, Upstream, client, ports::free_tcp_address};

use crate::rig::Rig;

/// Answers `/` whole, `/events` with a stream that never ends, and `/tunnel` with an upgrade.
fn upstream() -> Upstream {
    Upstream::serve(|mut connection| {
        while let Some(request) = connection.read_request()? {
            if request.target.starts_with("/events") {
                connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
                connection.hold();
            } else if request.header("upgrade").is_some() {
                connection
                    .send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")?;
                connection.hold();
            } else {
                connection.answer(200, &[], "whole")?;
            }
        }
        Ok(())
    })
    .unwrap()
}

#[test]
fn a_tunnel_a_stream_and_an_endless_answer_let_go_of_their_plan() {
    let upstream = upstream();
    let listen = free_tcp_address().unwrap();
    let config = |mark: &str| {
        format!(
            "_format_version: '3.0'\nservices:\n- name: s\n  url: http://{0}\n  routes:\n  - name: r\n    paths: [/]\n    tags: [{mark}]\n\
             - name: t\n  url: tcp://{0}\n  routes:\n  - name: t\n    protocols: [tcp]\n    destinations:\n    - port: {1}\n",
            upstream.address(),
            listen.port()
        )
    };
    let settings = [("stream_listen", listen.to_string()), ("nginx_worker_processes", "1".to_owned())];
    let rig = Rig::start(&settings, &config("old"));
    let mut events = Client::connect(rig.proxy).unwrap();
    events.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    events.read_head().unwrap();
    let mut tunnel = Client::connect(rig.proxy).unwrap();
    tunnel
        .send(
            "GET /tunnel HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    assert_eq!(tunnel.read_head().unwrap().status, 101);
    let stream = TcpStream::connect(listen).unwrap();
    let connections = Instant::now() + Duration::from_secs(20);
    while upstream.connections() < 3 {
        assert!(Instant::now() < connections, "the stream has not arrived");
    }

    let old = Arc::downgrade(&rig.running().node.publisher.current());
    rig.load(&config("new"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while old.upgrade().is_some() {
        assert!(Instant::now() < deadline, "the plan of the open connections is still there");
        // A worker that serves takes the new plan.
        assert_eq!(client::get(rig.proxy, "h", "/").unwrap().status(), 200);
    }
    drop((events, tunnel, stream));
}
