//! HTTP/2, server and client side, against each other and against the bare `h2` crate.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_http::client::{Answer, ClientErrorKind, ClientSettings, H2Connection, Timeouts};
use gibbon_http::{BodyLength, ConnectionEnd, H2Settings, Protocol, ServerSettings, Worker};
use gibbon_message::{Headers, Method, ResponseHead, Scheme};
use h2::client::SendRequest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Client, connect, run};

const TIMEOUTS: Timeouts = Timeouts { read: Duration::from_secs(60), send: Duration::from_secs(60) };
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client of the bare `h2` crate on a connection to the scripted service.
async fn h2_client(settings: ServerSettings) -> (SendRequest<Bytes>, Client) {
    let mut client = connect(settings, Protocol::Http2);
    let (io, placeholder) = tokio::io::duplex(1);
    let io = std::mem::replace(&mut client.io, io);
    drop(placeholder);
    let (send, connection) = h2::client::handshake(io).await.unwrap();
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    (send, client)
}

fn request(method: &str, path: &str) -> http::Request<()> {
    http::Request::builder().method(method).uri(format!("http://a.test{path}")).body(()).unwrap()
}

struct Got {
    status: u16,
    headers: http::HeaderMap,
    body: String,
    trailers: Option<http::HeaderMap>,
}

async fn ask(send: &SendRequest<Bytes>, request: http::Request<()>, body: Option<&str>) -> Result<Got, h2::Error> {
    let mut send = send.clone().ready().await?;
    let (response, mut stream) = send.send_request(request, body.is_none())?;
    if let Some(body) = body {
        stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true)?;
    }
    let response = response.await?;
    let (parts, mut data) = response.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = data.data().await {
        let chunk = chunk?;
        let _ = data.flow_control().release_capacity(chunk.len());
        body.extend_from_slice(&chunk);
    }
    let trailers = data.trailers().await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Got { status: parts.status.as_u16(), headers: parts.headers, body, trailers })
}

#[test]
fn requests_are_answered_side_by_side() {
    run(async {
        let (send, client) = h2_client(ServerSettings::default()).await;
        let echo = ask(&send, request("POST", "/p?q"), Some("abc"));
        let large = ask(&send, request("GET", "/large"), None);
        let (echo, large) = tokio::join!(echo, large);
        let echo = echo.unwrap();
        assert_eq!(
            (echo.status, echo.body.as_str(), echo.headers["content-length"].as_bytes()),
            (200, "abc", &b"3"[..])
        );
        assert_eq!(large.unwrap().body.len(), 100_000);
        let mut seen = client.requests();
        seen.sort();
        assert_eq!(seen, ["GET /large a.test", "POST /p?q a.test"]);
    });
}

#[test]
fn answers_without_body_and_with_trailers() {
    run(async {
        let (send, _client) = h2_client(ServerSettings::default()).await;
        let head = ask(&send, request("HEAD", "/ignore-body"), None).await.unwrap();
        assert_eq!((head.headers["content-length"].as_bytes(), head.body.as_str()), (&b"2"[..], ""));
        assert_eq!(ask(&send, request("GET", "/204"), None).await.unwrap().status, 204);
        let trailers = ask(&send, request("GET", "/trailers"), None).await.unwrap();
        assert_eq!(trailers.body, "body");
        assert_eq!(trailers.trailers.unwrap()["x-t"], "end");
        assert_eq!(ask(&send, request("GET", "/chunked"), None).await.unwrap().body, "onethree");
        assert_eq!(ask(&send, request("GET", "/hints"), None).await.unwrap().body, "ok");
    });
}

#[test]
fn an_answer_cut_off_resets_its_stream_only() {
    run(async {
        let (send, client) = h2_client(ServerSettings::default()).await;
        for path in ["/abort", "/silent", "/short", "/long"] {
            let error = ask(&send, request("GET", path), None).await.err().unwrap();
            assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR), "{path}");
        }
        assert_eq!(ask(&send, request("GET", "/none"), None).await.unwrap().status, 200);
        assert_eq!(client.notes().len(), 2, "{:?}", client.notes());
    });
}

#[test]
fn a_bad_request_is_refused_without_ending_the_connection() {
    run(async {
        let (send, client) = h2_client(ServerSettings::default()).await;
        let mut doubled = request("GET", "/x");
        doubled.headers_mut().append("host", "b.test".parse().unwrap());
        assert_eq!(ask(&send, doubled, None).await.unwrap().status, 400);
        assert_eq!(ask(&send, request("TRACE", "/x"), None).await.unwrap().status, 405);
        assert_eq!(ask(&send, request("GET", "/none"), None).await.unwrap().status, 200);
        assert_eq!(client.worker.counters.bad_heads.get(), 2);
    });
}

