//! Lua plugins written as public ones are (`tests/lua/kong/plugins`), each through the gateway, with many at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaEncoding, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::{Files, Gateway};
use gibbon_testkit::client::Response;
use gibbon_testkit::upstream;
use serde_json::json;

/// A gateway with one plugin of the folder.
fn gateway(name: &str, config: &str) -> Gateway {
    Gateway::with(Files::new(), &format!(",{name}"), &format!("  - {{name: {name}, config: {config}}}"))
}

/// The same request from several clients at once.
fn crowd(gateway: &Gateway, head: &str, body: &str) -> Vec<Response> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..12).map(|_| scope.spawn(|| gateway.send(head, body))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

fn statuses(answers: &[Response]) -> Vec<u16> {
    answers.iter().map(Response::status).collect()
}

#[test]
fn claims_of_a_token_become_headers() {
    let gateway = gateway("jwt-claims", "{claims: {sub: X-Subject, team: X-Team}}");
    let payload = URL_SAFE_NO_PAD.encode(r#"{"sub":"ann","team":"blue"}"#);
    let head = format!("GET / HTTP/1.1\r\nAuthorization: Bearer e30.{payload}.x");
    assert_eq!(statuses(&crowd(&gateway, &head, "")), [200; 12]);
    for request in gateway.upstream.requests() {
        assert_eq!((request.header("x-subject"), request.header("x-team")), (Some("ann"), Some("blue")));
    }
    assert_eq!(gateway.get("/").status(), 401);
}

#[test]
fn only_listed_paths_pass() {
    let gateway = gateway("path-allow", "{allow: ['^/open/', '^/$']}");
    assert_eq!(statuses(&crowd(&gateway, "GET /open/x HTTP/1.1", "")), [200; 12]);
    let refused = gateway.get("/closed");
    assert_eq!((refused.status(), refused.header("x-path")), (403, Some("/closed")));
}

#[test]
fn a_firewall_reads_query_agent_and_body() {
    let gateway =
        gateway("firewall", "{rules: [{name: sql, pattern: 'union\\s+select'}, {name: scanner, pattern: '^nikto'}]}");
    assert_eq!(gateway.get("/?q=ok").status(), 200);
    assert_eq!(gateway.get("/?q=1%20UNION%20SELECT%201").status(), 403);
    assert_eq!(gateway.send("GET / HTTP/1.1\r\nUser-Agent: Nikto/2", "").status(), 403);
    let body = "x=1 union   select 2";
    let head = format!("POST / HTTP/1.1\r\nContent-Length: {}", body.len());
    let answers = crowd(&gateway, &head, body);
    assert_eq!(statuses(&answers), [403; 12]);
    assert_eq!(answers[0].json().unwrap()["message"], "refused by rule sql");
}

#[test]
fn a_circuit_opens_after_failures_and_is_one_for_all_workers() {
    let upstream = upstream::raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").unwrap();
    let plugins = "  - {name: circuit-breaker, config: {failures: 3}}";
    let gateway =
        Gateway::before(upstream, Files::new(), ",circuit-breaker", plugins, &[("nginx_worker_processes", "4")]);
    let end = Instant::now() + Duration::from_secs(20);
    while gateway.get("/").status() != 503 {
        assert!(Instant::now() < end, "the circuit never opened");
    }
    assert_eq!(statuses(&crowd(&gateway, "GET / HTTP/1.1", "")), [503; 12]);
}

#[test]
fn a_relying_party_asks_the_provider_and_remembers() {
    let provider = upstream::raw(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{\"active\":true,\"sub\":\"ann\"}",
    )
    .unwrap();
    let config = format!("{{endpoint: 'http://{}/introspect', client_id: me, client_secret: shh}}", provider.address());
    let gateway = gateway("introspect", &config);
    assert_eq!(gateway.get("/").header("www-authenticate"), Some("Bearer"));
    let head = "GET / HTTP/1.1\r\nAuthorization: Bearer tok";
    assert_eq!(statuses(&crowd(&gateway, head, "")), [200; 12]);
    assert!(gateway.upstream.requests().iter().all(|request| request.header("x-user") == Some("ann")));
    let _before = provider.requests();
    assert_eq!(statuses(&crowd(&gateway, head, "")), [200; 12]);
    let again = provider.requests().len();
    assert!(again <= 2, "each of two workers may have to ask once more, not {again} times");
}

/// A token with these claims, signed by `sign`.
fn token(algorithm: &str, kid: &str, claims: &serde_json::Value, sign: &dyn Fn(&[u8]) -> Vec<u8>) -> String {
    let header = json!({"alg": algorithm, "kid": kid, "typ": "JWT"});
    let signed = [header.to_string(), claims.to_string()].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[test]
fn a_relying_party_checks_signatures_by_the_keys_of_the_provider() {
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ec = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (n, e) = (rsa.public_key().modulus(), rsa.public_key().exponent());
    let (x, y) = ec.public_key().as_ref()[1..].split_at(32);
    let keys = json!({"keys": [
        {"kid": "rsa", "kty": "RSA", "n": text(n.big_endian_without_leading_zero()),
            "e": text(e.big_endian_without_leading_zero())},
        {"kid": "ec", "kty": "EC", "crv": "P-256", "x": text(x), "y": text(y)},
        {"kid": "ed", "kty": "OKP", "crv": "Ed25519", "x": text(ed.public_key().as_ref())},
    ]})
    .to_string();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", keys.len());
    let provider = upstream::raw(head + &keys).unwrap();
    let config = format!("{{jwks_uri: 'http://{}/jwks', issuer: 'https://id.test'}}", provider.address());
    let gateway = gateway("relying-party", &config);
    let by_rsa = |encoding: &'static dyn RsaEncoding, message: &[u8]| {
        let mut out = vec![0; rsa.public_modulus_len()];
        rsa.sign(encoding, &random, message, &mut out).unwrap();
        out
    };
    let claims = json!({"iss": "https://id.test", "sub": "ann", "exp": 4_000_000_000_u64});
    let good = [
        token("RS256", "rsa", &claims, &|m| by_rsa(&signature::RSA_PKCS1_SHA256, m)),
        token("PS256", "rsa", &claims, &|m| by_rsa(&signature::RSA_PSS_SHA256, m)),
        token("ES256", "ec", &claims, &|m| ec.sign(&random, m).unwrap().as_ref().to_vec()),
        token("EdDSA", "ed", &claims, &|m| ed.sign(m).as_ref().to_vec()),
    ];
    for token in &good {
        let head = format!("GET / HTTP/1.1\r\nAuthorization: Bearer {token}");
        let answers = crowd(&gateway, &head, "");
        assert_eq!(statuses(&answers), [200; 12], "{}", answers[0].text());
        assert!(gateway.upstream.requests().iter().all(|request| request.header("x-subject") == Some("ann")));
    }
    let changed = |token: &str| {
        let parts: Vec<&str> = token.split('.').collect();
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"https://id.test","sub":"root","exp":4000000000}"#);
        format!("{}.{claims}.{}", parts[0], parts[2])
    };
    let expired = json!({"iss": "https://id.test", "sub": "ann", "exp": 1});
    let foreign = json!({"iss": "https://other.test", "sub": "ann", "exp": 4_000_000_000_u64});
    let bad = [
        (changed(&good[0]), "bad signature"),
        (changed(&good[1]), "bad signature"),
        (changed(&good[2]), "bad signature"),
        (changed(&good[3]), "bad signature"),
        (token("RS256", "rsa", &expired, &|m| by_rsa(&signature::RSA_PKCS1_SHA256, m)), "token expired"),
        (token("RS256", "rsa", &foreign, &|m| by_rsa(&signature::RSA_PKCS1_SHA256, m)), "wrong issuer"),
        (token("RS256", "none", &claims, &|m| by_rsa(&signature::RSA_PKCS1_SHA256, m)), "unknown key"),
        (token("none", "rsa", &claims, &|_| vec![1]), "algorithm not allowed"),
        // A key of one kind is of no use to the algorithm of another.
        (token("ES256", "rsa", &claims, &|m| ec.sign(&random, m).unwrap().as_ref().to_vec()), "bad signature"),
    ];
    for (token, wrong) in bad {
        let answer = gateway.send(&format!("GET / HTTP/1.1\r\nAuthorization: Bearer {token}"), "");
        assert_eq!((answer.status(), &answer.json().unwrap()["message"]), (401, &json!(wrong)), "{token}");
    }
}

#[test]
fn an_answer_is_kept_whole() {
    let gateway = gateway("response-cache", "{}");
    let first = gateway.get("/a?b");
    assert_eq!((first.status(), first.header("x-cache")), (200, Some("miss")));
    let answers = crowd(&gateway, "GET /a?b HTTP/1.1", "");
    assert!(answers.iter().all(|answer| answer.header("x-cache") == Some("hit") && answer.text() == first.text()));
    assert_eq!(gateway.upstream.requests().len(), 1);
}

#[test]
fn a_header_chooses_the_upstream() {
    let other = upstream::echo().unwrap();
    let (host, port) = (other.address().ip(), other.address().port());
    let gateway = gateway("header-target", &format!("{{targets: {{b: {{host: '{host}', port: {port}}}}}}}"));
    assert_eq!(statuses(&crowd(&gateway, "GET / HTTP/1.1\r\nX-Target: b", "")), [200; 12]);
    assert_eq!((other.requests().len(), gateway.upstream.requests().len()), (12, 0));
    gateway.get("/");
    assert_eq!(gateway.upstream.requests().len(), 1);
}

/// A server that answers `GET key:good` with `ann` and everything else with nil, in Redis' protocol.
fn redis() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut stream = stream;
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
                    let count: usize = line.trim().trim_start_matches('*').parse().unwrap();
                    let mut words = Vec::new();
                    for _ in 0..count {
                        line.clear();
                        reader.read_line(&mut line).unwrap();
                        let size: usize = line.trim().trim_start_matches('$').parse().unwrap();
                        let mut word = vec![0; size + 2];
                        reader.read_exact(&mut word).unwrap();
                        words.push(String::from_utf8_lossy(&word[..size]).into_owned());
                    }
                    let answer = if words == ["get", "key:good"] { "$3\r\nann\r\n" } else { "$-1\r\n" };
                    stream.write_all(answer.as_bytes()).unwrap();
                    line.clear();
                }
            });
        }
    });
    address
}

