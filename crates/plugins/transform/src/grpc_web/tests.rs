//! What browsers send and get, piece by piece.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_pdk::{BodyChunk, Exchange, Handler, ReplyBody, RequestBody};
use gibbon_rig::{Rig, request, with_body};
use serde_json::{Value, json};

use super::PART;
use crate::grpc::frame;

const PROTO: &str = "syntax = \"proto3\"; package p; message Text { string text = 1; int64 big = 2; Text inner = 3; } service Echo { rpc Say(Text) returns (stream Text); }";
/// `{text: "hi"}`, encoded.
const HI: &[u8] = b"\x0a\x02hi";

struct World {
    rig: Rig,
    handler: Arc<dyn Handler>,
    _folder: tempfile::TempDir,
}

impl World {
    fn with(mut config: Value) -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.proto");
        std::fs::write(&file, PROTO).unwrap();
        if config["proto"] == "yes" {
            config["proto"] = json!(Path::new(&file).to_str().unwrap());
        }
        let rig = Rig::new();
        World { handler: rig.handler(&PART, config), rig, _folder: folder }
    }

    fn call(&self, content_type: &str, body: &str) -> Exchange {
        let mut x = with_body(request("POST /p.Echo/Say", &[("Content-Type", content_type)]), body);
        let ended = self.rig.access(&*self.handler, &mut x);
        assert!(ended.is_next(), "{ended:?}");
        x
    }

    fn refusal(&self, target: &str, content_type: &str, body: &str) -> String {
        let mut x = with_body(request(target, &[("Content-Type", content_type)]), body);
        let reply = self.rig.access(&*self.handler, &mut x).reply();
        assert_eq!(reply.status, 400);
        match reply.body {
            ReplyBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => unreachable!("{other:?}"),
        }
    }

    /// What the browser gets of an answer in these pieces.
    fn answer(&self, x: &mut Exchange, pieces: &[&[u8]], trailers: &[(&str, &str)]) -> Vec<u8> {
        self.rig.answer(&*self.handler, x, 200, &[("Content-Type", "application/grpc"), ("Content-Length", "7")]);
        let mut out = Vec::new();
        for piece in pieces {
            let mut chunk = BodyChunk { data: piece.to_vec(), last: false };
            self.handler.body_filter(x, &mut chunk, &self.rig.host);
            out.extend(chunk.data);
        }
        for (name, value) in trailers {
            x.response_trailers.append(name, value);
        }
        let mut chunk = BodyChunk { data: Vec::new(), last: true };
        self.handler.body_filter(x, &mut chunk, &self.rig.host);
        out.extend(chunk.data);
        out
    }
}

fn sent(x: &Exchange) -> &[u8] {
    x.body.bytes().unwrap()
}

#[test]
fn a_preflight_is_answered_with_what_browsers_may_send() {
    let world = World::with(json!({"allow_origin_header": "http://a.test"}));
    let mut x = request("OPTIONS /p.Echo/Say", &[]);
    let reply = world.rig.access(&*world.handler, &mut x).reply();
    let of = |name| reply.headers.get_str(name);
    assert_eq!((reply.status, of("access-control-allow-origin")), (200, Some("http://a.test")));
    assert_eq!(of("access-control-allow-methods"), Some("POST"));
    assert_eq!(of("access-control-allow-headers"), Some("content-type,x-grpc-web,x-user-agent"));
    assert_eq!(of("content-type"), Some("application/grpc-web-text+proto"));
}

#[test]
fn binary_calls_stream_through_and_end_with_a_frame_of_trailers() {
    let world = World::with(json!({}));
    let mut x = world.call("application/grpc-web+proto", "");
    assert!(matches!(x.body, RequestBody::Unread), "nobody needs to read it");
    assert_eq!(x.request.headers.get_str("content-type"), Some("application/grpc"));
    assert_eq!(x.request.headers.get_str("te"), Some("trailers"));
    let message = frame(0, HI);
    let (first, rest) = message.split_at(3);
    let trailers = [("grpc-status", "3"), ("grpc-message", "no"), ("x-more", "a\r\nb")];
    let got = world.answer(&mut x, &[first, rest], &trailers);
    assert_eq!(got, [message, frame(0x80, b"grpc-status:3\r\ngrpc-message:no\r\nx-more:a%0D%0Ab\r\n")].concat());
    assert_eq!(x.response.headers.get_str("content-type"), Some("application/grpc-web+proto"));
    assert!(!x.response.headers.contains("content-length"));
    assert!(x.response_trailers.is_empty(), "they are not sent twice");
    assert_eq!(x.response.headers.get_str("access-control-allow-origin"), Some("*"));
}

#[test]
fn a_call_that_fails_at_once_shows_the_status_of_its_head() {
    let world = World::with(json!({}));
    let mut x = world.call("application/grpc-web", "");
    let head = [("Content-Type", "application/grpc"), ("grpc-status", "12"), ("grpc-message", "what")];
    world.rig.answer(&*world.handler, &mut x, 200, &head);
    let mut chunk = BodyChunk { data: Vec::new(), last: true };
    world.handler.body_filter(&mut x, &mut chunk, &world.rig.host);
    assert_eq!(chunk.data, frame(0x80, b"grpc-status:12\r\ngrpc-message:what\r\n"));
}

