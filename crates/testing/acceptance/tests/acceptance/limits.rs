//! Does what is too large get the answer that it should, and does the rest go on?

use std::time::Instant;

use gibbon_acceptance::frames::{self, PREFACE, flag, frame, kind};
use gibbon_testkit::upstream::{self, Upstream};
use gibbon_testkit::{Client, Gateway, Settings};

use crate::ending::PATIENCE;

const BODY_LIMIT: usize = 1024;

fn gateway(upstream: &Upstream) -> Gateway {
    let config = format!(
        "_format_version: '3.0'\nservices: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n",
        upstream.address()
    );
    Settings::new().config(config).set("nginx_http_client_max_body_size", BODY_LIMIT.to_string()).start().unwrap()
}

/// Type, flags and payload of the frames of one stream, up to the one that ends it from the gateway's side.
fn frames_of(client: &mut Client, stream: u32) -> Vec<(u8, u8, Vec<u8>)> {
    let mut seen = Vec::new();
    loop {
        let head = client.read_exact(9).unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let payload = client.read_exact(length).unwrap();
        let of = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        assert_ne!(head[3], 7, "the connection is not given up: {payload:?}");
        if of == stream {
            seen.push((head[3], head[4], payload));
        }
        // An answer to a request that was not read to its end is followed by a reset.
        if of == stream && head[3] == kind::RST_STREAM {
            return seen;
        }
    }
}

fn post(fields: &[(&str, &str)]) -> Vec<u8> {
    let head = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test"), (":path", "/")];
    frames::headers(&[&head[..], fields].concat())
}

/// The answer must be whole (HEADERS, then a body that ends the stream), and the reset behind it without blame, so that
/// clients do not throw the answer away (RFC 9113 8.1).
fn assert_answered_and_reset_without_blame(seen: &[(u8, u8, Vec<u8>)]) {
    let kinds: Vec<u8> = seen.iter().map(|(kind, ..)| *kind).filter(|kind| *kind != kind::WINDOW_UPDATE).collect();
    assert_eq!(kinds, [kind::HEADERS, kind::DATA, kind::RST_STREAM], "{seen:?}");
    let (_, flags, body) = seen.iter().find(|(kind, ..)| *kind == kind::DATA).unwrap();
    assert_eq!(flags & flag::END_STREAM, flag::END_STREAM);
    assert!(String::from_utf8_lossy(body).contains("Payload too large"), "{body:?}");
    assert_eq!(seen.last().unwrap().2, 0_u32.to_be_bytes(), "NO_ERROR");
}

#[test]
fn a_body_over_the_limit_is_answered_with_413_over_http2_and_the_connection_goes_on() {
    let upstream = upstream::echo().unwrap();
    let gateway = gateway(&upstream);
    let mut client = gateway.connect().unwrap();
    client.send(PREFACE).unwrap();
    client.send(frame(kind::SETTINGS, flag::NONE, 0, &[])).unwrap();

    // Its length says so.
    client.send(frame(kind::HEADERS, flag::END_HEADERS, 1, &post(&[("content-length", "5000")]))).unwrap();
    assert_answered_and_reset_without_blame(&frames_of(&mut client, 1));

    // It turns out so.
    client.send(frame(kind::HEADERS, flag::END_HEADERS, 3, &post(&[]))).unwrap();
    for _ in 0..3 {
        client.send(frame(kind::DATA, flag::NONE, 3, &[b'x'; BODY_LIMIT / 2])).unwrap();
    }
    assert_answered_and_reset_without_blame(&frames_of(&mut client, 3));

    client.send(frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, 5, &frames::get("/"))).unwrap();
    loop {
        let head = client.read_exact(9).unwrap();
        let payload = client.read_exact(u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize).unwrap();
        assert_ne!(head[3], 7, "{payload:?}");
        if head[8] == 5 && head[4] & flag::END_STREAM != 0 {
            break;
        }
    }
}

/// An upstream whose answer's head is of exactly this size.
fn head_of(bytes: usize) -> Upstream {
    let start = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Big: ";
    let filler = "b".repeat(bytes - start.len() - 4);
    upstream::raw(format!("{start}{filler}\r\n\r\nok")).unwrap()
}

#[test]
fn the_head_of_an_answer_may_be_as_large_as_proxy_buffer_size_and_no_larger() {
    for (size, setting) in [(4096, None), (700, Some("700"))] {
        for (over, status) in [(0, 200), (1, 502)] {
            let upstream = head_of(size + over);
            let config = format!(
                "_format_version: '3.0'\nservices: [{{name: s, url: 'http://{}', routes: [{{name: r, paths: [/]}}]}}]\n",
                upstream.address()
            );
            let settings = Settings::new().config(config);
            let settings = match setting {
                Some(bytes) => settings.set("nginx_proxy_proxy_buffer_size", bytes),
                None => settings,
            };
            let gateway = settings.start().unwrap();
            assert_eq!(gateway.get("a.test", "/").unwrap().status(), status, "{size} and {over} more");
            let told = "upstream sent too big header while reading response header from upstream";
            let deadline = Instant::now() + PATIENCE;
            while over > 0 && !gateway.logs().contains(told) {
                assert!(Instant::now() < deadline, "{}", gateway.logs());
                std::thread::yield_now();
            }
        }
    }
}
