//! What is sent to Lambda and its kin, and what becomes of their answers. Whether signatures are right is for the
//! whole-gateway test, where AWS's own implementation verifies them.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gibbon_cloud::aws::Surroundings;
use gibbon_message::Headers;
use gibbon_pdk::{Exchange, OutcallError, OutcallRequest, OutcallResponse, Reply, ReplyBody, RequestBody, SpooledBody};
use gibbon_rig::{Ended, Rig, accepted, json_body, refused, request, with_body};
use gibbon_schema::Schema;
use serde_json::{Value, json};

use super::PART;
use super::config::Config;
use super::handler::Lambda;

fn config(more: Value) -> Value {
    let mut config = json!({"function_name": "fn", "aws_region": "eu-west-1", "aws_key": "AK", "aws_secret": "s"});
    for (name, value) in more.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn ok(headers: &[(&str, &str)], body: &str) -> OutcallResponse {
    let mut all = Headers::new();
    for (name, value) in headers {
        all.append(name, value);
    }
    OutcallResponse { status: 200, headers: all, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// The outcome of a request, and the calls that were made for it.
fn ask(
    config_of: Value,
    around: Surroundings,
    x: &mut Exchange,
    answer: impl FnMut(OutcallRequest) -> Result<OutcallResponse, OutcallError> + Send + 'static,
) -> (Ended, Vec<OutcallRequest>) {
    let rig = Rig::new();
    rig.http.answer(answer);
    let config = Config::from_value(&accepted(&PART, config_of)).unwrap();
    let handler = Lambda::new(config, around);
    let ended = rig.access(&handler, x);
    let calls = rig.http.calls.lock().unwrap().clone();
    (ended, calls)
}

/// The event made of a request.
fn event(more: Value, x: &mut Exchange) -> Value {
    let (_, calls) = ask(config(more), Surroundings::default(), x, |_| Ok(ok(&[], "{}")));
    serde_json::from_slice(&calls.last().unwrap().body).unwrap()
}

/// The answer made of a function's.
fn answer(more: Value, status: u16, headers: &[(&str, &str)], body: &str) -> Ended {
    let said = OutcallResponse { status, ..ok(headers, body) };
    let mut x = request("GET /", &[]);
    ask(config(more), Surroundings::default(), &mut x, move |_| Ok(said.clone())).0
}

fn text(reply: &Reply) -> String {
    match &reply.body {
        ReplyBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn configurations_are_refused_in_kongs_words() {
    assert!(refused(&PART, json!({"aws_key": "k"})).to_string().contains("aws_secret"));
    let wrong = refused(&PART, json!({"proxy_url": "https://p.test"}));
    assert!(wrong.to_string().contains("proxy_url scheme must be http"), "{wrong}");
    for wrong in
        [json!({"port": 70000}), json!({"host": "h:1"}), json!({"unhandled_status": 99}), json!({"log_type": "x"})]
    {
        assert!(refused(&PART, wrong).is_object());
    }
}

#[test]
fn the_function_is_called_at_lambda_of_the_region() {
    let mut x = request("GET /", &[]);
    let more = json!({"qualifier": "v 1", "function_name": "arn:aws:lambda:eu-west-1:1:function:f", "invocation_type": "Event", "log_type": "None", "timeout": 1500, "keepalive": 10});
    let (_, calls) = ask(config(more), Surroundings::default(), &mut x, |_| Ok(ok(&[], "{}")));
    let call = &calls[0];
    assert_eq!(
        call.url,
        "https://lambda.eu-west-1.amazonaws.com/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Af/invocations?Qualifier=v%201"
    );
    assert_eq!((call.method.as_str(), call.timeout.as_millis(), call.keepalive.as_millis()), ("POST", 1500, 10));
    assert_eq!(call.headers.get_str("x-amz-invocation-type"), Some("Event"));
    assert_eq!(call.headers.get_str("x-amz-log-type"), Some("None"));
    let signature = call.headers.get_str("authorization").unwrap();
    assert!(signature.contains("/eu-west-1/lambda/aws4_request, SignedHeaders=content-length;host;x-amz-date;x-amz-invocation-type;x-amz-log-type, "), "{signature}");
    assert!(!call.tls.verify);
}

#[test]
fn another_server_a_proxy_and_verification_can_be_named() {
    let more = json!({"host": "lambda.test", "port": 8080, "disable_https": true, "proxy_url": "http://proxy.test:3128", "ssl_verify": true});
    let (_, calls) = ask(config(more), Surroundings::default(), &mut request("GET /", &[]), |_| Ok(ok(&[], "{}")));
    assert!(calls[0].url.starts_with("http://lambda.test:8080/2015-03-31/"));
    assert_eq!((calls[0].proxy.as_deref(), calls[0].tls.verify), (Some("http://proxy.test:3128"), true));
}

#[test]
fn without_pieces_the_function_is_told_the_parameters() {
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let mut x = with_body(request("POST /?a=1&b=2&b=3&c", &[form]), "a=body&d=4");
    assert_eq!(event(json!({}), &mut x), json!({"a": "body", "b": ["2", "3"], "c": true, "d": "4"}));
    let mut x = with_body(request("POST /?a=1", &[("Content-Type", "application/json")]), r#"{"deep": {"x": [1]}}"#);
    assert_eq!(event(json!({}), &mut x), json!({"a": "1", "deep": {"x": [1]}}));
    let part = "--X\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nv\r\n--X--\r\n";
    let mut x = with_body(request("POST /", &[("Content-Type", "multipart/form-data; boundary=X")]), part);
    assert_eq!(event(json!({}), &mut x), json!({"f": "v"}));
    assert_eq!(event(json!({}), &mut request("GET /", &[])), json!({}));
}

#[test]
fn the_pieces_are_those_that_are_configured() {
    let mut x = request("GET /p?q=1", &[("X-A", "1"), ("x-a", "2")]);
    assert_eq!(event(json!({"forward_request_method": true}), &mut x), json!({"request_method": "GET"}));
    assert_eq!(
        event(json!({"forward_request_headers": true}), &mut x),
        json!({"request_headers": {"host": "api.test", "x-a": ["1", "2"]}})
    );
    assert_eq!(
        event(json!({"forward_request_uri": true}), &mut x),
        json!({"request_uri": "/p?q=1", "request_uri_args": {"q": "1"}})
    );
    let told = |content_type: &str, more: Value| {
        let mut x = with_body(request("POST /", &[("Content-Type", content_type)]), "<a>");
        let mut config = json!({"forward_request_body": true});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event(config, &mut x)
    };
    assert_eq!(told("text/xml", json!({})), json!({"request_body": "<a>", "request_body_args": {}}));
    assert_eq!(
        told("image/png", json!({})),
        json!({"request_body": "PGE+", "request_body_base64": true, "request_body_args": {}})
    );
    assert_eq!(
        told("image/png", json!({"base64_encode_body": false})),
        json!({"request_body": "<a>", "request_body_args": {}})
    );
    assert_eq!(
        told("application/json", json!({})),
        json!({"request_body": "<a>"}),
        "what is no JSON has no parameters"
    );
}

#[test]
fn requests_are_told_as_api_gateway_tells_them() {
    let make = || {
        let headers =
            [("User-Agent", "a/1"), ("Cookie", "a=1; b=2"), ("X-A", "1"), ("X-A", "2"), ("Content-Type", "text/plain")];
        let mut x = with_body(request("POST /api/x?q=1&q=2&r", &headers), "hi");
        x.destination.path = b"/x".to_vec();
        x.captures.push(("id".into(), "7".into()));
        x.captures.push(("0".into(), "all".into()));
        x.started_ns = 1_709_251_199_123_000_000;
        x
    };
    let one = event(json!({"awsgateway_compatible": true}), &mut make());
    assert_eq!((&one["version"], &one["path"], &one["httpMethod"]), (&json!("1.0"), &json!("/x"), &json!("POST")));
    assert_eq!((&one["body"], &one["isBase64Encoded"]), (&json!("aGk="), &json!(true)));
    assert_eq!((&one["headers"]["x-a"], &one["multiValueHeaders"]["x-a"]), (&json!("1"), &json!(["1", "2"])));
    assert_eq!(one["multiValueQueryStringParameters"], json!({"q": ["1", "2"], "r": [true]}));
    assert_eq!((&one["queryStringParameters"]["q"], &one["pathParameters"]), (&json!("1"), &json!({"id": "7"})));
    let context = &one["requestContext"];
    assert_eq!(context["identity"], json!({"sourceIp": "10.0.0.1", "userAgent": "a/1"}));
    assert_eq!(
        (&context["requestTime"], &context["requestTimeEpoch"]),
        (&json!("29/Feb/2024:23:59:59 +0000"), &json!(1_709_251_199_123_u64))
    );
    assert_eq!((&context["domainName"], &context["domainPrefix"]), (&json!("api.test"), &json!("api")));

    let version = json!({"awsgateway_compatible": true, "awsgateway_compatible_payload_version": "2.0", "base64_encode_body": false});
    let two = event(version, &mut make());
    assert_eq!(
        (&two["version"], &two["rawPath"], &two["rawQueryString"]),
        (&json!("2.0"), &json!("/x"), &json!("q=1&q=2&r"))
    );
    assert_eq!((&two["cookies"], &two["headers"]["x-a"]), (&json!(["a=1", "b=2"]), &json!("1,2")));
    assert_eq!((&two["body"], &two["isBase64Encoded"]), (&json!("hi"), &json!(false)));
    assert_eq!(two["requestContext"]["http"]["sourceIp"], "10.0.0.1");
}

fn spooled(text: &str) -> RequestBody {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    RequestBody::Spooled(SpooledBody { file: Arc::new(file), len: text.len() as u64 })
}

#[test]
fn bodies_on_disk_are_left_out_or_read() {
    for (skip, told) in [(true, None), (false, Some("large"))] {
        let mut x = request("POST /", &[("Content-Type", "text/plain")]);
        x.body = spooled("large");
        let event = event(json!({"forward_request_body": true, "skip_large_bodies": skip}), &mut x);
        assert_eq!(event.get("request_body").and_then(Value::as_str), told);
    }
}

#[test]
fn the_answer_is_lambdas_without_what_belonged_to_its_connection() {
    let head = [
        ("Content-Type", "application/json"),
        ("Content-Length", "99"),
        ("Connection", "close, x-hop"),
        ("X-Hop", "1"),
        ("X-Amzn-RequestId", "r"),
    ];
    let reply = answer(json!({}), 200, &head, r#"{"a":[]}"#).reply();
    assert_eq!((reply.status, text(&reply).as_str(), reply.via), (200, r#"{"a":{}}"#, true));
    assert_eq!(reply.headers.iter().count(), 2, "{:?}", reply.headers);
    let reply = answer(json!({"empty_arrays_mode": "correct"}), 200, &head, r#"{"a":[]}"#).reply();
    assert_eq!(text(&reply), r#"{"a":[]}"#);
    let unhandled = [("X-Amz-Function-Error", "Unhandled")];
    assert_eq!(answer(json!({"unhandled_status": 412}), 200, &unhandled, "{}").reply().status, 412);
    assert_eq!(answer(json!({}), 200, &unhandled, "{}").reply().status, 200);
    assert_eq!(answer(json!({"unhandled_status": 412}), 202, &[], "").reply().status, 202);
}

#[test]
fn an_error_of_lambda_itself_is_500_unless_its_status_is_asked_for() {
    let fault = answer(json!({}), 404, &[], r#"{"Message":"Function not found"}"#).fault();
    assert_eq!(fault.status(), 500);
    assert!(fault.cause.contains("404: Function not found"), "{}", fault.cause);
    let reply =
        answer(json!({"preserve_lambda_api_error_code": true, "is_proxy_integration": true}), 404, &[], "no").reply();
    assert_eq!((reply.status, text(&reply).as_str()), (404, "no"));
    let mut x = request("GET /", &[]);
    let failing = |_| Err(OutcallError::Timeout);
    assert_eq!(ask(config(json!({})), Surroundings::default(), &mut x, failing).0.fault().status(), 500);
}

#[test]
fn a_proxy_integration_says_status_headers_and_body() {
    let proxy = |said: &str| {
        answer(json!({"is_proxy_integration": true}), 200, &[("Content-Type", "application/json"), ("X-L", "1")], said)
            .reply()
    };
    let reply = proxy(
        r#"{"statusCode":"201","headers":{"Content-Type":"text/plain","X-N":3},"multiValueHeaders":{"Set-Cookie":["a=1","b=2"]},"body":"aGk=","isBase64Encoded":true}"#,
    );
    assert_eq!((reply.status, text(&reply).as_str()), (201, "hi"));
    let of = |name| reply.headers.get_all(name).map(|v| String::from_utf8(v.to_vec()).unwrap()).collect::<Vec<_>>();
    assert_eq!(
        (of("content-type"), of("x-n"), of("x-l")),
        (vec!["text/plain".into()], vec!["3".into()], vec!["1".into()])
    );
    assert_eq!(of("set-cookie"), ["a=1", "b=2"]);
    let why = |said: &str| {
        let reply = proxy(said);
        assert_eq!((reply.status, &json_body(&reply)["message"]), (502, &json!("Bad Gateway")));
        let error = json_body(&reply)["error"].as_str().unwrap().to_owned();
        error.strip_prefix("could not JSON decode Lambda function response: ").unwrap().to_owned()
    };
    assert_eq!(why("{}"), "statusCode validation failed");
    assert_eq!(why(r#"{"statusCode":99}"#), "statusCode validation failed");
    assert!(!why(r#"{"statusCode":1e400}"#).is_empty());
    assert_eq!(why(r#"{"statusCode":200,"headers":"x"}"#), "headers must be a table");
    assert_eq!(why(r#"{"statusCode":200,"body":{}}"#), "body must be a string");
    assert_eq!(why(r#"{"statusCode":200,"isBase64Encoded":"yes"}"#), "isBase64Encoded must be a boolean");
    assert!(!why("no json").is_empty() && !why(&"[".repeat(100_000)).is_empty());
}

#[test]
fn a_function_cannot_make_headers_of_its_own_out_of_values() {
    let said = r#"{"statusCode":200,"headers":{"X-A":"1\r\nX-Evil: 1","Bad Name":"x","X:Y":"x","Transfer-Encoding":"chunked","Content-Length":"0"},"body":"b"}"#;
    let reply = answer(json!({"is_proxy_integration": true}), 200, &[], said).reply();
    assert_eq!(
        reply.headers.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect::<Vec<_>>(),
        [(b"X-A".to_vec(), b"1%0D%0AX-Evil: 1".to_vec())]
    );
}

const TEMPORARY: &str =
    r#"{"AccessKeyId":"TEMP","SecretAccessKey":"S","Token":"TOK","Expiration":"2999-01-01T00:00:00Z"}"#;
const ASSUMED: &str = "<r><AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>RT</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></r>";

/// Calls made for a request of somebody who configured no keys, in these surroundings.
fn calls(more: Value, variables: &[(&str, &str)]) -> Vec<(String, Headers)> {
    let variables: Vec<(String, String)> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let around = Surroundings::from(|name| variables.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()));
    let mut config = config(more);
    config.as_object_mut().unwrap().retain(|name, _| name != "aws_key" && name != "aws_secret");
    let script = |call: OutcallRequest| {
        let body = match call.url.as_str() {
            url if url.ends_with("/api/token") => "SESSION",
            url if url.ends_with("/security-credentials/") => "web\n",
            url if url.contains("sts.") => ASSUMED,
            url if url.contains("invocations") => "{}",
            _ => TEMPORARY,
        };
        Ok(ok(&[], body))
    };
    let (ended, calls) = ask(config, around, &mut request("GET /", &[]), script);
    assert!(matches!(ended, Ended::Reply(_)), "{ended:?}");
    calls.into_iter().map(|call| (format!("{} {}", call.method.as_str(), call.url), call.headers)).collect()
}

fn who(headers: &Headers) -> (String, Option<String>) {
    let key = headers.get_str("authorization").unwrap().split(['=', '/']).nth(1).unwrap().to_owned();
    (key, headers.get_str("x-amz-security-token").map(str::to_owned))
}

#[test]
fn keys_come_from_the_environment() {
    let found =
        calls(json!({}), &[("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_SESSION_TOKEN", "t")]);
    assert_eq!((found.len(), who(&found[0].1)), (1, ("ENV".into(), Some("t".into()))));
}

#[test]
fn keys_come_from_the_container() {
    let found = calls(
        json!({}),
        &[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "auth")],
    );
    assert_eq!(found[0].0, "GET http://169.254.170.2/v2/x");
    assert_eq!(found[0].1.get_str("authorization"), Some("auth"));
    assert_eq!(who(&found[1].1), ("TEMP".into(), Some("TOK".into())));
}

#[test]
fn keys_come_from_a_web_identity() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "t.o.k\n").unwrap();
    let found = calls(json!({}), &[("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()), ("AWS_ROLE_ARN", "arn:r")]);
    assert_eq!(found[0].0, "POST https://sts.eu-west-1.amazonaws.com/");
    assert_eq!(who(&found[1].1), ("ROLE".into(), Some("RT".into())));
}

#[test]
fn keys_come_from_the_instance_in_either_version_of_its_service() {
    let base = "http://169.254.169.254/latest";
    let lines = |found: &[(String, Headers)]| found.iter().map(|(line, _)| line.clone()).collect::<Vec<_>>();
    let found = calls(json!({}), &[]);
    let role = format!("GET {base}/meta-data/iam/security-credentials/");
    assert_eq!(lines(&found[..2]), [role.clone(), format!("{role}web")]);
    assert_eq!(who(&found[2].1), ("TEMP".into(), Some("TOK".into())));
    let found = calls(
        json!({"aws_imds_protocol_version": "v2"}),
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://imds.test/")],
    );
    assert_eq!(found[0].0, "PUT http://imds.test/latest/api/token");
    assert_eq!(found[1].1.get_str("x-aws-ec2-metadata-token"), Some("SESSION"));
    assert_eq!(found.len(), 4);
}

#[test]
fn a_role_is_assumed_with_the_keys_and_kept_while_it_holds() {
    let rig = Rig::new();
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&seen);
    rig.http.answer(move |call| {
        told.lock().unwrap().push(call.url.clone());
        Ok(ok(&[], if call.url.contains("sts.test") { ASSUMED } else { "{}" }))
    });
    let more = json!({"aws_assume_role_arn": "arn:r", "aws_role_session_name": "s", "aws_sts_endpoint_url": "http://sts.test:81"});
    let config = Config::from_value(&accepted(&PART, config(more))).unwrap();
    let handler = Lambda::new(config, Surroundings::default());
    for _ in 0..2 {
        assert_eq!(rig.access(&handler, &mut request("GET /", &[])).reply().status, 200);
    }
    let urls = seen.lock().unwrap().clone();
    assert_eq!((urls.len(), urls[0].as_str()), (3, "http://sts.test:81/"));
    let call = rig.http.calls.lock().unwrap()[1].clone();
    assert_eq!(who(&call.headers), ("ROLE".into(), Some("RT".into())));
}

#[test]
fn without_region_function_or_keys_the_answer_is_500_and_no_secret_shows() {
    let fault = |config: Value, around: Surroundings| {
        let nobody = |call: OutcallRequest| Err(OutcallError::Connect { peer: call.url, cause: "no".into() });
        ask(config, around, &mut request("GET /", &[]), nobody).0.fault()
    };
    let around = Surroundings::default;
    assert_eq!(fault(json!({"function_name": "f"}), around()).cause, "no region specified");
    let somewhere = Surroundings { region: Some("eu-west-1".into()), ..around() };
    let cause = fault(json!({"function_name": "f"}), somewhere.clone()).cause;
    assert!(cause.contains("the instance metadata service cannot be reached"), "{cause}");
    let cause = fault(json!({"aws_key": "k", "aws_secret": "hush"}), somewhere).cause;
    assert_eq!(cause, "no function specified");
}
