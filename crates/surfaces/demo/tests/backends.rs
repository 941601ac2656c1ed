//! The demo backends, spoken to directly by plain clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use gibbon_demo::{Demo, Ports, declarative};
use gibbon_testkit::client::{self, Client};
use http::Request;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

fn start() -> (Runtime, Demo) {
    let runtime = Runtime::new().unwrap();
    let demo = runtime.block_on(Demo::start(Ports::default())).unwrap();
    (runtime, demo)
}

#[test]
fn rest_describes_the_request_as_it_arrived() {
    let (_runtime, demo) = start();
    let request = "PUT /a/b?c=d HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 2\r\n\r\nhi";
    let seen = client::once(demo.addresses().rest, request).unwrap().json().unwrap();
    assert_eq!(seen["method"], "PUT");
    assert_eq!((&seen["path"], &seen["query"], &seen["body"]), (&"/a/b".into(), &"c=d".into(), &"hi".into()));
    assert_eq!(seen["headers"]["x-a"], serde_json::json!(["1", "2"]));
}

#[test]
fn rest_refuses_a_body_it_would_have_to_hold() {
    let (_runtime, demo) = start();
    let mut client = Client::connect(demo.addresses().rest).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n").unwrap();
    client.send(vec![b'x'; 1_048_577]).unwrap();
    assert_eq!(client.read_response("POST").unwrap().status(), 413);
}

#[test]
fn sse_ticks_as_often_as_asked_and_ends() {
    let (_runtime, demo) = start();
    let answer = client::get(demo.addresses().sse, "h", "/?every=10&count=3").unwrap();
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.text().matches("event: tick\n").count(), 3);
    assert!(answer.text().ends_with("data: {\"tick\": 3}\n\n"), "{}", answer.text());
}

#[test]
fn websocket_echoes_text_answers_pings_and_closes() {
    let (_runtime, demo) = start();
    let mut client = Client::connect(demo.addresses().websocket).unwrap();
    // Key and answer of RFC 6455 section 1.3.
    let answer = client
        .exchange(
            "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    assert_eq!((answer.status(), answer.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));

    client.send(masked(0x81, b"hello")).unwrap();
    assert_eq!(client.read_exact(7).unwrap(), b"\x81\x05hello");

    let long = vec![b'x'; 300];
    client.send([&[0x82, 0xFE, 1, 44, 0, 0, 0, 0], long.as_slice()].concat()).unwrap();
    assert_eq!(client.read_exact(304).unwrap(), [&[0x82, 126, 1, 44], long.as_slice()].concat());

    client.send(masked(0x89, b"?")).unwrap();
    assert_eq!(client.read_exact(3).unwrap(), b"\x8A\x01?");

    client.send(masked(0x88, b"\x03\xE8")).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"\x88\x02\x03\xE8");
}

#[test]
fn websocket_tells_others_what_it_speaks() {
    let (_runtime, demo) = start();
    assert_eq!(client::get(demo.addresses().websocket, "h", "/").unwrap().status(), 426);
}

#[test]
fn grpc_echoes_messages_and_ends_with_a_status() {
    let (runtime, demo) = start();
    let message = Bytes::from_static(b"\x00\x00\x00\x00\x04\x0A\x02hi");
    let (body, trailers) =
        runtime.block_on(call(demo.addresses().grpc, "/gibbon.demo.Echo/Say", message.clone())).unwrap();
    assert_eq!(body, message);
    assert_eq!(trailers.unwrap()["grpc-status"], "0");
}

#[test]
fn grpc_refuses_an_unknown_method() {
    let (runtime, demo) = start();
    let (_, trailers) = runtime.block_on(call(demo.addresses().grpc, "/x.Y/Z", Bytes::new())).unwrap();
    assert!(trailers.is_none(), "the status is in the head");
}

#[test]
fn the_configuration_names_every_backend() {
    let (_runtime, demo) = start();
    let text = declarative(&demo.addresses(), "/dev/null");
    let at = demo.addresses();
    for address in [at.rest, at.sse, at.websocket, at.grpc, at.llm] {
        assert!(text.contains(&address.to_string()), "{text}");
    }
}

async fn call(
    at: std::net::SocketAddr,
    path: &str,
    message: Bytes,
) -> Result<(Bytes, Option<http::HeaderMap>), Box<dyn std::error::Error>> {
    let (mut client, connection) = h2::client::handshake(TcpStream::connect(at).await?).await?;
    tokio::spawn(connection);
    let request = Request::post(format!("http://{at}{path}")).header("content-type", "application/grpc").body(())?;
    let (response, mut sending) = client.send_request(request, false)?;
    // A refusal may be here before the message has left.
    let _ = sending.send_data(message, true);
    let mut body = response.await?.into_body();
    let mut out = Vec::new();
    while let Some(piece) = body.data().await {
        out.extend_from_slice(&piece?);
    }
    Ok((out.into(), body.trailers().await?))
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut out = vec![first, 0x80 | payload.len() as u8];
    out.extend(mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}
