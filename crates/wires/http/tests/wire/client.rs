//! The HTTP/1 client: what goes to an upstream, what is made of its answers, which connections are kept.

use std::rc::Rc;
use std::time::Duration;

use gibbon_http::client::{Answer, ClientError, ClientErrorKind, ClientSettings, Connection, Timeouts};
use gibbon_http::{BodyLength, Worker};
use gibbon_message::{Headers, Method, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use crate::rig::run;

const TIMEOUTS: Timeouts = Timeouts { read: Duration::from_secs(60), send: Duration::from_secs(60) };

fn connect() -> (Connection<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let worker = Worker::new();
    tokio::task::spawn_local(worker.clone().run());
    (Connection::new(ours, &worker, Rc::new(ClientSettings::default())), theirs)
}

#[derive(Debug, Default, PartialEq)]
struct Got {
    informational: Vec<u16>,
    status: u16,
    length: Option<BodyLength>,
    body: String,
    trailers: Vec<String>,
    reusable: bool,
}

async fn exchange(
    connection: &mut Connection<DuplexStream>,
    method: Method,
    body: Option<&[u8]>,
) -> Result<Got, ClientError> {
    let mut headers = Headers::new();
    headers.append("Host", "a");
    let mut got = Got::default();
    {
        let (mut writer, mut reader) = connection.exchange(TIMEOUTS);
        writer.head(&method, b"/x", &headers, body.map_or(BodyLength::None, |b| BodyLength::Exact(b.len() as u64)))?;
        writer.data(body.unwrap_or_default()).await?;
        writer.finish(None).await?;
        let mut head = ResponseHead::default();
        got.length = loop {
            match reader.head(&mut head, &method).await? {
                Answer::Informational => got.informational.push(head.status),
                Answer::Upgrade => break None,
                Answer::Final(length) => break Some(length),
            }
        };
        got.status = head.status;
        while got.length.is_some()
            && let Some(chunk) = reader.chunk().await?
        {
            got.body.push_str(&String::from_utf8_lossy(chunk));
        }
        for (name, value) in reader.trailers().into_iter().flat_map(Headers::iter) {
            got.trailers.push(format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        }
    }
    got.reusable = connection.reusable();
    Ok(got)
}

/// The upstream sends `answer` and keeps the connection open, or closes it.
fn ask(method: Method, answer: &str, then_close: bool) -> Result<Got, ClientError> {
    run(async {
        let (mut connection, mut upstream) = connect();
        upstream.write_all(answer.as_bytes()).await.unwrap();
        if then_close {
            upstream.shutdown().await.unwrap();
        }
        exchange(&mut connection, method, None).await
    })
}

fn kind(result: Result<Got, ClientError>) -> ClientErrorKind {
    result.unwrap_err().kind
}

#[test]
fn a_request_is_written_with_its_framing() {
    run(async {
        let (mut connection, mut upstream) = connect();
        let mut headers = Headers::new();
        headers.append("Host", "a");
        headers.append("content-length", "999");
        let (mut writer, reader) = connection.exchange(TIMEOUTS);
        writer.head(&Method::Post, b"/x?y", &headers, BodyLength::Unknown).unwrap();
        writer.data(b"abc").await.unwrap();
        let mut trailers = Headers::new();
        trailers.append("X-T", "1");
        writer.finish(Some(&trailers)).await.unwrap();
        drop((writer, reader));
        drop(connection);
        let mut sent = String::new();
        upstream.read_to_string(&mut sent).await.unwrap();
        let head = "POST /x?y HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(sent, format!("{head}3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"));
    });
}

#[test]
fn an_answer_is_read_as_it_is_framed() {
    let sized = ask(Method::Get, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false).unwrap();
    assert_eq!((sized.body.as_str(), sized.length, sized.reusable), ("abc", Some(BodyLength::Exact(3)), true));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n";
    let chunked = ask(Method::Get, chunked, false).unwrap();
    assert_eq!((chunked.body.as_str(), chunked.length), ("abcde", Some(BodyLength::Unknown)));
    assert_eq!((chunked.trailers, chunked.reusable), (vec!["X-T=1".to_string()], true));
    let closed = ask(Method::Get, "HTTP/1.0 200 OK\r\n\r\nabc", true).unwrap();
    assert_eq!((closed.body.as_str(), closed.reusable), ("abc", false));
}

#[test]
fn an_answer_without_body_ends_with_its_head() {
    let head = ask(Method::Head, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false).unwrap();
    assert_eq!((head.length, head.reusable), (Some(BodyLength::None), true));
    let not_modified = ask(Method::Get, "HTTP/1.1 304 Not Modified\r\n\r\n", false).unwrap();
    assert_eq!((not_modified.length, not_modified.reusable), (Some(BodyLength::None), true));
}

#[test]
fn informational_heads_are_given_one_by_one() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 x\r\n\r\n";
    let got = ask(Method::Get, answer, false).unwrap();
    assert_eq!((got.informational, got.status, got.reusable), (vec![100, 103], 204, true));
    let flood = "HTTP/1.1 103 x\r\n\r\n".repeat(200);
    assert_eq!(kind(ask(Method::Get, &flood, false)), ClientErrorKind::Invalid("too many informational heads"));
}

#[test]
fn a_connection_is_not_kept_when_it_must_not_be() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd",
        "HTTP/1.1 204 x\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        assert!(!ask(Method::Get, answer, false).unwrap().reusable, "{answer}");
    }
}

