//! From socket to stream: TLS, plain text on a TLS port, and a look at the greeting.

use std::time::Duration;

use gibbon_net::{ConnectAddress, Connector, Stream, Target, TlsArrival, TlsTarget, accept_tls, peek_client_hello};
use gibbon_tls::{HandshakeFailure, Peeked, ServerName, ServerTlsSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use crate::certificates::SelfSigned;
use crate::{installed, listener};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

async fn answer(stream: &mut Stream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi").await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn curl_is_served_over_tls() {
    if !installed("curl") {
        return;
    }
    let own = SelfSigned::new("a.test");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &own.pem).unwrap();
    let (listener, address, counters) = listener();
    let settings = ServerTlsSettings { alpn: vec![b"http/1.1".to_vec()], ..ServerTlsSettings::default() };
    let tls = own.server_with(&settings);
    let serve = async {
        let socket = listener.accept().await.unwrap();
        let TlsArrival::Tls(mut stream) = accept_tls(socket, &tls, &counters).await.unwrap() else {
            panic!("that was TLS")
        };
        let info = stream.tls_info().unwrap();
        assert_eq!((info.sni, info.alpn), (Some("a.test"), Some(b"http/1.1".as_slice())));
        answer(&mut stream).await;
    };
    let port = address.port();
    let mut curl = Command::new("curl");
    curl.args(["-s", "--cacert", ca.to_str().unwrap(), "--resolve", &format!("a.test:{port}:127.0.0.1")])
        .arg(format!("https://a.test:{port}/"));
    let (output, ()) = tokio::join!(curl.output(), serve);
    assert_eq!(output.unwrap().stdout, b"hi");
    assert_eq!(counters.totals().tls_handshakes, 1);
}

#[tokio::test]
async fn large_bodies_cross_tls_whole_in_both_directions() {
    let own = SelfSigned::new("a.test");
    let (client_tls, server_tls) = (own.trusting_client(), own.server());
    let (listener, address, counters) = listener();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 3) as u8).collect();
    let echo = async {
        let arrival = accept_tls(listener.accept().await.unwrap(), &server_tls, &counters).await.unwrap();
        let TlsArrival::Tls(stream) = arrival else { panic!("that was TLS") };
        let (mut read, mut write) = tokio::io::split(stream);
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let client = async {
        let (address, name) = (ConnectAddress::Ip(address), ServerName::parse("a.test").unwrap());
        let tls = Some(TlsTarget { tls: &client_tls, name: &name });
        let target = Target { address: &address, timeout: Duration::from_secs(10), tls, proxy_header: None };
        let stream = Connector::default().connect(&target).await.unwrap();
        let (mut read, mut write) = tokio::io::split(stream);
        let mut echoed = Vec::new();
        let (written, read) = tokio::join!(
            async {
                write.write_all(&sent).await?;
                write.shutdown().await
            },
            read.read_to_end(&mut echoed),
        );
        written.unwrap();
        read.unwrap();
        echoed
    };
    let (echoed, ()) = tokio::join!(client, echo);
    assert!(echoed == sent);
}

#[tokio::test]
async fn plain_text_on_a_tls_port_can_be_answered_as_plain_text() {
    let (listener, address, counters) = listener();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let socket = listener.accept().await.unwrap();
    let arrival = accept_tls(socket, &SelfSigned::new("a.test").server(), &counters).await.unwrap();
    let TlsArrival::Plain(socket) = arrival else { panic!("that was no TLS") };
    answer(&mut Stream::Plain(socket)).await;
    let mut page = String::new();
    client.read_to_string(&mut page).await.unwrap();
    assert!(page.ends_with("hi"));
    assert_eq!(counters.totals().plain_on_tls, 1);
}

#[tokio::test]
async fn failures_are_counted_by_reason() {
    let (listener, address, counters) = listener();
    let tls = SelfSigned::new("a.test").server();
    for (sent, expected) in
        [(b"\x16\xff\xff\xff\xff\xff".as_slice(), HandshakeFailure::BadRecord), (b"", HandshakeFailure::Closed)]
    {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(sent).await.unwrap();
        client.shutdown().await.unwrap();
        let socket = listener.accept().await.unwrap();
        let error = accept_tls(socket, &tls, &counters).await.err().unwrap();
        assert_eq!(error.failure, expected);
        assert_eq!(counters.totals().tls_failures[expected.index()], 1);
    }
    assert_eq!(counters.totals().active, 0);
}

#[tokio::test]
async fn a_greeting_can_be_read_without_being_consumed() {
    let own = SelfSigned::new("a.test");
    let (listener, address, counters) = listener();
    let client = async {
        let socket = TcpStream::connect(address).await.unwrap();
        own.trusting_client().connect(&ServerName::parse("a.test").unwrap(), socket).await.unwrap()
    };
    let serve = async {
        let mut socket = listener.accept().await.unwrap();
        let Peeked::Complete(hello) = peek_client_hello(&mut socket, soon()).await.unwrap() else {
            panic!("no greeting")
        };
        assert_eq!(hello.sni.as_deref(), Some("a.test"));
        accept_tls(socket, &own.server(), &counters).await.unwrap()
    };
    let (_connected, arrival) = tokio::join!(client, serve);
    assert!(matches!(arrival, TlsArrival::Tls(_)));
}

#[tokio::test]
async fn without_a_greeting_the_bytes_stay_to_be_passed_on() {
    let (listener, address, _) = listener();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut socket = listener.accept().await.unwrap();
    assert_eq!(peek_client_hello(&mut socket, soon()).await.unwrap(), Peeked::NotTls);
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "SSH-2.0-x\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_not_waited_for_longer_than_allowed() {
    let (listener, address, _) = listener();
    let _client = TcpStream::connect(address).await.unwrap();
    let mut socket = listener.accept().await.unwrap();
    let began = Instant::now();
    assert_eq!(peek_client_hello(&mut socket, began + Duration::from_secs(5)).await.unwrap(), Peeked::NotTls);
    assert_eq!(began.elapsed().as_secs(), 5);
}
