//! What attackers send, through a whole node: it changes nothing, leaks nothing, and costs little.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Request, Upstream};
use serde_json::{Value, json};

use crate::rig::Rig;

/// Of a request that holds a worker up, others on the node must not notice more than this.
const SOON: Duration = Duration::from_secs(5);
/// A public key as everybody may know it: a token signed with it as if it were a shared secret must not pass.
const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\nq9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n-----END PUBLIC KEY-----\n";

struct Gateway {
    rig: Rig,
    upstream: Upstream,
}

impl Gateway {
    fn with(plugins: &Value, rest: &Value) -> Self {
        Self::before(upstream::echo().unwrap(), plugins, rest)
    }

    fn before(upstream: Upstream, plugins: &Value, rest: &Value) -> Self {
        let rig = Rig::before(&[], &upstream, plugins, rest);
        Gateway { rig, upstream }
    }

    fn ask(&self, head: &str) -> Response {
        client::once(self.rig.proxy, format!("{head}\r\nHost: api.test\r\nConnection: close\r\n\r\n")).unwrap()
    }

    fn status_of(&self, header: &str) -> u16 {
        self.ask(&format!("GET / HTTP/1.1\r\n{header}")).status()
    }

    fn seen(&self, head: &str) -> Request {
        drop(self.upstream.requests());
        assert_eq!(self.ask(head).status(), 200, "{head}");
        self.upstream.requests().pop().unwrap()
    }
}

fn consumer(credentials: &str, list: Value) -> Value {
    json!({"consumers": [{"username": "ada", credentials: list}]})
}

#[test]
fn oversized_and_binary_credentials_are_merely_wrong() {
    let long = "x".repeat(6_000);
    let basic = STANDARD.encode(format!("{long}:{long}"));
    let cases = [
        ("key-auth", format!("apikey: {long}")),
        ("key-auth", "apikey: \u{fe}\u{0}".replace('\u{0}', "")),
        ("basic-auth", format!("Authorization: Basic {basic}")),
        ("basic-auth", "Authorization: Basic ////=".to_owned()),
        ("basic-auth", format!("Authorization: Basic {}", STANDARD.encode([0, 255, 58, 254, 0]))),
        ("jwt", format!("Authorization: Bearer {long}.{long}.{long}")),
        ("jwt", "Authorization: Bearer ...".to_owned()),
        ("hmac-auth", format!("Authorization: hmac username=\"{long}\", algorithm=\"hmac-sha256\"")),
        ("hmac-auth", "Authorization: hmac username=\"\",algorithm=\"\",headers=\"\",signature=\"\"".to_owned()),
    ];
    for plugin in ["key-auth", "basic-auth", "jwt", "hmac-auth"] {
        let gateway = Gateway::with(&json!([{"name": plugin}]), &json!({}));
        for (_, header) in cases.iter().filter(|(name, _)| *name == plugin) {
            let status = gateway.status_of(header);
            assert!(matches!(status, 400 | 401), "{plugin}: {status} for {}", &header[..header.len().min(60)]);
        }
        assert!(gateway.upstream.requests().is_empty(), "{plugin}");
    }
}

fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[test]
fn a_token_cannot_choose_how_it_is_checked() {
    let credentials = json!([
        {"key": "public", "algorithm": "ES256", "rsa_public_key": PUBLIC_KEY},
        {"key": "shared", "algorithm": "HS256", "secret": "between-us"},
    ]);
    let gateway = Gateway::with(&json!([{"name": "jwt"}]), &consumer("jwt_secrets", credentials));
    let with = |key: &[u8]| {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        move |data: &[u8]| aws_lc_rs::hmac::sign(&key, data).as_ref().to_vec()
    };
    let bearer = |token: String| gateway.status_of(&format!("Authorization: Bearer {token}"));
    let hs = json!({"alg": "HS256", "typ": "JWT"});
    assert_eq!(bearer(token(&hs, &json!({"iss": "shared"}), with(b"between-us"))), 200);
    // The public key as a shared secret, in each form somebody might have it.
    for key in [PUBLIC_KEY, PUBLIC_KEY.trim_end()] {
        assert_eq!(bearer(token(&hs, &json!({"iss": "public"}), with(key.as_bytes()))), 401);
    }
    for alg in ["none", "None", "NONE", "", "HS256\u{0}", "ES256"] {
        let header = json!({"alg": alg, "typ": "JWT"});
        assert_eq!(bearer(token(&header, &json!({"iss": "shared"}), |_| Vec::new())), 401, "{alg:?}");
        assert_eq!(bearer(token(&header, &json!({"iss": "shared"}), with(b"between-us"))), 401, "{alg:?}");
    }
    // Keys that the token brings along count for nothing.
    let own =
        json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "bWluZQ"}, "jku": "http://127.0.0.1:1/", "kid": "shared"});
    assert_eq!(bearer(token(&own, &json!({"iss": "shared"}), with(b"mine"))), 401);
}

