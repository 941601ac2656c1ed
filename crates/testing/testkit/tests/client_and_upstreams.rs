//! The client against the upstreams: each tool is proven on the other before either judges the gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use gibbon_testkit::client::{self, Client, Framing};
use gibbon_testkit::upstream::{self, Upstream};

const GET: &str = "GET /a?b=c HTTP/1.1\r\nHost: here\r\n\r\n";

#[test]
fn an_echo_sees_every_byte_of_the_head_and_answers_on_the_same_connection() {
    let upstream = upstream::echo().unwrap();
    let mut client = Client::connect(upstream.address()).unwrap();
    for _ in 0..2 {
        let answer = client.exchange("POST /x HTTP/1.1\r\nhOsT:  here \r\nContent-Length: 3\r\n\r\nabc").unwrap();
        assert_eq!((answer.status(), answer.text().as_str(), &answer.framing), (200, "abc", &Framing::Length));
        let seen = upstream.next_request().unwrap();
        assert_eq!(seen.raw_head, b"POST /x HTTP/1.1\r\nhOsT:  here \r\nContent-Length: 3\r\n\r\n");
        assert_eq!((seen.method.as_str(), seen.target.as_str(), seen.header("host")), ("POST", "/x", Some("here")));
        assert_eq!((seen.connection, seen.body.as_slice()), (0, b"abc".as_slice()));
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn chunk_sizes_and_trailers_are_reported() {
    let upstream = upstream::raw(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nX-T: end\r\n\r\n",
    )
    .unwrap();
    let answer = client::once(upstream.address(), GET).unwrap();
    assert_eq!(answer.text(), "abc0123456789");
    assert_eq!(answer.framing, Framing::Chunked(vec![3, 10]));
    assert_eq!(answer.trailers.get("x-t"), Some("end"));
}

#[test]
fn chunked_requests_arrive_whole_with_their_trailers() {
    let upstream = upstream::echo().unwrap();
    let request = "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n";
    assert_eq!(client::once(upstream.address(), request).unwrap().text(), "hi");
    assert_eq!(upstream.next_request().unwrap().trailers.get("X-T"), Some("1"));
}

#[test]
fn interim_answers_are_listed_before_the_final_one() {
    let upstream = upstream::interim(&[100, 103]).unwrap();
    let answer = client::once(upstream.address(), GET).unwrap();
    let statuses: Vec<u16> = answer.interim.iter().map(|head| head.status).collect();
    assert_eq!((statuses, answer.status()), (vec![100, 103], 200));
}

#[test]
fn an_answer_without_length_ends_with_the_connection() {
    let upstream = upstream::raw_then_close("HTTP/1.0 200 OK\r\n\r\nold").unwrap();
    let answer = client::once(upstream.address(), GET).unwrap();
    assert_eq!((answer.text().as_str(), answer.framing), ("old", Framing::UntilClose));
}

#[test]
fn half_a_body_is_an_error_that_says_how_much_came() {
    let upstream = upstream::raw_then_close("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").unwrap();
    let error = client::once(upstream.address(), GET).unwrap_err().to_string();
    assert_eq!(error, "connection closed after 4 of 9 bytes");
}

#[test]
fn a_reset_in_the_body_is_an_error() {
    let upstream = upstream::reset_mid_body(1000, 10).unwrap();
    assert!(client::once(upstream.address(), GET).is_err());
}

#[test]
fn a_refusing_address_refuses() {
    assert!(Client::connect(upstream::refusing().unwrap()).is_err());
}

#[test]
fn close_after_keeps_its_promise_and_then_closes_without_a_word() {
    let upstream = upstream::close_after(2).unwrap();
    let mut client = Client::connect(upstream.address()).unwrap();
    for _ in 0..2 {
        assert_eq!(client.exchange(GET).unwrap().status(), 200);
    }
    client.expect_close().unwrap();
}

#[test]
fn silence_is_noticed_within_the_patience() {
    let upstream = upstream::silent().unwrap();
    let mut client = Client::connect(upstream.address()).unwrap();
    client.set_patience(Duration::from_millis(50)).unwrap();
    let error = client.exchange(GET).unwrap_err().to_string();
    assert!(error.contains("nothing came in time"), "{error}");
}

#[test]
fn big_headers_slow_heads_and_early_resets_arrive_as_named() {
    let big = upstream::big_header(100_000).unwrap();
    assert_eq!(client::once(big.address(), GET).unwrap().header("x-big").unwrap().len(), 100_000);

    let head = "HTTP/1.1 204 No\r\n\r\n";
    let slow = upstream::slow_head(head, Duration::from_millis(1)).unwrap();
    assert_eq!(client::once(slow.address(), GET).unwrap().status(), 204);

    let reset = upstream::reset_at_once().unwrap();
    assert!(client::once(reset.address(), GET).is_err());
    assert_eq!(reset.next_request().unwrap().target, "/a?b=c");
}

#[test]
fn a_handler_of_the_tests_own_decides_per_connection() {
    let upstream = Upstream::serve(|mut connection| {
        let status = if connection.number() == 0 { 503 } else { 200 };
        connection.read_request()?;
        connection.answer(status, &[], "")
    })
    .unwrap();
    assert_eq!(client::once(upstream.address(), GET).unwrap().status(), 503);
    assert_eq!(client::once(upstream.address(), GET).unwrap().status(), 200);
}
