//! The HTTP/1 server: framing of answers, bodies, connection handling, timeouts.

use std::time::Duration;

use gibbon_http::{ConnectionEnd, HeadError, Protocol, ServerSettings};
use tokio::io::AsyncWriteExt;

use crate::rig::{connect, run, talk};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK_EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn output(input: impl AsRef<[u8]>) -> String {
    run(async { talk(input).await.0 })
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let post = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let (output, client) = talk([GET, post, GET].concat()).await;
        let echo = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc";
        assert_eq!(output, [OK_EMPTY, echo, OK_EMPTY].concat());
        assert_eq!(client.requests(), ["GET / a", "POST /p a", "GET / a"]);
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::Closed);
    });
}

#[test]
fn an_answer_is_framed_as_its_length_says() {
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}Connection: keep-alive\r\n\r\n");
    assert_eq!(output(get("/none")), head("Content-Length: 0\r\n"));
    let chunks = "3\r\none\r\n5\r\nthree\r\n0\r\n\r\n";
    assert_eq!(output(get("/chunked")), head("Transfer-Encoding: chunked\r\n") + chunks);
    let trailers = "4\r\nbody\r\n0\r\nX-T: end\r\n\r\n";
    assert_eq!(output(get("/trailers")), head("Transfer-Encoding: chunked\r\n") + trailers);
    assert_eq!(output(get("/large")), head("Content-Length: 100000\r\n") + &"x".repeat(100_000));
}

#[test]
fn an_answer_without_body_has_none() {
    let head = |path: &str| output(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(head("/ignore-body"), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(head("/chunked"), "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(output(get("/204")), "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(output(get("/304")), "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nConnection: keep-alive\r\n\r\n");
}

#[test]
fn http_1_0_closes_unless_asked_not_to() {
    let ask = |path: &str, fields: &str| output(format!("GET {path} HTTP/1.0\r\n{fields}\r\n"));
    assert_eq!(ask("/none", ""), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_eq!(ask("/none", "Connection: keep-alive\r\n"), OK_EMPTY);
    let until_close = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nonethree";
    assert_eq!(ask("/chunked", "Connection: keep-alive\r\n"), until_close);
    assert_eq!(ask("/hints", ""), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
}

#[test]
fn informational_heads_come_first() {
    let expected = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
    assert_eq!(output(get("/hints")), expected);
}

#[test]
fn a_chunked_body_is_decoded_with_its_trailers() {
    run(async {
        let body = "3\r\nabc\r\n2;x\r\nde\r\n0\r\nX-T: 1\r\nHost: evil\r\n\r\n";
        let head = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (output, client) = talk([head, body, GET].concat()).await;
        let echo = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nabcde";
        assert_eq!(output, [echo, OK_EMPTY].concat());
        assert_eq!(client.notes(), ["trailer X-T=1"]);
    });
}

#[test]
fn a_body_with_bad_framing_is_refused_and_the_connection_closed() {
    for body in
        ["zz\r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n", "0\r\nX: 1\n\r\n", "0\r\nX : 1\r\n\r\n"]
    {
        let head = "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let expected = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        assert_eq!(output([head, body, GET].concat()), expected, "{body:?}");
    }
}

#[test]
fn a_bad_head_is_refused_and_the_connection_closed() {
    run(async {
        let (output, client) = talk(["GET / HTTP/1.1\r\n\r\n", GET].concat()).await;
        assert_eq!(output, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert_eq!(client.requests(), [""; 0]);
        assert_eq!(client.worker.counters.bad_heads.get(), 1);
        let end = client.end.await.unwrap();
        assert!(matches!(end, ConnectionEnd::Refused(HeadError::BadRequest(_))), "{end:?}");
    });
}

#[test]
fn oversized_heads_get_their_status() {
    let status = |input: String| output(input).split(' ').nth(1).unwrap_or_default().to_string();
    assert_eq!(status(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8000))), "200");
    assert_eq!(status(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8200))), "414");
    let with = |values: &[usize]| {
        let fields: String = values.iter().map(|n| format!("X: {}\r\n", "b".repeat(*n))).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    assert_eq!(status(with(&[8000; 4])), "200");
    assert_eq!(status(with(&[8300])), "400");
    assert_eq!(status(with(&[8000; 5])), "400");
    assert_eq!(status(with(&[1; 2000])), "400");
}

#[test]
fn the_client_is_told_to_continue_when_its_body_is_wanted() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
        client.expect("HTTP/1.1 100 Continue\r\n\r\n").await;
        client.send("abc").await;
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc").await;
        client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc").await;
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc").await;
    });
}

#[test]
fn a_body_never_asked_for_closes_the_connection() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send("POST /ignore-body HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n").await;
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        assert_eq!(client.read_to_end().await, "");
    });
}

#[test]
fn an_unread_body_is_skipped() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok";
    let sized = format!("POST /ignore-body HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n{}", "x".repeat(50_000));
    assert_eq!(output([&sized, GET].concat()), [ok, OK_EMPTY].concat());
    let chunked = "POST /ignore-body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(output([chunked, GET].concat()), [ok, OK_EMPTY].concat());
}

#[test]
fn an_unread_body_beyond_the_bound_closes_the_connection() {
    run(async {
        let mut client = connect(ServerSettings { drain_bytes: 10, ..Default::default() }, Protocol::Http1);
        client.send("POST /ignore-body HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nx").await;
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok").await;
        assert_eq!(client.read_to_end().await, "");
        drop(client.io);
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::Aborted);
    });
}

