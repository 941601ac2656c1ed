//! Which call a request becomes, and which answer a call.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use gibbon_pdk::{BodyChunk, Exchange, Handler, ReplyBody};
use gibbon_rig::{Rig, request, with_body};
use serde_json::{Value, json};

use super::PART;
use crate::grpc::frame;

const PROTO: &str = r#"
syntax = "proto3";
package lib;
import "google/api/annotations.proto";
enum Kind { ANY = 0; NOVEL = 1; }
message Book { string name = 1; string author_name = 2; int32 pages = 3; bool lent = 4; repeated string tags = 5; Book sequel = 6; Kind kind = 7; }
service Library {
  rpc Get(Book) returns (Book) { option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}" additional_bindings { get: "/v1/by/{author_name}/{sequel.name}" } additional_bindings { post: "/v1/search" body: "*" } }; }
  rpc Put(Book) returns (Book) { option (google.api.http) = { put: "/v1/books/{name}" body: "sequel" }; }
  rpc List(Book) returns (stream Book) { option (google.api.http) = { get: "/v1/books" }; }
  rpc Check(Book) returns (Book) { option (google.api.http) = { post: "/v1/{name}:check" body: "*" }; }
  rpc Hidden(Book) returns (Book);
}
"#;

struct World {
    rig: Rig,
    handler: Arc<dyn Handler>,
    file: String,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lib.proto");
        std::fs::write(&file, PROTO).unwrap();
        let (rig, file) = (Rig::new(), file.to_str().unwrap().to_owned());
        World { handler: rig.handler(&PART, json!({"proto": file})), rig, file, _folder: folder }
    }

    fn access(&self, line: &str, body: &str) -> Result<Exchange, (u16, String)> {
        let x = request(line, &[]);
        let mut x = if body.is_empty() { x } else { with_body(x, body) };
        match self.rig.access(&*self.handler, &mut x) {
            gibbon_rig::Ended::Next => Ok(x),
            gibbon_rig::Ended::Reply(reply) => match reply.body {
                ReplyBody::Bytes(bytes) => Err((reply.status, String::from_utf8(bytes.to_vec()).unwrap())),
                other => panic!("{other:?}"),
            },
            gibbon_rig::Ended::Fault(fault) => Err((fault.status(), fault.cause.into_owned())),
        }
    }

    /// Path and message of the call that a request becomes.
    fn call(&self, line: &str, body: &str) -> (String, Value) {
        let x = self.access(line, body).unwrap();
        assert_eq!((x.request.method.as_str(), x.destination.query.as_deref()), ("POST", Some(&b""[..])));
        assert_eq!(x.request.headers.get_str("content-type"), Some("application/grpc"));
        assert_eq!(x.request.headers.get_str("te"), Some("trailers"));
        let message = x.body.bytes().unwrap();
        assert_eq!(message[..5], frame(0, &message[5..])[..5]);
        (String::from_utf8(x.destination.path.clone()).unwrap(), self.read(&message[5..]))
    }

    /// The fields that an encoded book has.
    fn read(&self, message: &[u8]) -> Value {
        let crate::grpc::Proto::Loaded(definitions) = crate::grpc::Proto::load("test", Some(&self.file)) else {
            panic!("no definitions")
        };
        let book = definitions.method("/lib.Library/Get").unwrap().input();
        let mut value: Value = serde_json::from_slice(&crate::grpc::write_json(&book, message).unwrap()).unwrap();
        forget_defaults(&mut value);
        value
    }

    fn answer(&self, line: &str, pieces: &[&[u8]]) -> (Exchange, String) {
        let mut x = self.access(line, "").unwrap();
        self.rig.answer(&*self.handler, &mut x, 200, &[("Content-Type", "application/grpc+proto")]);
        let mut out = Vec::new();
        for piece in pieces.iter().chain([&&b""[..]]) {
            let mut chunk = BodyChunk { data: piece.to_vec(), last: piece.is_empty() };
            self.handler.body_filter(&mut x, &mut chunk, &self.rig.host);
            out.extend(chunk.data);
        }
        (x, String::from_utf8(out).unwrap())
    }
}

fn forget_defaults(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(forget_defaults);
        fields.retain(|_, v| !matches!(v, Value::Bool(false)) && *v != "" && *v != 0 && *v != "ANY" && *v != json!([]));
    }
}