#[test]
fn a_key_is_looked_up_in_redis() {
    let address = redis();
    let gateway = gateway("redis-key", &format!("{{host: {}, port: {}}}", address.ip(), address.port()));
    assert_eq!(gateway.get("/").status(), 401);
    assert_eq!(gateway.send("GET / HTTP/1.1\r\nX-Api-Key: bad", "").status(), 401);
    assert_eq!(statuses(&crowd(&gateway, "GET / HTTP/1.1\r\nX-Api-Key: good", "")), [200; 12]);
    let seen = gateway.upstream.requests();
    assert!(seen.iter().all(|r| r.header("x-user") == Some("ann") && r.header("x-api-key").is_none()));
}

#[test]
fn log_entries_are_shipped_in_batches() {
    let sink = upstream::echo().unwrap();
    let gateway = gateway("log-shipper", &format!("{{url: 'http://{}/logs', batch: 5}}", sink.address()));
    assert_eq!(statuses(&crowd(&gateway, "GET /a HTTP/1.1", "")), [200; 12]);
    let end = Instant::now() + Duration::from_secs(30);
    let mut batches: Vec<Vec<serde_json::Value>> = Vec::new();
    while batches.iter().map(Vec::len).sum::<usize>() < 12 {
        assert!(Instant::now() < end, "only {batches:?} arrived");
        batches.extend(sink.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()));
        // Asking the gateway for something paces the loop.
        gateway.get("/pace");
    }
    assert!(batches.iter().all(|batch| batch.len() <= 5));
    assert_eq!((&batches[0][0]["path"], &batches[0][0]["status"]), (&json!("/a"), &json!(200)));
}