#[test]
fn the_service_learns_that_a_stream_was_reset() {
    run(async {
        let (send, client) = h2_client(ServerSettings::default()).await;
        let mut ready = send.clone().ready().await.unwrap();
        let (response, mut stream) = ready.send_request(request("GET", "/wait-closed"), false).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(client.notes(), [""; 0]);
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(client.notes()[0], "Broken");
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_in_time() {
    run(async {
        let (send, client) = h2_client(ServerSettings::default()).await;
        let mut ready = send.clone().ready().await.unwrap();
        let (response, _stream) = ready.send_request(request("GET", "/large"), true).unwrap();
        let _body = response.await.unwrap();
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(client.notes(), [""; 0]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(client.notes(), ["send: the client did not take the answer in time"]);
    });
}

#[test]
fn draining_says_goaway_and_lets_streams_finish() {
    run(async {
        let (send, client) = h2_client(ServerSettings::default()).await;
        let mut ready = send.clone().ready().await.unwrap();
        let (response, mut stream) = ready.send_request(request("POST", "/p"), false).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.drain.begin();
        tokio::time::sleep(Duration::from_secs(1)).await;
        stream.send_data(Bytes::from_static(b"late"), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::Drained);
    });
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    run(async {
        let (send, client) = h2_client(ServerSettings::default()).await;
        ask(&send, request("GET", "/none"), None).await.unwrap();
        let start = tokio::time::Instant::now();
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::KeepaliveTimeout);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(75) && waited < Duration::from_secs(160), "{waited:?}");
    });
}

#[test]
fn a_connection_serves_its_share_of_requests() {
    run(async {
        let (send, client) = h2_client(ServerSettings { keepalive_requests: 2, ..Default::default() }).await;
        for _ in 0..2 {
            assert_eq!(ask(&send, request("GET", "/none"), None).await.unwrap().status, 200);
        }
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::RequestLimit);
    });
}

/// Sends the preface, then `frame` over and over, and waits for the end.
async fn flood(frame: &[u8], settings: ServerSettings) -> (ConnectionEnd, Rc<Worker>) {
    let mut client = connect(settings, Protocol::Http2);
    client.send([PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await;
    let (mut read, mut write) = tokio::io::split(client.io);
    tokio::task::spawn_local(async move {
        let mut sink = [0; 4096];
        while read.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    });
    let frames = frame.repeat(100);
    for _ in 0..1000 {
        if write.write_all(&frames).await.is_err() {
            break;
        }
    }
    (client.end.await.unwrap(), client.worker)
}

#[test]
fn floods_end_the_connection_and_are_counted() {
    let calm = ConnectionEnd::ProtocolError(h2::Reason::ENHANCE_YOUR_CALM.into());
    run(async {
        let ping = [&[0, 0, 8, 6, 0, 0, 0, 0, 0][..], &[0; 8]].concat();
        let (end, worker) = flood(&ping, ServerSettings::default()).await;
        assert_eq!((end, worker.counters.h2_control_floods.get()), (calm, 1));

        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let (end, worker) = flood(&settings, ServerSettings::default()).await;
        assert_eq!((end, worker.counters.h2_control_floods.get()), (calm, 1));
    });
}

#[test]
fn rapid_resets_end_the_connection_and_are_counted() {
    run(async {
        let settings = ServerSettings {
            http2: H2Settings { reset_budget: 100, ..H2Settings::default() },
            ..ServerSettings::default()
        };
        let (send, client) = h2_client(settings).await;
        let mut begun = 0;
        while let Ok(mut ready) = send.clone().ready().await {
            let Ok((response, mut stream)) = ready.send_request(request("POST", "/p"), false) else { break };
            begun += 1;
            assert!(begun < 10_000, "nobody stops the flood");
            tokio::task::yield_now().await;
            stream.send_reset(h2::Reason::CANCEL);
            drop(response);
            tokio::task::yield_now().await;
        }
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::ProtocolError(h2::Reason::ENHANCE_YOUR_CALM.into()));
        assert_eq!(client.worker.counters.h2_reset_floods.get(), 1);
    });
}

#[test]
fn header_floods_end_the_connection_and_are_counted() {
    run(async {
        // One HEADERS frame without END_HEADERS, then CONTINUATION after CONTINUATION.
        let mut client = connect(ServerSettings::default(), Protocol::Http2);
        client.send([PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat()).await;
        let field = [&[0, 3][..], b"x-a", &[1], b"b"].concat();
        let continuation = [&[0, 0, field.len() as u8, 9, 0, 0, 0, 0, 1][..], &field].concat();
        for _ in 0..2000 {
            if client.io.write_all(&continuation).await.is_err() {
                break;
            }
        }
        let end = client.end.await.unwrap();
        assert!(matches!(end, ConnectionEnd::ProtocolError(_)), "{end:?}");
        let counters = &client.worker.counters;
        assert_eq!(counters.h2_continuation_floods.get() + counters.h2_oversized_headers.get(), 1);
    });
}

#[test]
fn a_handshake_that_never_comes_ends_in_time() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http2);
        client.send(&PREFACE[..10]).await;
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::KeepaliveTimeout);
        assert_eq!(client.worker.counters.head_timeouts.get(), 1);
    });
}