#[test]
fn a_connection_serves_one_exchange_after_another() {
    run(async {
        let (mut connection, mut upstream) = connect();
        for round in 1..=3 {
            upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            let got = exchange(&mut connection, Method::Post, Some(b"body")).await.unwrap();
            assert_eq!((got.body.as_str(), got.reusable, connection.requests()), ("ok", true, round));
            let mut sent = [0; 46];
            upstream.read_exact(&mut sent).await.unwrap();
            assert_eq!(
                &sent,
                b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody".first_chunk::<46>().unwrap()
            );
            let _ = upstream.read(&mut [0; 16]).await.unwrap();
            assert!(connection.is_open());
        }
        drop(upstream);
        assert!(!connection.is_open());
        let error = exchange(&mut connection, Method::Get, None).await.unwrap_err();
        assert_eq!(error, ClientError { kind: ClientErrorKind::Closed, received: false, reused: true });
    });
}

#[test]
fn unannounced_bytes_make_an_idle_connection_unfit() {
    run(async {
        let (mut connection, mut upstream) = connect();
        upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        assert!(exchange(&mut connection, Method::Get, None).await.unwrap().reusable);
        upstream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        assert!(!connection.is_open());
    });
}

#[test]
fn errors_tell_what_a_retry_must_know() {
    let error = ask(Method::Get, "", true).unwrap_err();
    assert_eq!(error, ClientError { kind: ClientErrorKind::Closed, received: false, reused: false });
    let error = ask(Method::Get, "HTTP/1.1 200", true).unwrap_err();
    assert_eq!(error, ClientError { kind: ClientErrorKind::Closed, received: true, reused: false });
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab";
    assert_eq!(kind(ask(Method::Get, half, true)), ClientErrorKind::Truncated);
    let half = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    assert_eq!(kind(ask(Method::Get, half, true)), ClientErrorKind::Truncated);
    assert_eq!(kind(ask(Method::Get, "SSH-2.0-x\r\n", false)), ClientErrorKind::Invalid("no HTTP/1 status line"));
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000));
    assert_eq!(
        run(async {
            let (mut connection, mut upstream) = connect();
            tokio::task::spawn_local(async move {
                let _ = upstream.write_all(large.as_bytes()).await;
                std::future::pending::<()>().await;
            });
            kind(exchange(&mut connection, Method::Get, None).await)
        }),
        ClientErrorKind::HeadTooLarge
    );
}

#[test]
fn a_silent_upstream_times_out_once_the_request_is_out() {
    run(async {
        let (mut connection, _upstream) = connect();
        let timeouts = Timeouts { read: Duration::from_millis(150), ..TIMEOUTS };
        let (mut writer, mut reader) = connection.exchange(timeouts);
        writer.head(&Method::Get, b"/", &Headers::new(), BodyLength::None).unwrap();
        let mut head = ResponseHead::default();
        let early = tokio::time::timeout(Duration::from_secs(9), reader.head(&mut head, &Method::Get)).await;
        assert!(early.is_err(), "the time ran while the request was not out");
        writer.finish(None).await.unwrap();
        let start = tokio::time::Instant::now();
        let error = reader.head(&mut head, &Method::Get).await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::ReadTimeout);
        assert!(start.elapsed() < Duration::from_millis(160), "{:?}", start.elapsed());
    });
}

#[test]
fn an_upstream_that_takes_nothing_times_out() {
    run(async {
        let (mut connection, _upstream) = connect();
        let error = exchange(&mut connection, Method::Post, Some(&[0; 200_000])).await.unwrap_err();
        assert_eq!(error.kind, ClientErrorKind::SendTimeout);
        assert!(!connection.reusable());
    });
}

#[test]
fn an_answer_that_comes_before_the_request_ends_is_read() {
    run(async {
        let (mut connection, mut upstream) = connect();
        {
            let (mut writer, mut reader) = connection.exchange(TIMEOUTS);
            writer.head(&Method::Post, b"/", &Headers::new(), BodyLength::Exact(10)).unwrap();
            writer.data(b"abc").await.unwrap();
            writer.flush().await.unwrap();
            upstream.write_all(b"HTTP/1.1 413 x\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            let mut head = ResponseHead::default();
            assert_eq!(reader.head(&mut head, &Method::Post).await, Ok(Answer::Final(BodyLength::Exact(0))));
            assert_eq!(head.status, 413);
        }
        assert!(!connection.reusable());
    });
}

#[test]
fn an_upgraded_connection_is_given_away_with_its_first_bytes() {
    run(async {
        let (mut connection, mut upstream) = connect();
        upstream.write_all(b"HTTP/1.1 101 x\r\nUpgrade: echo\r\n\r\nearly").await.unwrap();
        let got = exchange(&mut connection, Method::Get, None).await.unwrap();
        assert_eq!((got.status, got.length), (101, None));
        assert_eq!(connection.into_raw().1, b"early");
    });
}
