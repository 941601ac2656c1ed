//! The rules of request-transformer, with the figures recorded from Kong.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use gibbon_pdk::{RequestBody, SpooledBody};
use gibbon_rig::{Rig, refused, request, with_body};
use serde_json::{Value, json};

use super::PART;
use super::body::{Changes, transform};
use super::query::Arguments;

#[test]
fn a_method_without_a_body_moves_the_form_into_the_query() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"http_method": "GET"}));
    let mut x = with_body(request("POST /?a=1", &[("Content-Type", "application/x-www-form-urlencoded")]), "b=2&a=3");
    assert!(rig.access(&*handler, &mut x).is_next());
    assert_eq!(x.request.method.as_str(), "GET");
    assert_eq!(x.destination.query.as_deref(), Some(&b"a=1&a=3&b=2"[..]));
    let mut x = with_body(request("POST /", &[("Content-Type", "text/plain")]), "b=2");
    assert!(rig.access(&*handler, &mut x).is_next());
    assert!(matches!(x.body, RequestBody::Unread), "what is no form is not read");
}

#[test]
fn a_body_in_a_file_is_changed_like_any_other() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"remove": {"body": ["secret"]}}));
    let text = br#"{"secret":1,"kept":2}"#;
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, text).unwrap();
    let mut x = request("POST /", &[("Content-Type", "application/json")]);
    x.body = RequestBody::Spooled(SpooledBody { file: Arc::new(file), len: text.len() as u64 });
    assert!(rig.access(&*handler, &mut x).is_next());
    assert_eq!(x.body.bytes(), Some(&br#"{"kept":2}"#[..]));
}

#[test]
fn both_sides_of_a_renamed_header_are_header_names() {
    let wrong = refused(&PART, json!({"rename": {"headers": ["X-A:bad name"]}}));
    assert!(wrong.to_string().contains("'bad name' is not a valid header"), "{wrong}");
}

#[test]
fn values_cannot_end_the_line_of_a_header() {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"add": {"headers": ["X-A:$(query_params.v)"]}}));
    let mut x = request("GET /?v=1%0D%0AX-Evil:%201", &[]);
    assert!(rig.access(&*handler, &mut x).is_next());
    assert_eq!(x.request.headers.get("x-a"), Some(&b"1%0D%0AX-Evil: 1"[..]));
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn changes() -> Changes {
    Changes {
        remove: vec!["rm".into()],
        rename: pairs(&[("old", "new")]),
        replace: pairs(&[("rep", "R")]),
        add: pairs(&[("add", "A")]),
        append: pairs(&[("app", "Z")]),
    }
}

#[test]
fn a_query_string_is_changed_and_sorted_by_name() {
    let query = |text: &str| {
        let mut all = Arguments::parse(text.as_bytes());
        let more = Changes {
            add: pairs(&[("add", "A"), ("have", "A")]),
            replace: pairs(&[("rep", "R"), ("none", "N")]),
            ..changes()
        };
        more.apply_to_arguments(&mut all);
        String::from_utf8(all.encode(true)).unwrap()
    };
    assert_eq!(query("rm=1&old=2&rep=3&have=4&app=5"), "add=A&app=5&app=Z&have=4&new=2&rep=R");
    assert_eq!(query("a=1&a=2&b&c=&d=%20x+y"), "a=1&a=2&add=A&app=Z&b&c=&d=%20x%20y&have=A");
}

#[test]
fn a_json_object_is_changed_at_its_top_level() {
    let body = br#"{"rm":1,"old":2,"rep":3,"app":5,"keep":{"x":[1]}}"#;
    let after: Value = serde_json::from_slice(&transform(&changes(), "application/json", body).unwrap()).unwrap();
    assert_eq!(after, json!({"new": 2, "rep": "R", "app": [5, "Z"], "keep": {"x": [1]}, "add": "A"}));
}

#[test]
fn an_empty_json_body_counts_as_an_empty_object() {
    let after = transform(&changes(), "application/json", b"").unwrap();
    assert_eq!(after, br#"{"add":"A","app":["Z"]}"#);
}

#[test]
fn what_is_no_object_and_what_is_not_understood_pass_untouched() {
    assert_eq!(transform(&changes(), "application/json", b"{bad"), None);
    assert_eq!(transform(&changes(), "application/json", b"[1,2]"), None);
    assert_eq!(transform(&changes(), "text/plain", b"plain"), None);
}

#[test]
fn a_multipart_form_is_changed_field_by_field() {
    let body = b"--X\r\nContent-Disposition: form-data; name=\"rm\"\r\n\r\n1\r\n--X\r\nContent-Disposition: form-data; name=\"rep\"\r\n\r\nv\r\n--X--\r\n";
    let after = transform(&changes(), "multipart/form-data; boundary=X", body).unwrap();
    let expected = "--X\r\nContent-Disposition: form-data; name=\"rep\"\r\n\r\nR\r\n--X\r\nContent-Disposition: form-data; name=\"add\"\r\n\r\nA\r\n--X--\r\n";
    assert_eq!(String::from_utf8(after).unwrap(), expected);
}