#[test]
fn text_is_undone_on_the_way_in_and_done_piece_by_piece_on_the_way_out() {
    let world = World::with(json!({}));
    let mut x = world.call("application/grpc-web-text", &STANDARD.encode(frame(0, HI)));
    assert_eq!(sent(&x), frame(0, HI));
    let got = world.answer(&mut x, &[b"a", b"bc"], &[]);
    let expected =
        ["YQ==".to_owned(), "YmM=".to_owned(), STANDARD.encode(frame(0x80, b"grpc-status:0\r\ngrpc-message:\r\n"))];
    assert_eq!(String::from_utf8(got).unwrap(), expected.concat());
    assert_eq!(world.refusal("POST /p.Echo/Say", "application/grpc-web-text", "!"), "the body is not valid base64");
}

#[test]
fn json_is_encoded_by_the_definition_and_answers_are_json_without_frames() {
    let world = World::with(json!({"proto": "yes"}));
    let mut x = world.call("application/json", r#"{"text": "hi", "unknown": 1}"#);
    assert_eq!(sent(&x), frame(0, HI));
    let answer = [frame(0, HI), frame(0, b"\x10\x07")].concat();
    for size in 1..answer.len() {
        let pieces: Vec<&[u8]> = answer.chunks(size).collect();
        let mut y = world.call("application/json", "{}");
        let got = world.answer(&mut y, &pieces, &[("grpc-status", "0")]);
        assert_eq!(String::from_utf8(got).unwrap(), r#"{"text":"hi","big":0}{"text":"","big":7}"#);
    }
    let got = world.answer(&mut x, &[], &[]);
    assert!(got.is_empty());
}

#[test]
fn json_in_frames_gets_frames() {
    let world = World::with(json!({"proto": "yes"}));
    let body = String::from_utf8(frame(0, br#"{"text":"hi"}"#)).unwrap();
    let mut x = world.call("application/grpc-web+json", &body);
    assert_eq!(sent(&x), frame(0, HI));
    let got = world.answer(&mut x, &[&frame(0, HI)], &[("grpc-status", "0")]);
    let json = frame(0, br#"{"text":"hi","big":0}"#);
    assert_eq!(got, [json, frame(0x80, b"grpc-status:0\r\ngrpc-message:\r\n")].concat());
}

#[test]
fn json_without_a_definition_and_paths_that_it_lacks_are_refused() {
    let without = World::with(json!({}));
    let message = "transcoding requests require a .proto file defining the service";
    assert_eq!(without.refusal("POST /p.Echo/Say", "application/json", "{}"), message);
    assert_eq!(without.refusal("POST /p.Echo/Say", "text/plain", "{}"), message);
    let with = World::with(json!({"proto": "yes"}));
    assert_eq!(with.refusal("POST /p.Echo/No", "application/json", "{}"), "Unkown path \"/p.Echo/No\"");
}

#[test]
fn hostile_json_is_refused_and_hostile_answers_end_with_an_error() {
    let world = World::with(json!({"proto": "yes"}));
    let refusal = |body: &str| world.refusal("POST /p.Echo/Say", "application/json", body);
    assert!(refusal("{bad").starts_with("decode json err: "));
    assert!(refusal(&"[".repeat(100_000)).starts_with("decode json err: "));
    assert!(refusal(&format!("{}1{}", r#"{"inner":"#.repeat(5000), "}".repeat(5000))).starts_with("decode json err: "));
    assert!(!refusal(r#"{"big": "many"}"#).is_empty());
    // A message that nests without end, and one that claims four gigabytes.
    let mut nested = Vec::new();
    for _ in 0..200 {
        let mut outer = vec![0x1a];
        let mut length = nested.len();
        while length > 127 {
            outer.push((length as u8 & 127) | 128);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.extend(&nested);
        nested = outer;
    }
    for piece in [frame(0, &nested), vec![0, 0xff, 0xff, 0xff, 0xff], frame(0, b"\x0a\xff"), frame(1, HI)] {
        let body = String::from_utf8(frame(0, b"{}")).unwrap();
        let mut x = world.call("application/grpc-web+json", &body);
        let got = world.answer(&mut x, &[&piece], &[("grpc-status", "0")]);
        assert_eq!(got, frame(0x80, b"grpc-status:13\r\ngrpc-message:the answer cannot be converted\r\n"));
    }
}

#[test]
fn answers_that_are_not_grpc_pass_as_they_are() {
    let world = World::with(json!({}));
    let mut x = world.call("application/grpc-web", "");
    world.rig.answer(&*world.handler, &mut x, 503, &[("Content-Type", "text/html")]);
    assert_eq!(world.rig.body(&*world.handler, &mut x, &["<p>"]), "<p>");
    assert_eq!(x.response.headers.get_str("content-type"), Some("text/html"));
}

#[test]
fn the_stripped_path_is_given_back_unless_it_is_asked_for() {
    for (strips, path) in [(false, "/api/p.Echo/Say"), (true, "/p.Echo/Say")] {
        let world = World::with(json!({"pass_stripped_path": strips}));
        let mut x = request("POST /api/p.Echo/Say", &[("Content-Type", "application/grpc-web")]);
        x.stripped_prefix = Some("/api".into());
        x.destination.path = b"/p.Echo/Say".to_vec();
        assert!(world.rig.access(&*world.handler, &mut x).is_next());
        assert_eq!(x.destination.path, path.as_bytes());
    }
}

#[test]
fn a_definition_that_cannot_be_read_fails_calls_and_not_the_configuration() {
    let world = World::with(json!({"proto": "/nowhere/at/all.proto"}));
    let mut x = with_body(request("POST /p.Echo/Say", &[("Content-Type", "application/json")]), "{}");
    assert_eq!(world.rig.access(&*world.handler, &mut x).fault().status(), 500);
    assert!(matches!(world.call("application/grpc-web", "").body, RequestBody::Unread));
}
