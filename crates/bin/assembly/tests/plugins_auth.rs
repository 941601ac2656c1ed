//! Authentication, end to end: a node with four workers, real clients, upstreams and directories over TCP.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gibbon_testkit::client::{self, Response};
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::servers;
use gibbon_testkit::upstream::{self, Request, Upstream};
use serde_json::{Value, json};

use rig::Rig;

/// A node in front of an upstream that echoes.
struct Gateway {
    rig: Rig,
    admin: Option<SocketAddr>,
    upstream: Upstream,
}

impl Gateway {
    /// `UP` in the configuration is the upstream's address.
    fn with(config: &str) -> Gateway {
        Self::with_settings(&[], config)
    }

    fn with_settings(settings: &[(&str, String)], config: &str) -> Gateway {
        let mut all = vec![("nginx_worker_processes", "4".to_owned())];
        all.extend_from_slice(settings);
        let gateway = Gateway { rig: Rig::bare(&all), admin: None, upstream: upstream::echo().unwrap() };
        gateway.configure(config);
        gateway
    }

    /// With a datastore, configured through its Admin API.
    fn with_datastore() -> Gateway {
        let admin = free_tcp_address().unwrap();
        let settings = [
            ("nginx_worker_processes", "4".to_owned()),
            ("database", "sqlite".to_owned()),
            ("admin_listen", admin.to_string()),
            ("trusted_ips", "127.0.0.1".to_owned()),
        ];
        let gateway = Gateway { rig: Rig::bare(&settings), admin: Some(admin), upstream: upstream::echo().unwrap() };
        let url = format!("http://{}", gateway.upstream.address());
        gateway.admin("POST /services", json!({"name": "s", "url": url}));
        gateway.admin("POST /services/s/routes", json!({"name": "r", "paths": ["/"]}));
        gateway.admin("POST /consumers", json!({"username": "alice"}));
        gateway
    }

    /// A call of the Admin API that must go well.
    fn admin(&self, line: &str, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nHost: admin\r\nContent-Type: application/json\r\nContent-Length: {length}");
        let answer = client::once(self.admin.unwrap(), format!("{head}\r\n\r\n{body}")).unwrap();
        assert!(answer.status() < 300, "{line}: {} {}", answer.status(), answer.text());
        answer.json().unwrap_or_default()
    }

    fn configure(&self, config: &str) {
        self.rig
            .load(&format!("_format_version: '3.0'\n{}", config.replace("UP", &self.upstream.address().to_string())));
    }

