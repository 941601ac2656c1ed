//! The transformers through a whole node: what the upstream sees, and what the client gets.

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Request, Upstream};
use serde_json::{Value, json};

use crate::rig::Rig;

struct Gateway {
    rig: Rig,
    upstream: Upstream,
}

impl Gateway {
    /// One route with a capture and this plugin.
    fn with(upstream: Upstream, plugin: &str) -> Self {
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: s\n  url: http://{}\n  routes:\n  - name: r\n    \
             paths: ['~/shop/(?<department>[^/]+)', /]\n    strip_path: false\n  plugins: [{plugin}]\n",
            upstream.address()
        );
        Gateway { rig: Rig::start(&[], &config), upstream }
    }

    fn ask(&self, head: &str, body: &str) -> Response {
        let length = body.len();
        let text = format!("{head}\r\nHost: api.test\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        client::once(self.rig.proxy, text).unwrap()
    }

    /// What the upstream saw of a request.
    fn seen(&self, head: &str, body: &str) -> Request {
        drop(self.upstream.requests());
        assert_eq!(self.ask(head, body).status(), 200, "{head}");
        self.upstream.requests().pop().unwrap()
    }
}

fn requests(config: &Value) -> Gateway {
    Gateway::with(upstream::echo().unwrap(), &format!("{{name: request-transformer, config: {config}}}"))
}

#[test]
fn headers_change_in_kongs_order() {
    let gateway = requests(&json!({
        "remove": {"headers": ["x-secret"]},
        "rename": {"headers": ["x-old:x-new"]},
        "replace": {"headers": ["x-kept:after", "x-absent:never"]},
        "add": {"headers": ["x-kept:no", "x-added:yes"]},
        "append": {"headers": ["x-list:b"]},
    }));
    let seen = gateway.seen("GET / HTTP/1.1\r\nX-Secret: s\r\nX-Old: o\r\nX-Kept: before\r\nX-List: a", "");
    let of = |name: &str| seen.headers.all(name);
    assert_eq!((of("x-secret"), of("x-old"), of("x-new")), (vec![], vec![], vec!["o"]));
    assert_eq!((of("x-kept"), of("x-absent"), of("x-added")), (vec!["after"], vec![], vec!["yes"]));
    assert_eq!(of("x-list"), ["a", "b"]);
}

#[test]
fn path_method_query_and_host_change() {
    let gateway = requests(&json!({
        "http_method": "PUT",
        "replace": {"uri": "/of/$(uri_captures[\"department\"])", "headers": ["host:other.test"]},
        "remove": {"querystring": ["drop"]},
        "add": {"querystring": ["page:1"]},
    }));
    let seen = gateway.seen("GET /shop/books?drop=1&q=a%20b HTTP/1.1", "");
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("PUT", "/of/books?page=1&q=a%20b"));
    assert_eq!(seen.header("host"), Some("other.test"));
}

#[test]
fn bodies_of_known_kinds_change_and_others_do_not() {
    let gateway = requests(&json!({
        "remove": {"body": ["secret"]},
        "rename": {"body": ["old:new"]},
        "append": {"body": ["tags:b"]},
    }));
    let json_body = r#"{"secret":1,"old":2,"tags":"a"}"#;
    let seen = gateway.seen("POST / HTTP/1.1\r\nContent-Type: application/json", json_body);
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body, json!({"new": 2, "tags": ["a", "b"]}));
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()));
    let form = "Content-Type: application/x-www-form-urlencoded";
    let seen = gateway.seen(&format!("POST / HTTP/1.1\r\n{form}"), "secret=1&old=2");
    assert_eq!(String::from_utf8_lossy(&seen.body), "new=2&tags=b");
    let seen = gateway.seen("POST / HTTP/1.1\r\nContent-Type: text/plain", "secret=1");
    assert_eq!(String::from_utf8_lossy(&seen.body), "secret=1");
}

#[test]
fn answers_change_in_head_and_body() {
    let upstream = Upstream::serve(|mut connection| {
        while connection.read_request()?.is_some() {
            let headers = [("Content-Type", "application/json"), ("X-Powered-By", "x"), ("X-Rev", "7")];
            connection.answer(200, &headers, r#"{"internal":1,"status":"?"}"#)?;
        }
        Ok(())
    });
    let config = json!({
        "remove": {"headers": ["x-powered-by"], "json": ["internal"]},
        "rename": {"headers": ["x-rev:x-revision"]},
        "replace": {"json": ["status:ok"]},
        "add": {"headers": ["x-served-by:gibbon"], "json": ["count:3"], "json_types": ["number"]},
    });
    let gateway = Gateway::with(upstream.unwrap(), &format!("{{name: response-transformer, config: {config}}}"));
    let answer = gateway.ask("GET / HTTP/1.1", "");
    assert_eq!(answer.json().unwrap(), json!({"status": "ok", "count": 3}));
    assert_eq!((answer.header("x-powered-by"), answer.header("x-rev")), (None, None));
    assert_eq!((answer.header("x-revision"), answer.header("x-served-by")), (Some("7"), Some("gibbon")));
}