#[test]
fn a_plain_port_tells_the_protocols_apart() {
    run(async {
        let mut http1 = connect(ServerSettings::default(), Protocol::Http1OrH2cPriorKnowledge);
        http1.send("PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        http1.expect("HTTP/1.1 200 OK\r\n").await;

        let mut client = connect(ServerSettings::default(), Protocol::Http1OrH2cPriorKnowledge);
        client.send(&PREFACE[..5]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.send([&PREFACE[5..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat()).await;
        let mut settings = [0; 9];
        client.io.read_exact(&mut settings).await.unwrap();
        assert_eq!(settings[3], 4, "a SETTINGS frame");
    });
}

// Our client against our server.

async fn upstream() -> (H2Connection, Client) {
    let mut client = connect(ServerSettings::default(), Protocol::Http2);
    let io = std::mem::replace(&mut client.io, tokio::io::duplex(1).0);
    let worker = client.worker.clone();
    let connection = H2Connection::handshake(io, Scheme::Http, &worker, &ClientSettings::default()).await.unwrap();
    (connection, client)
}

fn host() -> Headers {
    let mut headers = Headers::new();
    headers.append("Host", "a.test");
    headers
}

#[test]
fn our_client_talks_to_our_server() {
    run(async {
        let (connection, client) = upstream().await;
        let mut stream = connection.stream();
        assert_eq!(connection.active(), 1);
        {
            let (mut writer, mut reader) = stream.exchange(TIMEOUTS);
            writer.head(&Method::Post, b"/p", &host(), BodyLength::Unknown).unwrap();
            writer.data(&[b'x'; 200_000]).await.unwrap();
            writer.data(b"end").await.unwrap();
            let mut trailers = Headers::new();
            trailers.append("X-T", "1");
            writer.finish(Some(&trailers)).await.unwrap();
            let mut head = ResponseHead::default();
            assert_eq!(reader.head(&mut head, &Method::Post).await, Ok(Answer::Final(BodyLength::Exact(200_003))));
            let mut length = 0;
            while let Some(chunk) = reader.chunk().await.unwrap() {
                length += chunk.len();
            }
            assert_eq!((head.status, length), (200, 200_003));
            assert!(reader.is_end());
        }
        drop(stream);
        assert_eq!((connection.active(), connection.requests(), connection.is_open()), (0, 1, true));
        assert_eq!(client.notes(), ["trailer x-t=1"]);
    });
}

#[test]
fn our_client_is_given_informational_heads_and_trailers() {
    run(async {
        let (connection, _client) = upstream().await;
        let mut head = ResponseHead::default();
        let mut stream = connection.stream();
        let (mut writer, mut reader) = stream.exchange(TIMEOUTS);
        writer.head(&Method::Get, b"/hints", &host(), BodyLength::None).unwrap();
        writer.finish(None).await.unwrap();
        assert_eq!(reader.head(&mut head, &Method::Get).await, Ok(Answer::Informational));
        assert_eq!((head.status, head.headers.get("link")), (103, Some(&b"</a>"[..])));
        assert_eq!(reader.head(&mut head, &Method::Get).await, Ok(Answer::Final(BodyLength::Exact(2))));

        let mut stream = connection.stream();
        let (mut writer, mut reader) = stream.exchange(TIMEOUTS);
        writer.head(&Method::Get, b"/trailers", &host(), BodyLength::None).unwrap();
        writer.finish(None).await.unwrap();
        assert_eq!(reader.head(&mut head, &Method::Get).await, Ok(Answer::Final(BodyLength::Unknown)));
        assert_eq!(reader.chunk().await.unwrap(), Some(&b"body"[..]));
        assert_eq!(reader.chunk().await.unwrap(), None);
        assert_eq!(reader.trailers().unwrap().get("x-t"), Some(&b"end"[..]));
    });
}

#[test]
fn our_client_tells_resets_and_the_end_of_a_connection() {
    run(async {
        let (connection, client) = upstream().await;
        let mut head = ResponseHead::default();
        let mut stream = connection.stream();
        let (mut writer, mut reader) = stream.exchange(TIMEOUTS);
        writer.head(&Method::Get, b"/silent", &host(), BodyLength::None).unwrap();
        writer.finish(None).await.unwrap();
        let error = reader.head(&mut head, &Method::Get).await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::Reset(h2::Reason::INTERNAL_ERROR.into()));

        client.drain.begin();
        client.end.await.unwrap();
        assert!(!connection.is_open());
        let mut stream = connection.stream();
        let (mut writer, _reader) = stream.exchange(TIMEOUTS);
        assert!(writer.head(&Method::Get, b"/", &host(), BodyLength::None).is_err());
    });
}

#[test]
fn our_client_times_out_on_a_silent_upstream() {
    run(async {
        let (connection, _client) = upstream().await;
        let mut stream = connection.stream();
        let timeouts = Timeouts { read: Duration::from_millis(150), ..TIMEOUTS };
        let (mut writer, mut reader) = stream.exchange(timeouts);
        writer.head(&Method::Get, b"/wait-closed", &host(), BodyLength::None).unwrap();
        writer.finish(None).await.unwrap();
        let error = reader.head(&mut ResponseHead::default(), &Method::Get).await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::ReadTimeout);
    });
}