    /// A request on a connection of its own: first line without version, then header lines, an empty line and a body.
    fn ask(&self, text: &str) -> Response {
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut lines = head.lines();
        let mut request = format!("{} HTTP/1.1\r\nHost: api.test\r\n", lines.next().unwrap());
        for line in lines {
            request += &format!("{line}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += &format!("\r\n{body}");
        client::once(self.rig.proxy, request).unwrap()
    }

    /// Asks, expects 200, and gives what the upstream saw.
    fn passes(&self, text: &str) -> Request {
        drop(self.upstream.requests());
        let answer = self.ask(text);
        assert_eq!(answer.status(), 200, "{text}\n{}", answer.text());
        self.upstream.requests().pop().unwrap_or_else(|| panic!("not passed on: {text}"))
    }

    /// Asks, and expects an answer of the gateway: status, message and challenge in one line.
    fn refuses(&self, text: &str) -> String {
        drop(self.upstream.requests());
        let answer = self.ask(text);
        assert!(self.upstream.requests().is_empty(), "the upstream was reached: {text}");
        let message = answer.json().ok().and_then(|j| j["message"].as_str().map(str::to_owned)).unwrap_or_default();
        let challenge = answer.header("www-authenticate").map(|c| format!(" [{c}]")).unwrap_or_default();
        format!("{} {message}{challenge}", answer.status())
    }
}

/// One service for all paths with these plugins and consumers, as YAML in one line each.
fn config(plugins: &str, consumers: &str) -> String {
    format!(
        "services:\n- name: s\n  url: http://UP\n  routes: [{{name: r, paths: [/]}}]\nplugins: {plugins}\nconsumers: {consumers}\n"
    )
}

fn key_auth(key: &str) -> String {
    let key = format!("{{key: {key}, id: 11111111-1111-4111-8111-111111111111}}");
    config("[{name: key-auth}]", &format!("[{{username: alice, custom_id: al-1, keyauth_credentials: [{key}]}}]"))
}

#[test]
fn key_auth_answers_as_recorded() {
    let gateway = Gateway::with(&key_auth("k-alice"));
    assert_eq!(gateway.refuses("GET /"), "401 No API key found in request [Key]");
    assert_eq!(gateway.refuses("GET /\napikey: wrong"), "401 Unauthorized [Key]");
    assert_eq!(gateway.refuses("GET /?apikey=k-alice&apikey=x"), "401 Duplicate API key found [Key]");
    let html = gateway.ask("GET /\nAccept: text/html");
    assert!(html.text().contains("<p>No API key found in request.</p>"), "{}", html.text());

    let seen = gateway.passes("GET /\napikey: k-alice\nX-Consumer-Username: forged\nX-Anonymous-Consumer: true");
    assert_eq!(seen.header("x-consumer-username"), Some("alice"));
    assert_eq!(seen.header("x-consumer-custom-id"), Some("al-1"));
    assert_eq!(seen.header("x-credential-identifier"), Some("11111111-1111-4111-8111-111111111111"));
    assert_eq!(seen.header("x-anonymous-consumer"), None);
    assert_eq!(gateway.passes("GET /?apikey=k-alice&x=1").target, "/?apikey=k-alice&x=1");
}

#[test]
fn a_key_is_hidden_in_query_and_body() {
    let plugins = "[{name: key-auth, config: {hide_credentials: true, key_in_body: true}}]";
    let gateway = Gateway::with(&config(plugins, "[{username: alice, keyauth_credentials: [{key: k}]}]"));
    assert_eq!(gateway.passes("GET /?apikey=k&x=1").target, "/?x=1");
    assert_eq!(gateway.passes("GET /?apikey=k").target, "/");
    let seen = gateway.passes("POST /\nContent-Type: application/x-www-form-urlencoded\n\na=1&apikey=k&b=2");
    assert_eq!((seen.body.as_slice(), seen.header("content-length")), (&b"a=1&b=2"[..], Some("7")));
}

#[test]
fn a_revoked_key_is_refused_by_every_worker_from_the_next_request() {
    let gateway = Gateway::with(&key_auth("k-alice"));
    for _ in 0..16 {
        gateway.passes("GET /\napikey: k-alice");
    }
    gateway.configure(&key_auth("k-new"));
    for _ in 0..16 {
        assert_eq!(gateway.refuses("GET /\napikey: k-alice"), "401 Unauthorized [Key]");
    }
    gateway.passes("GET /\napikey: k-new");
}

#[test]
fn basic_auth_compares_with_the_stored_hash() {
    let consumers = "[{username: bob, basicauth_credentials: [{username: bob, password: 'pa:ss'}]}]";
    let gateway = Gateway::with(&config("[{name: basic-auth}]", consumers));
    let seen = gateway.passes("GET /\nAuthorization: Basic Ym9iOnBhOnNz");
    assert_eq!(
        (seen.header("x-consumer-username"), seen.header("x-credential-identifier")),
        (Some("bob"), Some("bob"))
    );
    for header in ["Authorization: Basic Ym9iOndyb25n", "Authorization: Basic !!!", "X-None: 1"] {
        assert_eq!(gateway.refuses(&format!("GET /\n{header}")), "401 Unauthorized [Basic realm=\"service\"]");
    }
}

#[test]
fn who_guesses_passwords_is_locked_out_on_every_worker() {
    let consumers = "[{username: bob, basicauth_credentials: [{username: bob, password: 'pa:ss'}]}]";
    let redis = servers::redis().unwrap();
    let shared = format!("redis, redis: {{host: 127.0.0.1, port: {}}}", redis.address().port());
    for strategy in ["memory", &shared] {
        let settings = format!("{{brute_force_protection: {{strategy: {strategy}}}}}");
        let gateway = Gateway::with(&config(&format!("[{{name: basic-auth, config: {settings}}}]"), consumers));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if now % 60 > 50 {
            std::thread::sleep(Duration::from_secs(60 - now % 60)); // failures are counted by the minute
        }
        gateway.passes("GET /\nAuthorization: Basic Ym9iOnBhOnNz");
        let guess = || gateway.refuses("GET /\nAuthorization: Basic Ym9iOndyb25n");
        let answers: Vec<String> = std::thread::scope(|s| {
            let guesses: Vec<_> = (0..20).map(|_| s.spawn(guess)).collect();
            guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
        });
        let looked_at = answers.iter().filter(|answer| answer.starts_with("401 ")).count();
        let locked_out = answers.iter().filter(|answer| *answer == "429 Too many failed logins").count();
        assert_eq!((looked_at, locked_out), (3, 17), "{strategy}: {answers:?}");
        let bob = gateway.ask("GET /\nAuthorization: Basic Ym9iOnBhOnNz");
        assert_eq!(bob.status(), 429, "{strategy}: the right password is not looked at either");
        assert!(bob.header("retry-after").unwrap().parse::<u32>().unwrap() <= 60);
    }
}

#[test]
fn acl_lets_groups_in_that_key_auth_knows() {
    let consumers = "[{username: au, keyauth_credentials: [{key: gold}], acls: [{group: gold}, {group: zeta}]}, {username: nobody, keyauth_credentials: [{key: none}]}]";
    let gateway = Gateway::with(&config("[{name: key-auth}, {name: acl, config: {allow: [gold]}}]", consumers));
    let seen = gateway.passes("GET /\napikey: gold\nX-Consumer-Groups: forged");
    assert_eq!(seen.header("x-consumer-groups"), Some("gold, zeta"));
    assert_eq!(gateway.refuses("GET /\napikey: none"), "403 You cannot consume this service");
    assert_eq!(gateway.refuses("GET /"), "401 No API key found in request [Key]");
}

#[test]
fn several_plugins_are_alternatives_with_an_anonymous_consumer() {
    let plugins = "[{name: key-auth, config: {anonymous: anon}}, {name: basic-auth, config: {anonymous: anon}}]";
    let consumers = "[{username: anon}, {username: alice, keyauth_credentials: [{key: k}]}, {username: bob, basicauth_credentials: [{username: bob, password: 'pa:ss'}]}]";
    let gateway = Gateway::with(&config(plugins, consumers));
    let who =
        |headers: &str| gateway.passes(&format!("GET /{headers}")).header("x-consumer-username").unwrap().to_owned();
    assert_eq!(who("\napikey: k"), "alice");
    assert_eq!(who("\nAuthorization: Basic Ym9iOnBhOnNz"), "bob");
    assert_eq!(who("\napikey: k\nAuthorization: Basic Ym9iOnBhOnNz"), "alice");
    assert_eq!(who(""), "anon");
    assert_eq!(gateway.passes("GET /").header("x-anonymous-consumer"), Some("true"));
}

#[test]
fn jwt_takes_signed_tokens_only() {
    let consumers = "[{username: jo, jwt_secrets: [{key: k, secret: s3cret}]}]";
    let gateway = Gateway::with(&config("[{name: jwt, config: {claims_to_verify: [exp]}}]", consumers));
    let token = |header: Value, exp: u64, secret: &str| {
        let encode = |v: Value| URL_SAFE_NO_PAD.encode(v.to_string());
        let message = format!("{}.{}", encode(header), encode(json!({"iss": "k", "exp": exp})));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
    };
    let hs256 = || json!({"alg": "HS256"});
    let later = 4_000_000_000;
    let seen = gateway.passes(&format!("GET /\nAuthorization: Bearer {}", token(hs256(), later, "s3cret")));
    assert_eq!((seen.header("x-consumer-username"), seen.header("x-credential-identifier")), (Some("jo"), Some("k")));
    let refused = |token: String| gateway.ask(&format!("GET /\nAuthorization: Bearer {token}"));
    let answer = refused(token(hs256(), 1, "s3cret"));
    assert_eq!((answer.status(), answer.text()), (401, r#"{"exp":"token expired"}"#.to_owned()));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(refused(token(hs256(), later, "guess")).text(), r#"{"message":"Invalid signature"}"#);
    assert_eq!(refused(token(json!({"alg": "none"}), later, "")).text(), r#"{"message":"Bad token; invalid alg"}"#);
}

#[test]
fn hmac_auth_takes_signed_requests_and_their_bodies() {
    let consumers = "[{username: hal, hmacauth_credentials: [{username: hal, secret: s3cret}]}]";
    let gateway = Gateway::with(&config("[{name: hmac-auth, config: {validate_request_body: true}}]", consumers));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let signed = |at: i64, body: &str, sent: &str| {
        let date = gibbon_message::date::format(at);
        let digest = format!("SHA-256={}", STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes())));
        let text = format!("date: {date}\n@request-target: post /a?b=1\ndigest: {digest}");
        let key = hmac::Key::new(hmac::HMAC_SHA512, b"s3cret");
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let value = format!(
            r#"hmac username="hal", algorithm="hmac-sha512", headers="date @request-target digest", signature="{signature}""#
        );
        format!("POST /a?b=1\nDate: {date}\nDigest: {digest}\nAuthorization: {value}\n\n{sent}")
    };
    let seen = gateway.passes(&signed(now, "hello", "hello"));
    assert_eq!((seen.header("x-consumer-username"), seen.body.as_slice()), (Some("hal"), &b"hello"[..]));
    assert_eq!(gateway.refuses(&signed(now, "hello", "hullo")), "401 HMAC signature does not match [hmac]");
    assert!(
        gateway
            .refuses(&signed(now - 301, "hello", "hello"))
            .starts_with("401 HMAC signature cannot be verified, a valid date")
    );
}

const BOB: &str = "dn: cn=bob,dc=test\nobjectClass: person\ncn: bob\nsn: b\nuserPassword: pa:ss\n";

fn ldap_config(address: SocketAddr, more: &str) -> String {
    let config =
        format!("ldap_host: 127.0.0.1, ldap_port: {}, base_dn: 'dc=test', attribute: cn{more}", address.port());
    config_with_ldap(&config)
}

fn config_with_ldap(settings: &str) -> String {
    config(&format!("[{{name: ldap-auth, config: {{{settings}}}}}]"), "[{username: anon}]")
}

fn ldap(pair: &str) -> String {
    format!("GET /\nAuthorization: ldap {}", STANDARD.encode(pair))
}

#[test]
fn ldap_auth_asks_a_real_directory() {
    let (server, _) = servers::slapd(BOB, None).unwrap();
    let gateway = Gateway::with(&ldap_config(server.address(), ""));
    let seen = gateway.passes(&ldap("bob:pa:ss"));
    assert_eq!((seen.header("x-credential-identifier"), seen.header("x-consumer-id")), (Some("bob"), None));
    for pair in ["bob:wrong", "nobody:pa:ss", "bob:", "bob,dc=test:pa:ss", "*:pa:ss"] {
        assert_eq!(gateway.refuses(&ldap(pair)), "401 Unauthorized [LDAP]", "{pair}");
    }
    // The directory is gone; what it said is remembered, anything else is an error of ours.
    drop(server);
    gateway.passes(&ldap("bob:pa:ss"));
    assert_eq!(gateway.refuses(&ldap("bob:new")), "500 An unexpected error occurred");
}

#[test]
fn ldap_auth_speaks_tls_and_verifies_the_directory_if_told_to() {
    let pair = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (pair.cert.pem(), pair.signing_key.serialize_pem());
    let (server, secure) = servers::slapd(BOB, Some((&certificate, &key))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, &certificate).unwrap();
    let trusting = [("lua_ssl_trusted_certificate", trusted.display().to_string())];
    for (address, tls) in [(server.address(), ", start_tls: true"), (secure, ", ldaps: true")] {
        let verified = ldap_config(address, &format!("{tls}, verify_ldap_host: true"));
        Gateway::with_settings(&trusting, &verified).passes(&ldap("bob:pa:ss"));
        assert_eq!(Gateway::with(&verified).refuses(&ldap("bob:pa:ss")), "500 An unexpected error occurred", "{tls}");
        let gateway = Gateway::with(&ldap_config(address, tls));
        gateway.passes(&ldap("bob:pa:ss"));
        assert_eq!(gateway.refuses(&ldap("bob:wrong")), "401 Unauthorized [LDAP]");
    }
}

/// Passes bytes on to a server, and counts the connections that it takes.
fn counting(server: SocketAddr) -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), std::sync::Arc::default());
    let counted = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::sync::atomic::AtomicUsize::fetch_add(&counted, 1, std::sync::atomic::Ordering::SeqCst);
            let Ok(server) = std::net::TcpStream::connect(server) else { continue };
            for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    (address, count)
}