#[test]
fn requests_are_signed() {
    let gateway = gateway("request-signer", "{secret: key}");
    let answers = crowd(&gateway, "POST /x HTTP/1.1\r\nContent-Length: 4", "body");
    assert_eq!(statuses(&answers), [200; 12]);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"key");
    let wanted =
        base64::engine::general_purpose::STANDARD.encode(aws_lc_rs::hmac::sign(&key, b"POST\n/x\nbody").as_ref());
    for request in gateway.upstream.requests() {
        assert_eq!((request.header("x-signature"), &request.body[..]), (Some(wanted.as_str()), &b"body"[..]));
    }
}

#[test]
fn every_feature_of_a_schema_works() {
    let gateway = gateway("everything", "{old_inner: moved, even: 4, first: x}");
    assert_eq!(
        gateway.get("/").json().unwrap(),
        json!({"text": "abc", "number": 1.5, "whole": 2, "flag": true, "choice": "red", "list": ["x"], "set": ["a"],
            "map": {"one": 1}, "record": {"inner": "moved"}, "address": "h.test", "even": 4, "first": "x"})
    );
    for (config, wrong) in [
        ("{text: ABC}", "invalid value: ABC"),
        ("{text: a}", "length must be at least 2"),
        ("{number: 0}", "value must be greater than 0"),
        ("{whole: 6}", "value should be between 1 and 5"),
        ("{choice: blue}", "expected one of: red, green"),
        ("{set: [z]}", "expected one of: a, b, c"),
        ("{address: 'a b'}", "invalid value: a b"),
        ("{even: 3}", "must be even"),
        ("{first: a, second: b}", "only one or none of these fields must be set: 'first', 'second'"),
        ("{whole: 1, number: 3}", "number must not be above whole"),
        ("{unknown: 1}", "unknown field"),
    ] {
        let text = format!("_format_version: '3.0'\nplugins:\n- {{name: everything, config: {config}}}");
        let error = format!("{:#}", gateway.rig.running().declarative.replace(text.as_bytes()).unwrap_err());
        assert!(error.contains(wrong), "{config}: {error}");
    }
}
