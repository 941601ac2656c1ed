//! Values that somebody else chose and that end up in heads: of functions, tokens, cookies and certificates' owners. None
//! begins a header, and none is believed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gibbon_testkit::client::{self, Response};
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::servers;
use gibbon_testkit::upstream::{self, Upstream};
use serde_json::{Value, json};

use crate::rig::Rig;

fn ask(rig: &Rig, line: &str, headers: &str, body: &str) -> Response {
    let length = body.len();
    let head =
        format!("{line} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}");
    client::once(rig.proxy, format!("{head}\r\n{body}")).unwrap()
}

/// A server that answers everything with this head and body.
fn stub(headers: &'static [(&'static str, &'static str)], body: String) -> Upstream {
    let serve = move |mut connection: upstream::Connection| {
        while connection.read_request()?.is_some() {
            connection.answer(200, headers, body.clone())?;
        }
        Ok(())
    };
    Upstream::serve(serve).unwrap()
}

#[test]
fn a_function_cannot_begin_a_header_of_the_answer() {
    let said = json!({
        "statusCode": 200,
        "headers": {"X-Fine": "yes", "X-Broken": "a\r\nX-Evil: 1", "X Bad": "b", "X-Evil\r\nX-Worse": "c", "": "d",
            "Content-Length": "1", "Transfer-Encoding": "chunked", "Connection": "X-Fine-Too", "X-Fine-Too": "e"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2\r\nX-Evil: 2"], "X-Nul": ["a\u{0}b"]},
        "body": "hello",
    });
    let lambda = stub(&[("Content-Type", "application/json")], said.to_string());
    let config = json!({"aws_key": "k", "aws_secret": "s", "aws_region": "eu-west-1", "function_name": "f",
        "host": "127.0.0.1", "port": lambda.address().port(), "disable_https": true, "is_proxy_integration": true});
    let rig = Rig::before(&[], &lambda, &json!([{"name": "aws-lambda", "config": config}]), &json!({}));
    let answer = ask(&rig, "GET /", "", "");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "hello"));
    assert_eq!((answer.header("x-evil"), answer.header("x-worse"), answer.header("x-fine")), (None, None, Some("yes")));
    assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), (Some("5"), None));
}

#[test]
fn a_functions_answer_that_is_none_is_a_bad_gateway() {
    for broken in [
        "",
        "null",
        "[]",
        "{",
        r#"{"statusCode":99}"#,
        r#"{"statusCode":200,"body":1}"#,
        r#"{"statusCode":200,"headers":"x"}"#,
        r#"{"statusCode":200,"isBase64Encoded":1}"#,
    ] {
        let lambda = stub(&[("Content-Type", "application/json")], broken.to_owned());
        let config = json!({"aws_key": "k", "aws_secret": "s", "aws_region": "eu-west-1", "function_name": "f",
            "host": "127.0.0.1", "port": lambda.address().port(), "disable_https": true, "is_proxy_integration": true});
        let rig = Rig::before(&[], &lambda, &json!([{"name": "aws-lambda", "config": config}]), &json!({}));
        let answer = ask(&rig, "GET /", "", "");
        let message = answer.json().unwrap();
        assert_eq!((answer.status(), &message["message"]), (502, &json!("Bad Gateway")), "{broken}");
        let error = message["error"].as_str().unwrap();
        assert!(error.starts_with("could not JSON decode Lambda function response: "), "{broken}: {error}");
    }
}

/// Calls the Admin API of a node.
fn admin(at: std::net::SocketAddr, line: &str, body: &Value) -> Value {
    let body = body.to_string();
    let head = format!("{line} HTTP/1.1\r\nHost: node\r\nConnection: close\r\nContent-Type: application/json");
    let answer = client::once(at, format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).unwrap();
    assert!(answer.status() < 300, "{line}: {} {}", answer.status(), answer.text());
    answer.json().unwrap_or_default()
}