#[test]
fn connections_to_the_directory_are_kept_as_long_as_they_are_told_to() {
    let (server, _) = servers::slapd(BOB, None).unwrap();
    for (keepalive, expected) in [(60_000, 1), (0, 5)] {
        let (address, connections) = counting(server.address());
        let gateway = Gateway::with(&ldap_config(address, &format!(", keepalive: {keepalive}")));
        // Each of these is asked of the directory, right and wrong ones in turn on the same connection.
        gateway.passes(&ldap("bob:pa:ss"));
        for wrong in ["bob:a", "bob:b", "nobody:c", "bob:d"] {
            assert_eq!(gateway.refuses(&ldap(wrong)), "401 Unauthorized [LDAP]");
        }
        assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), expected, "keepalive {keepalive}");
    }
}

const SESSION: &str =
    "{name: session, config: {secret: fixed-secret, cookie_name: sess, cookie_secure: false, cookie_same_site: Lax}}";

fn cookie(answer: &Response) -> String {
    let set = answer.header("set-cookie").unwrap();
    set.split(';').next().unwrap().to_owned()
}

#[test]
fn a_session_in_a_cookie_is_known_by_every_worker_until_logout() {
    let plugins = format!("[{SESSION}, {{name: key-auth, config: {{anonymous: anon}}}}]");
    let consumers = "[{username: anon}, {username: alice, keyauth_credentials: [{key: k}]}]";
    let gateway = Gateway::with(&config(&plugins, consumers));
    let answer = gateway.ask("GET /\napikey: k");
    assert!(answer.header("set-cookie").unwrap().ends_with("; Path=/; SameSite=Lax; HttpOnly"));
    let cookie = cookie(&answer);
    for _ in 0..16 {
        assert_eq!(gateway.passes(&format!("GET /\nCookie: {cookie}")).header("x-consumer-username"), Some("alice"));
    }
    let answer = gateway.ask(&format!("DELETE /?session_logout=1\nCookie: {cookie}"));
    let expired = "sess=; Path=/; SameSite=Lax; HttpOnly; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";
    assert_eq!((answer.status(), answer.header("set-cookie"), answer.text()), (200, Some(expired), String::new()));
}