#[test]
fn paths_bind_fields_and_the_query_fills_the_others() {
    let world = World::new();
    let get = "/lib.Library/Get".to_owned();
    assert_eq!(
        world
            .call("GET /v1/shelves/7/books/a%20b?pages=12&lent=true&tags=x&tags=y&sequel.name=z&kind=NOVEL&none=1", ""),
        (
            get.clone(),
            json!({"name": "shelves/7/books/a b", "pages": 12, "lent": true, "tags": ["x", "y"], "sequel": {"name": "z"}, "kind": "NOVEL"})
        )
    );
    assert_eq!(
        world.call("GET /v1/by/me/next?authorName=you&sequel.pages=3", ""),
        (get.clone(), json!({"author_name": "me", "sequel": {"name": "next", "pages": 3}}))
    );
    assert_eq!(
        world.call("POST /v1/search", r#"{"authorName": "a", "pages": 1}"#),
        (get, json!({"author_name": "a", "pages": 1}))
    );
}

#[test]
fn the_body_is_a_field_or_the_message_and_never_changes_what_the_path_says() {
    let world = World::new();
    let put = world.call("PUT /v1/books/b?pages=9", r#"{"name": "next"}"#);
    assert_eq!(put, ("/lib.Library/Put".to_owned(), json!({"name": "b", "sequel": {"name": "next"}})));
    let check = world.call("POST /v1/b:check", r#"{"name": "other", "pages": 2, "more": {}}"#);
    assert_eq!(check, ("/lib.Library/Check".to_owned(), json!({"name": "b", "pages": 2})));
    assert_eq!(world.call("POST /v1/b:check", "").1, json!({"name": "b"}));
}

#[test]
fn what_is_bound_to_nothing_is_refused_in_kongs_words() {
    let world = World::new();
    let refused = |line: &str, body: &str| world.access(line, body).unwrap_err();
    assert_eq!(refused("GET /nope", ""), (400, "failed to transcode .proto file Unknown path \"/nope\"".to_owned()));
    assert_eq!(
        refused("DELETE /v1/books", ""),
        (400, "failed to transcode .proto file Unknown method \"delete\"".to_owned())
    );
    assert_eq!(refused("POST /lib.Library/Hidden", "{}").0, 400);
    assert_eq!(refused("POST /v1/search", "[1]"), (400, "body must be a table".to_owned()));
    assert_eq!(refused("GET /v1/books?pages=many", ""), (400, "failed to encode payload".to_owned()));
    assert_eq!(refused("GET /v1/books?lent=maybe", "").0, 400);
    for hostile in ["{bad", &"[".repeat(100_000), &format!("{}{}", r#"{"sequel":"#.repeat(9000), "}".repeat(9000))] {
        let (status, message) = refused("POST /v1/search", hostile);
        assert_eq!((status, message.starts_with("decode json err: ")), (400, true), "{message}");
    }
}

#[test]
fn without_definitions_nothing_can_be_called() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({}));
    let mut x = request("GET /v1/books", &[]);
    let reply = rig.access(&*handler, &mut x).reply();
    assert_eq!(reply.status, 400);
    let handler = rig.handler(&PART, json!({"proto": "/nowhere.proto"}));
    assert_eq!(rig.access(&*handler, &mut request("GET /v1/books", &[])).fault().status(), 500);
}

#[test]
fn a_preflight_is_answered() {
    let world = World::new();
    let mut x = request("OPTIONS /v1/books", &[]);
    let reply = world.rig.access(&*world.handler, &mut x).reply();
    assert_eq!(
        (reply.status, reply.headers.get_str("access-control-allow-methods")),
        (200, Some("GET,POST,PATCH,DELETE"))
    );
    assert_eq!(x.added_headers.get_str("access-control-allow-origin"), Some("*"));
}

#[test]
fn answers_are_json_however_they_are_split_and_streams_are_lines() {
    let world = World::new();
    let messages = [frame(0, b"\x0a\x01a"), frame(0, b"\x18\x02")].concat();
    let (first, second) = (
        r#"{"name":"a","author_name":"","pages":0,"lent":false,"tags":[],"kind":"ANY"}"#,
        r#"{"name":"","author_name":"","pages":2,"lent":false,"tags":[],"kind":"ANY"}"#,
    );
    for size in 1..=messages.len() {
        let pieces: Vec<&[u8]> = messages.chunks(size).collect();
        let (x, got) = world.answer("GET /v1/books", &pieces);
        assert_eq!(got, format!("{first}\n{second}\n"));
        assert_eq!((x.response.status, x.response.headers.get_str("content-type")), (200, Some("application/json")));
    }
    let (_, got) = world.answer("GET /v1/shelves/1/books/2", &[&frame(0, b"\x0a\x01a")]);
    assert_eq!(got, first);
    let (_, got) = world.answer("GET /v1/books", &[&frame(0, b"\x0a\x01a"), &[0, 0xff, 0xff, 0xff, 0xff, 1]]);
    assert_eq!(got, format!("{first}\n"), "what cannot be a message ends the answer");
}

#[test]
fn a_status_in_the_head_becomes_an_http_status() {
    let world = World::new();
    let table = [
        (0, 200),
        (1, 499),
        (2, 500),
        (3, 400),
        (4, 504),
        (5, 404),
        (6, 409),
        (7, 403),
        (8, 429),
        (9, 400),
        (10, 409),
        (11, 400),
        (12, 500),
        (13, 500),
        (14, 503),
        (15, 500),
        (16, 401),
        (99, 500),
    ];
    for (grpc, http) in table {
        let mut x = world.access("GET /v1/books", "").unwrap();
        let head = [("Content-Type", "application/grpc"), ("grpc-status", &grpc.to_string())];
        world.rig.answer(&*world.handler, &mut x, 200, &head);
        assert_eq!(x.response.status, http, "grpc-status {grpc}");
    }
}