#[test]
fn broken_tokens_are_refused() {
    let credentials = json!([{"key": "k", "secret": "s"}]);
    let gateway = Gateway::with(&json!([{"name": "jwt"}]), &consumer("jwt_secrets", credentials));
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let (head, claims) = (encode(r#"{"alg":"HS256"}"#), encode(r#"{"iss":"k"}"#));
    let deep = encode(&format!("{}{}", "[".repeat(2_000), "]".repeat(2_000)));
    for broken in [
        "a".to_owned(),
        format!("{head}.{claims}"),
        format!("{head}.{claims}."),
        format!("{head}.{claims}.AAAA.AAAA"),
        format!("{head}.{deep}.AAAA"),
        format!("{deep}.{claims}.AAAA"),
        format!("{head}.{}.AAAA", encode("\u{0}")),
        format!("{head}.{}.AAAA", encode(r#"{"iss":["k"]}"#)),
        format!("{}.{claims}.AAAA", encode(r#"{"alg":["HS256"]}"#)),
        format!("{head}.{claims}.!!!!"),
    ] {
        assert_eq!(gateway.status_of(&format!("Authorization: Bearer {broken}")), 401, "{broken}");
    }
}

/// Values with line breaks, in every form in which a client can get them into a value.
const BREAKS: [&str; 4] = ["a%0d%0aX-Evil:%201", "a%0aX-Evil:%201", "a%0dX-Evil:%201", "a%00b%0d%0a%0d%0aGET%20/evil"];

#[test]
fn a_transformed_value_cannot_begin_a_header_towards_the_upstream() {
    for place in ["headers:add", "headers:append", "headers:replace", "host", "querystring", "uri"] {
        let value = "$(query_params.v)";
        let config = match place {
            "headers:add" => json!({"add": {"headers": [format!("x-value:{value}")]}}),
            "headers:append" => json!({"append": {"headers": [format!("x-value:{value}")]}}),
            "headers:replace" => json!({"replace": {"headers": [format!("x-given:{value}")]}}),
            "host" => json!({"replace": {"headers": [format!("host:{value}")]}}),
            "querystring" => json!({"add": {"querystring": [format!("copy:{value}")]}}),
            _ => json!({"replace": {"uri": format!("/{value}")}}),
        };
        let gateway = Gateway::with(&json!([{"name": "request-transformer", "config": config}]), &json!({}));
        for text in BREAKS {
            let seen = gateway.seen(&format!("GET /?v={text} HTTP/1.1\r\nX-Given: g"));
            assert_eq!(seen.header("x-evil"), None, "{place} {text}");
            assert!(!seen.target.contains(['\r', '\n', '\0', ' ']), "{place} {text}: {}", seen.target);
            assert!(seen.headers.0.iter().all(|(_, v)| !v.contains(['\r', '\n', '\0'])), "{place} {text}");
            assert_eq!(seen.method, "GET");
        }
    }
}

#[test]
fn what_a_client_sent_cannot_begin_a_header_of_the_answer() {
    let plugins = json!([
        {"name": "correlation-id", "config": {"header_name": "X-Id", "echo_downstream": true}},
        {"name": "cors", "config": {"origins": ["*"], "credentials": true}},
        {"name": "redirect", "config": {"location": "https://new.test/", "keep_incoming_path": true}},
    ]);
    let gateway = Gateway::with(&plugins, &json!({}));
    // A path with a NUL is refused before any plugin sees it.
    for text in BREAKS.iter().filter(|text| !text.contains("%00")) {
        let head = format!("GET /{text}?q={text} HTTP/1.1\r\nX-Id: {text}\r\nOrigin: http://{text}");
        let answer = gateway.ask(&head);
        assert_eq!((answer.status(), answer.header("x-evil")), (301, None), "{text}");
        assert!(answer.header("location").unwrap().starts_with("https://new.test/a%0"), "{answer:?}");
    }
}

#[test]
fn an_upstream_cannot_begin_a_header_through_a_transformed_body() {
    let upstream = Upstream::serve(|mut connection| {
        while connection.read_request()?.is_some() {
            let headers = [("Content-Type", "application/json"), ("X-Old", "a\tb")];
            connection.answer(200, &headers, "{\"a\":\"\\r\\nX-Evil: 1\"}")?;
        }
        Ok(())
    });
    let config = json!({"rename": {"headers": ["x-old:x-new"], "json": ["a:b"]}});
    let plugins = json!([{"name": "response-transformer", "config": config}]);
    let answer = Gateway::before(upstream.unwrap(), &plugins, &json!({})).ask("GET / HTTP/1.1");
    assert_eq!((answer.header("x-evil"), answer.header("x-new")), (None, Some("a\tb")));
    assert_eq!(answer.json().unwrap(), json!({"b": "\r\nX-Evil: 1"}));
}

#[test]
fn a_pattern_that_takes_forever_holds_nobody_up() {
    // Exponential where patterns backtrack, and not to be had without backtracking because of the look-ahead.
    let plugins = json!([
        {"name": "bot-detection", "config": {"deny": ["^(?=(a+)+$)b", "(x+x+)+y"]}},
        {"name": "cors", "config": {"origins": ["(a+)+$"]}},
    ]);
    let gateway = Gateway::with(&plugins, &json!({}));
    let evil = format!("{}!", "a".repeat(4_000));
    let began = Instant::now();
    let answer = gateway.ask(&format!("GET / HTTP/1.1\r\nUser-Agent: {evil}\r\nOrigin: http://{evil}"));
    assert!(matches!(answer.status(), 200 | 403), "{}", answer.status());
    assert_eq!(gateway.status_of(&format!("User-Agent: {}", "x".repeat(4_000))), 200);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[test]
fn names_of_identity_that_a_client_makes_up_never_reach_the_upstream() {
    for (plugin, credential, header) in [
        ("key-auth", json!({"keyauth_credentials": [{"key": "k"}]}), "apikey: k".to_owned()),
        (
            "basic-auth",
            json!({"basicauth_credentials": [{"username": "u", "password": "p"}]}),
            format!("Authorization: Basic {}", STANDARD.encode("u:p")),
        ),
    ] {
        let mut ada = json!({"username": "ada"});
        for (name, value) in credential.as_object().unwrap() {
            ada[name] = value.clone();
        }
        let gateway = Gateway::with(&json!([{"name": plugin}]), &json!({"consumers": [ada]}));
        let forged = "X-Consumer-Username: root\r\nX-Consumer-ID: 1\r\nX-Consumer-Custom-ID: c\r\n\
            X-Anonymous-Consumer: true\r\nX-Credential-Identifier: i";
        let seen = gateway.seen(&format!("GET / HTTP/1.1\r\n{header}\r\n{forged}"));
        assert_eq!(seen.header("x-consumer-username"), Some("ada"), "{plugin}");
        assert_eq!((seen.header("x-consumer-custom-id"), seen.header("x-anonymous-consumer")), (None, None));
        assert!(seen.header("x-consumer-id").is_some_and(|id| id.len() == 36), "{plugin}");
        assert_ne!(seen.header("x-credential-identifier"), Some("i"), "{plugin}");
    }
}

#[test]
fn refusals_do_not_tell_what_exists() {
    let people =
        json!({"consumers": [{"username": "ada", "basicauth_credentials": [{"username": "u", "password": "p"}]}]});
    let gateway = Gateway::with(&json!([{"name": "basic-auth"}]), &people);
    let text = |pair: &str| {
        let answer = gateway.ask(&format!("GET / HTTP/1.1\r\nAuthorization: Basic {}", STANDARD.encode(pair)));
        let message = answer.json().unwrap()["message"].clone();
        (answer.status(), message, answer.header("www-authenticate").map(str::to_owned))
    };
    assert_eq!(text("u:wrong"), text("nobody:wrong"), "a wrong password and a wrong name look the same");
}