#[test]
fn a_session_in_the_store_ends_with_its_logout() {
    let gateway = Gateway::with_datastore();
    gateway.admin("POST /consumers", json!({"username": "anon"}));
    gateway.admin("POST /consumers/alice/key-auth", json!({"key": "k"}));
    gateway.admin("POST /plugins", json!({"name": "key-auth", "config": {"anonymous": "anon"}}));
    let settings = json!({"secret": "fixed-secret", "storage": "kong", "store_metadata": true});
    gateway.admin("POST /plugins", json!({"name": "session", "config": settings}));
    let cookie = cookie(&gateway.ask("GET /\napikey: k"));
    assert_eq!(cookie.len(), "session=".len() + 110);
    let who = || gateway.passes(&format!("GET /\nCookie: {cookie}")).header("x-consumer-username").unwrap().to_owned();
    for _ in 0..16 {
        assert_eq!(who(), "alice");
    }
    // The row is written behind the answer's back.
    let sessions = || gateway.admin("GET /sessions", Value::Null)["data"].as_array().unwrap().len();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while sessions() == 0 && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!(sessions(), 1);
    assert_eq!(who(), "alice");
    assert_eq!(gateway.ask(&format!("DELETE /?session_logout=1\nCookie: {cookie}")).status(), 200);
    assert_eq!((sessions(), who().as_str()), (0, "anon"));
}