#[test]
fn an_end_users_name_cannot_begin_a_header_and_broken_tokens_are_refused() {
    let (at, upstream) = (free_tcp_address().unwrap(), upstream::echo().unwrap());
    let rig = Rig::bare(&[
        ("database", "sqlite".to_owned()),
        ("admin_listen", at.to_string()),
        ("trusted_ips", "127.0.0.1".to_owned()),
    ]);
    admin(at, "POST /services", &json!({"name": "s", "url": format!("http://{}", upstream.address())}));
    admin(at, "POST /services/s/routes", &json!({"name": "r", "paths": ["/"]}));
    admin(at, "POST /consumers", &json!({"username": "ada"}));
    let client =
        json!({"name": "app", "client_id": "cid", "client_secret": "csec", "redirect_uris": ["http://app.test/cb"]});
    admin(at, "POST /consumers/ada/oauth2", &client);
    let settings = json!({"enable_password_grant": true, "enable_authorization_code": true, "provision_key": "prov",
        "accept_http_if_already_terminated": true});
    admin(at, "POST /services/s/plugins", &json!({"name": "oauth2", "config": settings}));
    let post = |path: &str, body: Value| {
        ask(
            &rig,
            &format!("POST /oauth2/{path}"),
            "X-Forwarded-Proto: https\r\nContent-Type: application/json\r\n",
            &body.to_string(),
        )
    };
    let grant = |more: Value| {
        let mut body = json!({"client_id": "cid", "client_secret": "csec", "grant_type": "password",
            "provision_key": "prov", "authenticated_userid": "u"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        post("token", body)
    };
    let token = grant(json!({"authenticated_userid": "u\r\nX-Evil: 1"})).json().unwrap()["access_token"].clone();
    drop(upstream.requests());
    let used = ask(&rig, "GET /", &format!("Authorization: Bearer {}\r\n", token.as_str().unwrap()), "");
    let seen = upstream.next_request().unwrap();
    assert_eq!((used.status(), seen.header("x-evil")), (200, None));
    assert!(seen.headers.0.iter().all(|(_, value)| !value.contains(['\r', '\n'])), "{:?}", seen.headers);

    // Secrets of other types, other lengths, and none.
    for wrong in [
        json!({"client_secret": ["csec"]}),
        json!({"client_secret": null}),
        json!({"client_secret": true}),
        json!({"client_secret": "csecx"}),
        json!({"client_secret": "cse"}),
        json!({"client_secret": "x".repeat(100_000)}),
        json!({"client_id": {"id": "cid"}}),
        json!({"provision_key": ["prov"]}),
        json!({"provision_key": "pro"}),
        json!({"grant_type": ["password"]}),
        json!({"authenticated_userid": {}}),
    ] {
        let answer = grant(wrong.clone());
        assert_eq!(answer.status(), 400, "{wrong}: {}", answer.text());
        assert!(!answer.text().contains("csec") && !answer.text().contains("prov\""), "{}", answer.text());
    }
    // A state with line breaks stays inside its URL.
    let ask_for_code = json!({"response_type": "code", "provision_key": "prov", "authenticated_userid": "u",
        "client_id": "cid", "state": "a\r\nb&code=mine#"});
    let uri = post("authorize", ask_for_code).json().unwrap()["redirect_uri"].as_str().unwrap().to_owned();
    assert!(uri.ends_with("&state=a%0D%0Ab%26code%3Dmine%23"), "{uri}");
    for broken in ["x".repeat(6_000), "'; DROP TABLE oauth2_tokens; --".to_owned(), "%00".to_owned(), "é".to_owned()] {
        let answer = ask(&rig, "GET /", &format!("Authorization: Bearer {broken}\r\n"), "");
        assert_eq!(answer.status(), 401, "{broken}");
    }
}

#[test]
fn a_cookie_that_was_changed_is_no_session() {
    let upstream = upstream::echo().unwrap();
    let plugins = json!([
        {"name": "session", "config": {"secret": "fixed-secret"}},
        {"name": "key-auth", "config": {"anonymous": "nobody"}},
    ]);
    let people =
        json!({"consumers": [{"username": "nobody"}, {"username": "ada", "keyauth_credentials": [{"key": "k"}]}]});
    let rig = Rig::before(&[], &upstream, &plugins, &people);
    let set = ask(&rig, "GET /", "apikey: k\r\n", "").header("set-cookie").unwrap().to_owned();
    let cookie = set.split(';').next().unwrap().to_owned();
    let who = |cookie: &str| {
        drop(upstream.requests());
        assert_eq!(ask(&rig, "GET /", &format!("Cookie: {cookie}\r\n"), "").status(), 200);
        upstream.next_request().unwrap().header("x-consumer-username").unwrap().to_owned()
    };
    assert_eq!(who(&cookie), "ada");
    // Every byte counts, whichever part of the envelope it is in; so does the length.
    let value = cookie.strip_prefix("session=").unwrap();
    for at in (0..value.len()).step_by(7) {
        let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
        let changed = format!("session={}{other}{}", &value[..at], &value[at + 1..]);
        assert_eq!(who(&changed), "nobody", "{at}");
    }
    for broken in [
        "session=".to_owned(),
        format!("session={}", &value[..value.len() - 1]),
        format!("session={}", &value[..110]),
        format!("session={value}AAAA"),
        format!("session={}", "A".repeat(6_000)),
        "session=%00%0d%0a".to_owned(),
    ] {
        assert_eq!(who(&broken), "nobody", "{broken}");
    }
    // Somebody else's secret makes cookies of the same form.
    let mine = json!([
        {"name": "session", "config": {"secret": "mine"}}, {"name": "key-auth", "config": {"anonymous": "nobody"}},
    ]);
    let other = Rig::before(&[], &upstream, &mine, &people);
    let forged = ask(&other, "GET /", "apikey: k\r\n", "").header("set-cookie").unwrap().to_owned();
    assert_eq!(who(forged.split(';').next().unwrap()), "nobody");
}

#[test]
fn a_name_for_a_directory_names_nobody_else() {
    let people = "dn: cn=bob,dc=test\nobjectClass: person\ncn: bob\nsn: b\nuserPassword: p\n";
    let (server, _) = servers::slapd(people, None).unwrap();
    let upstream = upstream::echo().unwrap();
    let config = json!({"ldap_host": "127.0.0.1", "ldap_port": server.address().port(), "base_dn": "dc=test", "attribute": "cn"});
    let rig = Rig::before(&[], &upstream, &json!([{"name": "ldap-auth", "config": config}]), &json!({}));
    let status =
        |pair: &[u8]| ask(&rig, "GET /", &format!("Authorization: ldap {}\r\n", STANDARD.encode(pair)), "").status();
    assert_eq!(status(b"bob:p"), 200);
    let long = format!("{}:{}", "x".repeat(2_000), "y".repeat(2_000));
    for hostile in [
        &b"bob,dc=test:p"[..],
        b"bob+sn=b:p",
        b"bob\\:p",
        b"*:p",
        b"bob)(cn=*:p",
        b"bob\0:p",
        b"bob#:p",
        b"\xff\xfe:p",
        b"admin,dc=test:admin",
        b":p",
        b"bob:",
        long.as_bytes(),
    ] {
        assert_eq!(status(hostile), 401, "{}", String::from_utf8_lossy(hostile));
    }
}

#[test]
fn what_a_grpc_service_says_in_trailers_cannot_become_lines_of_the_last_frame() {
    // Trailers that arrive in the head: the only ones that a server in HTTP/1.1 can send at once.
    let service = stub(
        &[("Content-Type", "application/grpc"), ("grpc-status", "5"), ("grpc-message", "no\tsuch")],
        String::new(),
    );
    let rig = Rig::before(&[], &service, &json!([{"name": "grpc-web"}]), &json!({}));
    let answer = ask(&rig, "POST /a.B/C", "Content-Type: application/grpc-web-text\r\n", &STANDARD.encode([0; 5]));
    let frame = STANDARD.decode(answer.text()).unwrap();
    let text = String::from_utf8_lossy(&frame[5..]).into_owned();
    assert_eq!((frame[0], text.as_str()), (0x80, "grpc-status:5\r\ngrpc-message:no\tsuch\r\n"));
    for broken in ["!!!", "AAAA=AAAA"] {
        let answer = ask(&rig, "POST /a.B/C", "Content-Type: application/grpc-web-text\r\n", broken);
        assert_eq!(answer.status(), 400, "{broken}");
    }
}

#[test]
fn webhooks_are_taken_from_who_knows_the_secret() {
    let upstream = upstream::echo().unwrap();
    let rig = Rig::before(
        &[],
        &upstream,
        &json!([{"name": "standard-webhooks", "config": {"secret_v1": "hush"}}]),
        &json!({}),
    );
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let sign = |key: &str, text: &str| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
        aws_lc_rs::hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
    };
    let status = |signature: &str, time: u64, body: &str| {
        let headers = format!("webhook-id: m1\r\nwebhook-timestamp: {time}\r\nwebhook-signature: {signature}\r\n");
        ask(&rig, "POST /", &headers, body).status()
    };
    let right = format!("v1,{}", STANDARD.encode(sign("hush", &format!("m1.{now}.hello"))));
    assert_eq!(status(&right, now, "hello"), 200);
    let raw = sign("hush", &format!("m1.{now}.hello"));
    for wrong in [
        format!("v1,{}", STANDARD.encode(sign("guess", &format!("m1.{now}.hello")))),
        format!("v1,{}", URL_SAFE_NO_PAD.encode(&raw)),
        format!("v1,{}", STANDARD.encode(&raw[..16])),
        format!("v2,{}", STANDARD.encode(&raw)),
        "v1,".to_owned(),
        "v1".to_owned(),
        format!("v1,{}", "A".repeat(6_000)),
    ] {
        assert_eq!(status(&wrong, now, "hello"), 400, "{wrong}");
    }
    assert_eq!([status(&right, now, "hullo"), status(&right, now, ""), status(&right, now - 301, "hello")], [400; 3]);
}
