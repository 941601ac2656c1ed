//! Plugins that change requests and answers, call gRPC services and functions, through a whole node with real peers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_demo::{Demo, Ports};
use gibbon_testkit::client::{self, Client, Response};
use gibbon_testkit::{moto, upstream};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use rig::Rig;

/// The demo's echo service with bindings for HTTP, one of which is for a method that the service does not have.
const ANNOTATED: &str = r#"
syntax = "proto3";
package gibbon.demo;
import "google/api/annotations.proto";
message Text { string text = 1; }
service Echo {
  rpc Say(Text) returns (Text) { option (google.api.http) = { get: "/v1/say/{text}" additional_bindings { post: "/v1/say" body: "*" } }; }
  rpc Chat(stream Text) returns (stream Text) { option (google.api.http) = { get: "/v1/chat" }; }
  rpc Missing(Text) returns (Text) { option (google.api.http) = { get: "/v1/missing" }; }
}
"#;

/// A node in front of the demo's gRPC service.
struct Grpc {
    rig: Rig,
    _demo: Demo,
    _runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Grpc {
    /// With this plugin on the route; `PROTO` in it becomes the file of definitions.
    fn with(plugin: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let demo = runtime.block_on(Demo::start(Ports::default())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("echo.proto");
        std::fs::write(&file, ANNOTATED).unwrap();
        let plugin = plugin.replace("PROTO", file.to_str().unwrap());
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: echo\n  url: grpc://{}\n  routes:\n  - name: all\n    paths: [/]\n    protocols: [http]\n    plugins:\n    - {plugin}",
            demo.addresses().grpc
        );
        Grpc { rig: Rig::start(&[], &config), _demo: demo, _runtime: runtime, _folder: folder }
    }

    fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Response {
        let mut client = Client::connect(self.rig.proxy).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: api.test\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.exchange([head.as_bytes(), body].concat()).unwrap()
    }
}

fn frame(flags: u8, message: &[u8]) -> Vec<u8> {
    [&[flags][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// An encoded `Text`, shorter than 128 bytes.
fn text(text: &str) -> Vec<u8> {
    [&[0x0a, text.len() as u8][..], text.as_bytes()].concat()
}

const DONE: &[u8] = b"grpc-status:0\r\ngrpc-message:\r\n";

#[test]
fn browsers_call_a_grpc_service_in_binary_and_in_text() {
    let grpc = Grpc::with("{name: grpc-web, config: {allow_origin_header: 'http://a.test'}}");
    let two = [frame(0, &text("one")), frame(0, &text("two"))].concat();
    let answer = grpc.post("/gibbon.demo.Echo/Chat", "application/grpc-web+proto", &two);
    assert_eq!((answer.status(), answer.header("content-type")), (200, Some("application/grpc-web+proto")));
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://a.test"));
    assert_eq!(answer.body, [two.clone(), frame(0x80, DONE)].concat());

    let answer = grpc.post(
        "/gibbon.demo.Echo/Say",
        "application/grpc-web-text",
        STANDARD.encode(frame(0, &text("hi"))).as_bytes(),
    );
    assert_eq!(answer.header("content-type"), Some("application/grpc-web-text"));
    let expected = STANDARD.encode(frame(0, &text("hi"))) + &STANDARD.encode(frame(0x80, DONE));
    assert_eq!(answer.text(), expected);

    let unknown = grpc.post("/gibbon.demo.Echo/Nope", "application/grpc-web", &frame(0, b""));
    assert_eq!(unknown.body, frame(0x80, b"grpc-status:12\r\ngrpc-message:no such method\r\n"));

    let preflight = client::once(grpc.rig.proxy, "OPTIONS /gibbon.demo.Echo/Say HTTP/1.1\r\nHost: a\r\nOrigin: http://a.test\r\nAccess-Control-Request-Method: POST\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!((preflight.status(), preflight.header("access-control-allow-methods")), (200, Some("POST")));
}

#[test]
fn browsers_call_a_grpc_service_in_json() {
    let grpc = Grpc::with("{name: grpc-web, config: {proto: PROTO}}");
    let answer = grpc.post("/gibbon.demo.Echo/Say", "application/json", br#"{"text": "hi"}"#);
    assert_eq!((answer.status(), answer.text().as_str()), (200, r#"{"text":"hi"}"#));
    let framed = grpc.post("/gibbon.demo.Echo/Say", "application/grpc-web+json", &frame(0, br#"{"text":"hi"}"#));
    assert_eq!(framed.body, [frame(0, br#"{"text":"hi"}"#), frame(0x80, DONE)].concat());
    // Far more than is kept in memory on its way.
    let long = json!({ "text": "x".repeat(300_000) }).to_string();
    assert_eq!(grpc.post("/gibbon.demo.Echo/Say", "application/json", long.as_bytes()).text(), long);
    let refused = grpc.post("/gibbon.demo.Echo/Say", "application/json", b"{bad");
    assert_eq!(refused.status(), 400);
    assert!(refused.text().starts_with("decode json err: "), "{}", refused.text());
}

#[test]
fn http_clients_call_a_grpc_service_as_its_annotations_say() {
    let grpc = Grpc::with("{name: grpc-gateway, config: {proto: PROTO}}");
    let get = |target: &str| client::get(grpc.rig.proxy, "api.test", target).unwrap();
    let answer = get("/v1/say/good%20day");
    assert_eq!((answer.status(), answer.text().as_str()), (200, r#"{"text":"good day"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(get("/v1/chat?text=hi").text(), "{\"text\":\"hi\"}\n");
    assert_eq!(grpc.post("/v1/say", "application/json", br#"{"text":"posted"}"#).text(), r#"{"text":"posted"}"#);
    assert_eq!(get("/v1/missing").status(), 500, "12, unimplemented, in the head");
    let unbound = get("/v2");
    assert_eq!(
        (unbound.status(), unbound.text().as_str()),
        (400, "failed to transcode .proto file Unknown path \"/v2\"")
    );
}

#[test]
fn trailers_pass_through_plugins_that_see_the_body() {
    let grpc = Grpc::with("{name: response-transformer, config: {add: {json: ['a:b']}}}");
    let mut client = Client::connect(grpc.rig.proxy).unwrap();
    let message = frame(0, &text("hi"));
    let head = format!(
        "POST /gibbon.demo.Echo/Say HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Type: application/grpc\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        message.len()
    );
    client.send([head.as_bytes(), &message].concat()).unwrap();
    let all = client.read_to_end().unwrap();
    let all = String::from_utf8_lossy(&all).to_lowercase();
    assert!(all.contains("\r\n0\r\ngrpc-status: 0\r\n"), "{all}");
}

/// A node whose plugins call functions.
fn functions(routes: &[(&str, String)]) -> Rig {
    let routes: String = routes
        .iter()
        .map(|(path, plugin)| {
            format!("- paths: ['{path}']\n  name: r{}\n  plugins:\n  - {plugin}\n", path.trim_matches('/'))
        })
        .collect();
    Rig::start(&[], &format!("_format_version: '3.0'\nroutes:\n{routes}"))
}

fn post_json(rig: &Rig, target: &str, body: &Value) -> Response {
    let body = body.to_string();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}",
        body.len()
    );
    client::once(rig.proxy, format!("{head}\r\n\r\n{body}")).unwrap()
}

#[test]
fn functions_are_called_with_signatures_that_aws_accepts() {
    let aws = moto::moto().unwrap();
    let address = aws.server.address();
    let lambda = |keys: &str, more: &str| {
        format!(
            "{{name: aws-lambda, config: {{{keys}, aws_region: eu-west-1, host: {}, port: {}, disable_https: true, function_name: echo{more}}}}}",
            address.ip(),
            address.port()
        )
    };
    let keys = format!("aws_key: '{}', aws_secret: '{}'", aws.key, aws.secret);
    let wrong = format!("aws_key: '{}', aws_secret: 'not it'", aws.key);
    let role = format!(", aws_assume_role_arn: '{}', aws_sts_endpoint_url: 'http://{address}'", aws.role);
    let rig = functions(&[
        ("/plain", lambda(&keys, "")),
        ("/wrong", lambda(&wrong, "")),
        ("/role", lambda(&keys, &role)),
        ("/gateway", lambda(&keys, ", awsgateway_compatible: true")),
        ("/proxy", lambda(&keys, ", is_proxy_integration: true")),
        ("/qualified", lambda(&keys, ", qualifier: '1'")),
    ]);
    // The function answers with its event.
    let answer = post_json(&rig, "/plain?q=a%20b", &json!({"deep": {"a": [1, "ü"]}}));
    assert_eq!(answer.status(), 200, "{}\n{}", answer.text(), aws.server.output());
    assert_eq!(answer.json().unwrap(), json!({"q": "a b", "deep": {"a": [1, "ü"]}}));
    assert!(answer.header("via").is_some_and(|via| via.starts_with("1.1 gibbon/")), "{:?}", answer.header("via"));
    let event = client::get(rig.proxy, "api.test", "/gateway/x?q=1").unwrap().json().unwrap();
    assert_eq!((&event["path"], &event["queryStringParameters"]), (&json!("/x"), &json!({"q": "1"})));
    let made = post_json(&rig, "/proxy", &json!({"statusCode": 201, "headers": {"X-A": "1"}, "body": "made"}));
    assert_eq!((made.status(), made.header("x-a"), made.text().as_str()), (201, Some("1"), "made"));
    assert_eq!(client::get(rig.proxy, "api.test", "/qualified").unwrap().status(), 200, "{}", aws.server.output());

    // Real verification: the same call with another secret is refused.
    assert_eq!(client::get(rig.proxy, "api.test", "/wrong").unwrap().status(), 500);
    let assumed = client::get(rig.proxy, "api.test", "/role?who=role").unwrap();
    assert_eq!((assumed.status(), assumed.text().as_str()), (200, r#"{"who":"role"}"#), "{}", aws.server.output());
}

#[test]
fn functions_on_azure_get_the_request_and_their_key() {
    let upstream = upstream::echo().unwrap();
    let address = upstream.address();
    // 127 and 0.0.1 make an address that needs no name server.
    let plugin = |port: u16| {
        format!(
            "{{name: azure-functions, config: {{appname: '127', hostdomain: '0.0.1:{port}', https: false, functionname: fn, apikey: hush}}}}"
        )
    };
    let nobody = upstream::refusing().unwrap();
    let rig = functions(&[("/", plugin(address.port())), ("/nobody", plugin(nobody.port()))]);
    let answer = post_json(&rig, "/a?b=c", &json!({"d": 1}));
    assert_eq!(answer.status(), 200);
    let seen = upstream.next_request().unwrap();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/api/fn/a?b=c"));
    assert_eq!(
        (seen.header("x-functions-key"), seen.header("host")),
        (Some("hush"), Some(address.to_string().as_str()))
    );
    assert_eq!(seen.body, br#"{"d":1}"#);
    let failed = client::get(rig.proxy, "api.test", "/nobody").unwrap();
    assert_eq!((failed.status(), failed.text().as_str()), (500, r#"{"message":"An unexpected error occurred"}"#));
}

#[test]
fn every_example_of_a_readme_is_accepted() {
    let rig = functions(&[("/", "{name: request-termination}".to_owned())]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/transform/src");
    let mut examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let readme = entry.unwrap().path().join("README.md");
        let Ok(text) = std::fs::read_to_string(&readme) else { continue };
        for block in text.split("```yaml\n").skip(1) {
            let example = block.split("```").next().unwrap();
            let declared = rig.running().declarative.replace(example.as_bytes());
            assert!(declared.is_ok(), "{}: {:#}", readme.display(), declared.err().unwrap());
            examples += 1;
        }
    }
    assert!(examples >= 6, "{examples}");
}