#[test]
fn oauth2_hands_out_tokens_and_takes_them_until_they_are_revoked() {
    let gateway = Gateway::with_datastore();
    let client =
        json!({"name": "app", "client_id": "cid", "client_secret": "csec", "redirect_uris": ["http://app.test/cb"]});
    gateway.admin("POST /consumers/alice/oauth2", client);
    let hashed = json!({"name": "h", "client_id": "hid", "client_secret": "hsec", "hash_secret": true});
    gateway.admin("POST /consumers/alice/oauth2", hashed);
    let settings = json!({"enable_client_credentials": true, "enable_authorization_code": true, "provision_key": "prov",
        "scopes": ["mail"], "accept_http_if_already_terminated": true});
    gateway.admin("POST /services/s/plugins", json!({"name": "oauth2", "config": settings}));
    let post = |path: &str, body: &str| {
        gateway.ask(&format!(
            "POST /oauth2/{path}\nX-Forwarded-Proto: https\nContent-Type: application/x-www-form-urlencoded\n\n{body}"
        ))
    };
    let answer = post("token", "client_id=cid&client_secret=csec&grant_type=client_credentials&scope=mail");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!((answer.header("cache-control"), answer.header("pragma")), (Some("no-store"), Some("no-cache")));
    let token = answer.json().unwrap()["access_token"].as_str().unwrap().to_owned();
    for _ in 0..8 {
        let seen = gateway.passes(&format!("GET /\nAuthorization: Bearer {token}"));
        assert_eq!(
            (seen.header("x-consumer-username"), seen.header("x-authenticated-scope")),
            (Some("alice"), Some("mail"))
        );
    }

    let ask = "response_type=code&provision_key=prov&authenticated_userid=u1&client_id=cid";
    let uri = post("authorize", ask).json().unwrap()["redirect_uri"].as_str().unwrap().to_owned();
    let code = uri.strip_prefix("http://app.test/cb?code=").unwrap().to_owned();
    let redeem = format!("client_id=cid&client_secret=csec&grant_type=authorization_code&code={code}");
    let first = post("token", &redeem).json().unwrap();
    let seen = gateway.passes(&format!("GET /?access_token={}", first["access_token"].as_str().unwrap()));
    assert_eq!(seen.header("x-authenticated-userid"), Some("u1"));
    assert_eq!(post("token", &redeem).json().unwrap()["error_description"], "Invalid code");

    assert_eq!(post("token", "client_id=hid&client_secret=hsec&grant_type=client_credentials").status(), 200);
    assert_eq!(post("token", "client_id=hid&client_secret=no&grant_type=client_credentials").status(), 400);

    // A token is an entity; deleted, it is refused from the next request.
    gateway.admin(&format!("DELETE /oauth2_tokens/{token}"), Value::Null);
    assert!(gateway.refuses(&format!("GET /\nAuthorization: Bearer {token}")).starts_with("401 "));
    // Tokens go with their consumer.
    gateway.admin("DELETE /consumers/alice", Value::Null);
    assert_eq!(gateway.admin("GET /oauth2_tokens", Value::Null)["data"], json!([]));
}

