//! Real servers on loopback, one connection at a time, so that what is sent can be read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::{Headers, Method};
use gibbon_outcall::{CallError, Client, Line, LineTarget, Reach, ReachError, Request, Tls};
use gibbon_tls::{Accepted, Certificate, CertificateSource, ClientHello, ServerTls, ServerTlsSettings, TrustStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};

fn reach(trust: Option<TrustStore>) -> Arc<Reach> {
    let settings =
        gibbon_dns::Settings { hosts: gibbon_dns::Hosts::parse("127.0.0.1 box.example"), ..Default::default() };
    let resolver = gibbon_dns::Resolver::new(settings, Arc::new(gibbon_dns::SystemClock::default()));
    Arc::new(Reach::new(resolver, trust))
}

fn client() -> Client {
    Client::new(reach(None), tokio::runtime::Handle::current())
}

fn post(url: String, body: &'static str) -> Request {
    let mut headers = Headers::new();
    headers.append("Content-Type", "text/plain");
    Request {
        method: Method::parse(b"POST").unwrap(),
        url,
        headers,
        body: Bytes::from_static(body.as_bytes()),
        timeout: Duration::from_secs(5),
        keepalive: Duration::from_secs(60),
        tls: Tls { verify: true, server_name: None, identity: None },
        proxy: None,
        max_response_bytes: 1000,
    }
}

/// Answers every request on every connection with `answer`; tells what came, connection by connection.
async fn server(answer: &'static str, close: bool) -> (u16, tokio::sync::mpsc::UnboundedReceiver<(usize, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut socket, _)) = listener.accept().await {
            number += 1;
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(read @ 1..) = socket.read(&mut buffer).await {
                    let _ = tell.send((number, String::from_utf8_lossy(&buffer[..read]).into_owned()));
                    socket.write_all(answer.as_bytes()).await.unwrap();
                    if close {
                        return;
                    }
                }
            });
        }
    });
    (port, told)
}

#[tokio::test]
async fn a_request_is_sent_whole_and_the_connection_serves_the_next() {
    let (port, mut told) = server("HTTP/1.1 202 Accepted\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok", false).await;
    let client = client();
    for _ in 0..2 {
        let answer = client.call(post(format!("http://box.example:{port}/in?a=b"), "hello")).await.unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.headers.get_str("x-a")), (202, &b"ok"[..], Some("b")));
    }
    let (first, text) = told.recv().await.unwrap();
    assert!(text.starts_with("POST /in?a=b HTTP/1.1\r\n") && text.ends_with("\r\n\r\nhello"), "{text}");
    assert!(
        text.contains(&format!("Host: box.example:{port}\r\n")) && text.contains("Content-Length: 5\r\n"),
        "{text}"
    );
    assert_eq!(told.recv().await.unwrap().0, first, "a second connection was made");
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_replaced() {
    let (port, mut told) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true).await;
    let client = client();
    for _ in 0..2 {
        let answer = client.call(post(format!("http://127.0.0.1:{port}/"), "x")).await;
        // The close may come between the look and the write; a POST is then not repeated.
        assert!(answer.is_ok_and(|a| a.status == 200) || told.try_recv().is_ok());
    }
}

#[tokio::test]
async fn answers_above_the_limit_are_refused() {
    let (port, _told) = server("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", false).await;
    let answer = client().call(post(format!("http://127.0.0.1:{port}/"), "x")).await;
    assert!(matches!(answer, Err(CallError::TooLarge(1000))), "{answer:?}");
}

