//! What is sent to a function on Azure, and what becomes of its answer.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use gibbon_message::Headers;
use gibbon_pdk::{OutcallError, OutcallRequest, OutcallResponse, ReplyBody};
use gibbon_rig::{Rig, json_body, request, with_body};
use serde_json::{Value, json};

use super::PART;

fn call(mut config: Value, line: &str, headers: &[(&str, &str)], body: &str) -> OutcallRequest {
    let rig = Rig::new();
    rig.http.answer(|_| Ok(OutcallResponse { status: 200, headers: Headers::new(), body: "ok".into() }));
    config["appname"] = json!("app");
    let handler = rig.handler(&PART, config);
    let x = request(line, headers);
    let mut x = if body.is_empty() { x } else { with_body(x, body) };
    assert_eq!(rig.access(&*handler, &mut x).reply().status, 200);
    let calls = rig.http.calls.lock().unwrap();
    calls[0].clone()
}

#[test]
fn the_function_gets_the_request_as_it_came_but_for_its_host() {
    let headers = [("X-A", "1"), ("Connection", "x-hop"), ("X-Hop", "1"), ("x-functions-key", "guessed")];
    let sent = call(
        json!({"functionname": "/fn/", "apikey": "key", "clientid": "id", "timeout": 1000}),
        "POST /a%20b?c=d&c=e",
        &headers,
        "body",
    );
    assert_eq!(sent.url, "https://app.azurewebsites.net/api/fn/a%20b?c=d&c=e");
    assert_eq!((sent.method.as_str(), &sent.body[..], sent.timeout.as_secs()), ("POST", &b"body"[..], 1));
    assert!(!sent.tls.verify);
    let mut got: Vec<String> = sent
        .headers
        .iter()
        .map(|(n, v)| format!("{}: {}", String::from_utf8_lossy(n).to_lowercase(), String::from_utf8_lossy(v)))
        .collect();
    got.sort();
    assert_eq!(got, ["x-a: 1", "x-functions-clientid: id", "x-functions-key: key"]);
}

#[test]
fn host_prefix_and_tls_are_as_configured() {
    let sent = call(
        json!({"functionname": "fn", "routeprefix": "/v1/x/", "hostdomain": "azure.test:81", "https": false, "https_verify": true}),
        "GET /",
        &[("x-functions-key", "guessed")],
        "",
    );
    assert_eq!(sent.url, "http://app.azure.test:81/v1/x/fn/");
    assert!(sent.tls.verify);
    assert!(!sent.headers.contains("x-functions-key"), "a client must not choose the key");
}

#[test]
fn the_answer_is_the_functions_and_a_failure_is_500() {
    let rig = Rig::new();
    rig.http.answer(|_| {
        let mut headers = Headers::new();
        headers.append("X-B", "2");
        headers.append("Transfer-Encoding", "chunked");
        Ok(OutcallResponse { status: 418, headers, body: "teapot".into() })
    });
    let handler = rig.handler(&PART, json!({"appname": "app", "functionname": "fn"}));
    let reply = rig.access(&*handler, &mut request("GET /", &[])).reply();
    assert_eq!((reply.status, reply.via, reply.headers.get_str("x-b")), (418, true, Some("2")));
    assert!(!reply.headers.contains("transfer-encoding"));
    assert!(matches!(reply.body, ReplyBody::Bytes(body) if body == "teapot"));
    rig.http.answer(|_| Err(OutcallError::Timeout));
    let reply = rig.access(&*handler, &mut request("GET /", &[])).reply();
    assert_eq!((reply.status, json_body(&reply)), (500, json!({"message": "An unexpected error occurred"})));
}