#[test]
fn oauth2_grants_refreshes_and_proofs_hold_on_a_datastore() {
    let gateway = Gateway::with_datastore();
    let uris = json!(["http://app.test/cb", "http://app.test/other"]);
    let client = json!({"name": "app", "client_id": "cid", "client_secret": "csec", "redirect_uris": uris});
    gateway.admin("POST /consumers/alice/oauth2", client);
    let public = json!({"name": "spa", "client_id": "pub", "client_type": "public", "redirect_uris": uris});
    gateway.admin("POST /consumers/alice/oauth2", public);
    let settings = |more: Value| {
        let mut all = json!({"enable_client_credentials": true, "enable_authorization_code": true,
            "enable_implicit_grant": true, "enable_password_grant": true, "provision_key": "prov", "scopes": ["mail", "phone"],
            "mandatory_scope": true, "accept_http_if_already_terminated": true, "token_expiration": 77});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"name": "oauth2", "config": all})
    };
    let plugin = gateway.admin("POST /services/s/plugins", settings(json!({})))["id"].as_str().unwrap().to_owned();
    let change = |config: Value| gateway.admin(&format!("PATCH /plugins/{plugin}"), json!({"config": config}));
    let post = |path: &str, body: Value| {
        let answer = gateway
            .ask(&format!("POST /oauth2/{path}\nX-Forwarded-Proto: https\nContent-Type: application/json\n\n{body}"));
        (answer.status(), answer.json().unwrap())
    };
    let with = |base: &Value, more: Value| {
        let mut all = base.as_object().unwrap().clone();
        all.extend(more.as_object().unwrap().clone());
        Value::Object(all)
    };
    let password = json!({"client_id": "cid", "client_secret": "csec", "grant_type": "password", "provision_key": "prov",
        "authenticated_userid": "u1", "scope": "mail"});
    let refresh = |token: &Value| {
        post(
            "token",
            json!({"client_id": "cid", "client_secret": "csec", "grant_type": "refresh_token", "refresh_token": token}),
        )
    };
    let works = |token: &Value| {
        let text = format!("GET /\nAuthorization: Bearer {}", token.as_str().unwrap());
        gateway.ask(&text).status() == 200
    };

    // A refresh token is good once, and takes its access token with it.
    let (_, first) = post("token", password.clone());
    assert_eq!((&first["expires_in"], &first["token_type"]), (&json!(77), &json!("bearer")));
    let (_, second) = refresh(&first["refresh_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!([works(&first["access_token"]), works(&second["access_token"])], [false, true]);
    assert_eq!(refresh(&first["refresh_token"]).1["error_description"], "Invalid refresh_token");
    // One that is reused stays, and its row with it.
    change(json!({"reuse_refresh_token": true}));
    let (_, third) = refresh(&second["refresh_token"]);
    assert_eq!(third["refresh_token"], second["refresh_token"]);
    assert_eq!([works(&second["access_token"]), works(&third["access_token"])], [false, true]);
    assert_eq!(gateway.admin("GET /oauth2_tokens", Value::Null)["data"].as_array().unwrap().len(), 1);
    // A persistent one stays beside the new one.
    change(json!({"reuse_refresh_token": false, "persistent_refresh_token": true}));
    for _ in 0..2 {
        assert_eq!(refresh(&third["refresh_token"]).0, 200);
    }
    assert!(works(&third["access_token"]));
    // A scope that is no longer known is not refreshed.
    change(json!({"scopes": ["phone"]}));
    assert_eq!(
        refresh(&third["refresh_token"]).1,
        json!({"error": "invalid_scope", "error_description": "Scope mismatch"})
    );
    change(json!({"scopes": ["mail", "phone"], "persistent_refresh_token": false}));

    assert_eq!(
        post("token", with(&password, json!({"scope": null}))).1["error_description"],
        "You must specify a scope"
    );
    assert_eq!(post("token", with(&password, json!({"provision_key": "x"}))).1["error"], "invalid_provision_key");

    // A public client proves by its verifier that the code is its own.
    let verifier = "v".repeat(64);
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let ask = json!({"response_type": "code", "provision_key": "prov", "authenticated_userid": "u1", "client_id": "pub",
        "scope": "mail", "code_challenge": challenge, "code_challenge_method": "S256", "redirect_uri": "http://app.test/other"});
    let code = || {
        let (status, answer) = post("authorize", ask.clone());
        assert_eq!(status, 200, "{answer}");
        answer["redirect_uri"].as_str().unwrap().strip_prefix("http://app.test/other?code=").unwrap().to_owned()
    };
    let redeem = |code: &str, verifier: Value| {
        let body =
            json!({"client_id": "pub", "grant_type": "authorization_code", "code": code, "code_verifier": verifier});
        post("token", body)
    };
    let given = code();
    assert_eq!(
        redeem(&given, json!("w".repeat(64))).1,
        json!({"error": "invalid_grant", "error_description": "Invalid code"})
    );
    assert_eq!(redeem(&given, json!(verifier)).0, 200);
    assert_eq!(redeem(&given, json!(verifier)).1["error_description"], "Invalid code");
    let (_, refused) = post("authorize", with(&ask, json!({"code_challenge": null, "code_challenge_method": null})));
    assert!(
        refused["redirect_uri"].as_str().unwrap().contains("code_challenge%20is%20required%20for%20public%20clients")
    );

    // The implicit grant gives a token behind the hash, and none to refresh it with.
    let implicit = json!({"response_type": "token", "provision_key": "prov", "authenticated_userid": "u1", "client_id": "cid",
        "scope": "phone"});
    let uri = post("authorize", implicit).1["redirect_uri"].as_str().unwrap().to_owned();
    let token = uri.strip_prefix("http://app.test/cb#access_token=").unwrap().split('&').next().unwrap().to_owned();
    assert!(works(&json!(token)) && !uri.contains("refresh_token"), "{uri}");

    // A token that is good for all services is good where that is said, and nowhere else.
    let url = format!("http://{}", gateway.upstream.address());
    gateway.admin("POST /services", json!({"name": "t", "url": url}));
    gateway.admin("POST /services/t/routes", json!({"name": "t", "paths": ["/t"]}));
    gateway.admin("POST /services/t/plugins", settings(json!({"global_credentials": true})));
    change(json!({"global_credentials": true}));
    let (_, global) = post("token", password);
    let at_t =
        |token: &Value| gateway.ask(&format!("GET /t\nAuthorization: Bearer {}", token.as_str().unwrap())).status();
    assert_eq!([at_t(&global["access_token"]), at_t(&json!(token))], [200, 401]);
    change(json!({"global_credentials": false}));
    let refused = gateway.ask(&format!("GET /\nAuthorization: Bearer {}", global["access_token"].as_str().unwrap()));
    let why = "The access token is global, but the current plugin is configured without 'global_credentials'";
    assert_eq!((refused.status(), &refused.json().unwrap()["error_description"]), (401, &json!(why)));
}