#[test]
fn an_answer_that_is_not_what_was_announced_is_cut_off() {
    run(async {
        for (path, sent) in [("/short", "ab"), ("/long", "")] {
            let (output, client) = talk(get(path)).await;
            assert!(output.ends_with(&format!("\r\n\r\n{sent}")) || output.is_empty(), "{path}: {output}");
            assert!(client.notes()[0].starts_with("send: answer out of order"), "{:?}", client.notes());
            assert_eq!(client.end.await.unwrap(), ConnectionEnd::Aborted);
        }
    });
}

#[test]
fn an_aborted_answer_has_no_end() {
    assert_eq!(
        output(get("/abort")),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n4\r\npart\r\n"
    );
    assert_eq!(output(get("/silent")), "");
}

#[test]
fn the_connection_closes_when_either_side_says_so() {
    let close = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    assert_eq!(output([&get("/close"), GET].concat()), close);
    let asked = "GET /ignore-body HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert_eq!(output([asked, GET].concat()), close);
}

#[test]
fn the_connection_closes_after_its_last_request() {
    run(async {
        let mut client = connect(ServerSettings { keepalive_requests: 2, ..Default::default() }, Protocol::Http1);
        client.send([GET, GET, GET].concat()).await;
        let last = OK_EMPTY.replace("keep-alive", "close");
        assert_eq!(client.read_to_end().await, [OK_EMPTY, &last].concat());
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::RequestLimit);
    });
}

#[test]
fn a_tunnel_begins_with_what_came_behind_the_request() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send([&get("/upgrade"), "early"].concat()).await;
        client.expect("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly").await;
        client.send("more").await;
        client.expect("more").await;
        client.io.shutdown().await.unwrap();
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::Upgraded);
    });
}

#[test]
fn the_service_learns_that_the_client_has_gone() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send(get("/wait-closed")).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(client.notes(), [""; 0]);
        client.io.shutdown().await.unwrap();
        // A half-closed client still gets its answer.
        assert!(client.read_to_end().await.ends_with("\r\n\r\nok"));
        assert_eq!(client.notes(), ["Finished"]);
    });
}

#[test]
fn a_slow_head_is_refused_in_time() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        let start = tokio::time::Instant::now();
        client.send("GET / HTTP/1.1\r\nHo").await;
        assert!(client.read_to_end().await.starts_with("HTTP/1.1 408"));
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(62), "{waited:?}");
        assert_eq!(client.worker.counters.head_timeouts.get(), 1);
    });
}

#[test]
fn a_slow_body_is_refused_in_time() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab").await;
        let start = tokio::time::Instant::now();
        client.expect("HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(62), "{waited:?}");
        assert_eq!(client.worker.counters.body_timeouts.get(), 1);
    });
}

#[test]
fn a_client_that_takes_nothing_is_cut_off_in_time() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send(get("/large")).await;
        let start = tokio::time::Instant::now();
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::Aborted);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(62), "{waited:?}");
        assert_eq!(client.worker.counters.send_timeouts.get(), 1);
    });
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send(GET).await;
        client.expect(OK_EMPTY).await;
        let start = tokio::time::Instant::now();
        assert_eq!(client.read_to_end().await, "");
        let waited = start.elapsed();
        assert!(waited >= Duration::from_secs(75) && waited < Duration::from_secs(78), "{waited:?}");
        assert_eq!(client.end.await.unwrap(), ConnectionEnd::KeepaliveTimeout);
    });
}

#[test]
fn draining_closes_idle_connections_and_lets_busy_ones_finish() {
    run(async {
        let mut idle = connect(ServerSettings::default(), Protocol::Http1);
        idle.send(GET).await;
        idle.expect(OK_EMPTY).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        idle.drain.begin();
        assert_eq!(idle.read_to_end().await, "");
        assert_eq!(idle.end.await.unwrap(), ConnectionEnd::Drained);

        let mut busy = connect(ServerSettings::default(), Protocol::Http1);
        busy.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        busy.drain.begin();
        busy.send("b").await;
        assert!(busy.read_to_end().await.ends_with("\r\n\r\nab"));
    });
}

#[test]
fn an_old_connection_is_closed_after_its_request_and_clients_are_told_how_long_they_may_idle() {
    run(async {
        let settings = ServerSettings {
            keepalive_time: Duration::from_secs(60),
            keepalive_header: Some(30),
            ..ServerSettings::default()
        };
        let mut client = connect(settings, Protocol::Http1);
        client.send(GET).await;
        let told = OK_EMPTY.replace("keep-alive\r\n", "keep-alive\r\nKeep-Alive: timeout=30\r\n");
        client.expect(&told).await;
        tokio::time::sleep(Duration::from_secs(61)).await;
        client.send(GET).await;
        assert!(client.read_to_end().await.contains("Connection: close\r\n"));
    });
}

#[test]
fn an_announced_end_leaves_an_idle_connection_one_more_request() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::Http1);
        client.send(GET).await;
        client.expect(OK_EMPTY).await;
        client.drain.announce();
        tokio::time::sleep(Duration::from_secs(5)).await;
        client.send(GET).await;
        assert!(client.read_to_end().await.contains("Connection: close\r\n"));
    });
}

#[test]
fn plain_http_on_a_tls_port_is_refused() {
    run(async {
        let mut client = connect(ServerSettings::default(), Protocol::PlainOnTls);
        client.send(GET).await;
        assert!(client.read_to_end().await.starts_with("HTTP/1.1 400"));
        assert_eq!(client.notes(), ["refused GET /: a plain HTTP request was sent to a TLS port"]);
    });
}

#[test]
fn empty_lines_between_requests_are_not_requests() {
    assert_eq!(output([GET, "\r\n\r\n", GET, "\r\n"].concat()), [OK_EMPTY, OK_EMPTY].concat());
}

#[test]
fn an_idle_connection_is_small() {
    run(async {
        let size = crate::rig::size_of_connection();
        assert!(size <= 384, "{size} bytes");
    });
}