#[tokio::test]
async fn a_silent_peer_costs_no_more_than_the_timeout() {
    let (port, _told) = server("", false).await;
    let mut request = post(format!("http://127.0.0.1:{port}/"), "x");
    request.timeout = Duration::from_millis(50);
    assert!(matches!(client().call(request).await, Err(CallError::Timeout)));
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_peers_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = client().call(post(format!("http://127.0.0.1:{port}/"), "x")).await.unwrap_err();
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

struct One(Certificate);

impl CertificateSource for One {
    fn certificate(&self, _hello: &ClientHello) -> Option<Certificate> {
        Some(self.0.clone())
    }
}

#[tokio::test]
async fn tls_verifies_by_the_given_authorities_and_not_at_all_if_told_so() {
    let made = rcgen::generate_simple_self_signed(["box.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
    let tls = Arc::new(ServerTls::new(&ServerTlsSettings::default(), Arc::new(One(certificate))).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                if let Ok(Accepted::Tls(mut stream)) = tls.accept(socket).await {
                    let _ = stream.read(&mut [0; 1024]).await;
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                }
            });
        }
    });
    let url = || format!("https://box.example:{port}/");
    let trust = TrustStore::from_pem([("test", cert.as_bytes())]).unwrap();
    let trusting = Client::new(reach(Some(trust)), tokio::runtime::Handle::current());
    assert_eq!(trusting.call(post(url(), "x")).await.unwrap().status, 204);
    let strict = Client::new(reach(Some(TrustStore::empty())), tokio::runtime::Handle::current());
    let refused = strict.call(post(url(), "x")).await;
    assert!(matches!(refused, Err(CallError::Reach(ReachError::Tls { .. }))), "{refused:?}");
    let mut careless = post(url(), "x");
    careless.tls.verify = false;
    assert_eq!(strict.call(careless).await.unwrap().status, 204);
}

/// A forward proxy that opens tunnels to wherever it is asked, and tells what it was asked.
async fn proxy(answer: &'static str) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                tell.send(head).unwrap();
                socket.write_all(answer.as_bytes()).await.unwrap();
                if let Some(port) = target.strip_prefix("box.example:") {
                    let mut origin =
                        tokio::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut socket, &mut origin).await;
                }
            });
        }
    });
    (port, told)
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_for_tls_and_is_handed_what_is_plain() {
    let made = rcgen::generate_simple_self_signed(["box.example".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let certificate = Certificate::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
    let tls = Arc::new(ServerTls::new(&ServerTlsSettings::default(), Arc::new(One(certificate))).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        if let Ok(Accepted::Tls(mut stream)) = tls.accept(socket).await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    });
    let trust = TrustStore::from_pem([("test", cert.as_bytes())]).unwrap();
    let client = Client::new(reach(Some(trust)), tokio::runtime::Handle::current());
    let (by, mut told) = proxy("HTTP/1.1 200 Connection established\r\n\r\n").await;
    let mut request = post(format!("https://box.example:{port}/secret"), "x");
    request.proxy = Some(format!("http://me:word@127.0.0.1:{by}"));
    assert_eq!(client.call(request).await.unwrap().status, 204);
    let head = told.recv().await.unwrap();
    assert!(head.starts_with(&format!("CONNECT box.example:{port} HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bWU6d29yZA==\r\n"), "{head}");

    let (by, mut told) = proxy("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let mut plain = post("http://far.example/in?a=b".to_owned(), "");
    plain.proxy = Some(format!("http://127.0.0.1:{by}"));
    assert_eq!(client.call(plain).await.unwrap().status, 200);
    let head = told.recv().await.unwrap();
    assert!(head.starts_with("POST http://far.example:80/in?a=b HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_an_error() {
    let (by, _told) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let mut request = post("https://box.invalid/".to_owned(), "x");
    request.proxy = Some(format!("http://127.0.0.1:{by}"));
    let error = client().call(request).await.unwrap_err().to_string();
    assert!(error.contains("answers 407"), "{error}");
}

#[tokio::test]
async fn raw_lines_carry_bytes_over_udp_and_unix() {
    let reach = reach(None);
    let limit = Duration::from_secs(5);
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = LineTarget::Udp { host: "box.example", port: peer.local_addr().unwrap().port() };
    let mut line = Line::connect(&reach, target, None, limit).await.unwrap();
    line.write(b"one").await.unwrap();
    let mut buffer = [0; 16];
    let (read, from) = peer.recv_from(&mut buffer).await.unwrap();
    peer.send_to(b"two", from).await.unwrap();
    assert_eq!((&buffer[..read], &line.read(100).await.unwrap()[..]), (&b"one"[..], &b"two"[..]));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let target = LineTarget::Unix { path: path.to_str().unwrap() };
    let mut line = Line::connect(&reach, target, None, limit).await.unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    line.write(b"one").await.unwrap();
    peer.read_exact(&mut buffer[..3]).await.unwrap();
    peer.write_all(b"two").await.unwrap();
    assert_eq!((&buffer[..3], &line.read(2).await.unwrap()[..]), (&b"one"[..], &b"tw"[..]));
    line.close().await;
}
