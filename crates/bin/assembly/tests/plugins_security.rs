//! Plugins that guard what is behind them, through a whole node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Upstream};

use rig::Rig;

/// A node, and the upstream that its one service leads to.
struct Gateway {
    upstream: Upstream,
    rig: Rig,
}

impl Gateway {
    /// Serves `/` with these plugins on the service: a YAML list, indented by two.
    fn with(plugins: &str) -> Self {
        let upstream = upstream::echo().unwrap();
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: up\n  url: http://{}\n  routes:\n  - name: all\n    paths: [/]\n  plugins:\n{plugins}",
            upstream.address()
        );
        let rig = Rig::start(&[("nginx_worker_processes", "2".to_owned())], &config);
        Gateway { upstream, rig }
    }

    /// A whole request but for the Host header and the empty line.
    fn send(&self, head: &str, body: &str) -> Response {
        client::once(self.rig.proxy, format!("{head}\r\nHost: api.test\r\nConnection: close\r\n\r\n{body}")).unwrap()
    }
}

#[test]
fn preflights_are_answered_here_and_answers_are_marked() {
    let gateway = Gateway::with("  - {name: cors, config: {origins: ['http://a.test']}}");
    let preflight =
        gateway.send("OPTIONS / HTTP/1.1\r\nOrigin: http://a.test\r\nAccess-Control-Request-Method: PUT", "");
    assert_eq!((preflight.status(), preflight.header("content-length")), (200, Some("0")));
    assert_eq!(preflight.header("access-control-allow-origin"), Some("http://a.test"));
    assert_eq!(preflight.header("vary"), Some("Origin"));
    assert!(gateway.upstream.requests().is_empty());
    let answer = gateway.send("GET / HTTP/1.1\r\nOrigin: http://a.test", "");
    assert_eq!((answer.status(), answer.header("access-control-allow-origin")), (200, Some("http://a.test")));
}

#[test]
fn addresses_are_let_in_or_kept_out() {
    let gateway = Gateway::with("  - {name: ip-restriction, config: {deny: [127.0.0.0/8]}}");
    let refused = gateway.send("GET / HTTP/1.1", "");
    assert_eq!(
        (refused.status(), refused.json().unwrap()["message"].clone()),
        (403, "IP address not allowed: 127.0.0.1".into())
    );
    // A header does not change the address of a client that is not trusted.
    let refused = gateway.send("GET / HTTP/1.1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1", "");
    assert_eq!(refused.status(), 403);
    assert_eq!(
        Gateway::with("  - {name: ip-restriction, config: {allow: [127.0.0.1]}}").send("GET / HTTP/1.1", "").status(),
        200
    );
}

#[test]
fn robots_are_kept_out() {
    let gateway = Gateway::with("  - {name: bot-detection}");
    let refused = gateway.send("GET / HTTP/1.1\r\nUser-Agent: Googlebot/2.1", "");
    assert_eq!((refused.status(), refused.json().unwrap()["message"].clone()), (403, "Forbidden".into()));
    assert_eq!(gateway.send("GET / HTTP/1.1\r\nUser-Agent: Mozilla/5.0", "").status(), 200);
}

#[test]
fn webhooks_must_be_signed() {
    let gateway = Gateway::with("  - {name: standard-webhooks, config: {secret_v1: s}}");
    let refused = gateway.send("POST / HTTP/1.1\r\nContent-Length: 1", "x");
    assert_eq!((refused.status(), refused.json().unwrap()["message"].clone()), (400, "Bad request".into()));
}

/// A certificate for 127.0.0.1 that signs itself, and its key, both in PEM.
fn authority_identity() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn certificates_come_from_a_real_authority() {
    let (cert, key) = authority_identity();
    // The authority knocks at the gateway's plain port, and the gateway's settings name the authority.
    let plain = gibbon_testkit::ports::free_tcp_address().unwrap();
    let tls = gibbon_testkit::ports::free_tcp_address().unwrap();
    let pebble = gibbon_testkit::servers::pebble(plain.port(), &cert, &key).unwrap();
    let trusted = pebble.authority.folder().join("cert.pem");
    let settings = [
        ("proxy_listen", format!("{plain} reuseport, {tls} ssl reuseport")),
        ("lua_ssl_trusted_certificate", trusted.display().to_string()),
        // By default, handshakes are shown the same certificate that the authority has.
        ("ssl_cert", trusted.display().to_string()),
        ("ssl_cert_key", trusted.with_file_name("key.pem").display().to_string()),
    ];
    // The account's key is people's own: an entity in a set.
    let account = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let pem: String = account.serialize_pem().lines().map(|line| format!("      {line}\n")).collect();
    let config = format!(
        "_format_version: '3.0'\nkey_sets: [{{name: accounts}}]\nkeys:\n- name: mine\n  kid: k1\n  set: {{name: accounts}}\n  pem:\n    private_key: |\n{pem}plugins:\n- name: acme\n  config:\n    account_email: ops@a.test\n    api_uri: https://{}/dir\n    tos_accepted: true\n    cert_type: ecc\n    domains: [a.test]\n    fail_backoff_minutes: 0.001\n    account_key: {{key_id: k1, key_set: accounts}}\n",
        pebble.authority.address()
    );
    let _rig = Rig::start(&settings, &config);

    let shown = |name: &str| client::Client::connect_tls(tls, name, &[]).unwrap().peer_certificate().unwrap();
    let default = shown("other.test");
    assert_eq!(shown("a.test"), default, "a handshake does not wait");
    let deadline = std::time::Instant::now() + 6 * client::PATIENCE;
    while shown("a.test") == default {
        assert!(std::time::Instant::now() < deadline, "{}", pebble.authority.output());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(shown("other.test"), default, "names that are not configured are shown what they always were");
    assert!(pebble.authority.output().contains("Issued certificate"), "{}", pebble.authority.output());
}

#[test]
fn with_a_datastore_a_certificate_becomes_an_entity_that_handshakes_are_shown() {
    let (cert, key) = authority_identity();
    let [plain, tls, admin] = std::array::from_fn(|_| gibbon_testkit::ports::free_tcp_address().unwrap());
    let pebble = gibbon_testkit::servers::pebble(plain.port(), &cert, &key).unwrap();
    let trusted = pebble.authority.folder().join("cert.pem");
    let rig = Rig::bare(&[
        ("database", "sqlite".to_owned()),
        ("admin_listen", admin.to_string()),
        ("proxy_listen", format!("{plain} reuseport, {tls} ssl reuseport")),
        ("lua_ssl_trusted_certificate", trusted.display().to_string()),
        ("ssl_cert", trusted.display().to_string()),
        ("ssl_cert_key", trusted.with_file_name("key.pem").display().to_string()),
    ]);
    let config = serde_json::json!({"name": "acme", "config": {
        "account_email": "ops@a.test", "api_uri": format!("https://{}/dir", pebble.authority.address()),
        "tos_accepted": true, "cert_type": "ecc", "domains": ["a.test"], "fail_backoff_minutes": 0.001, "storage": "kong",
    }})
    .to_string();
    let head = format!(
        "POST /plugins HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{config}",
        config.len()
    );
    let made = client::once(admin, head).unwrap();
    assert_eq!(made.status(), 201, "{}", made.text());

    let shown = |name: &str| client::Client::connect_tls(tls, name, &[]).unwrap().peer_certificate().unwrap();
    let default = shown("other.test");
    let deadline = std::time::Instant::now() + 6 * client::PATIENCE;
    while shown("a.test") == default {
        assert!(std::time::Instant::now() < deadline, "{}", pebble.authority.output());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let sni = client::get(admin, "node", "/snis/a.test").unwrap().json().unwrap();
    assert_eq!(sni["tags"], serde_json::json!(["managed-by-acme"]));
    let id = sni["certificate"]["id"].as_str().unwrap();
    let certificate = client::get(admin, "node", &format!("/certificates/{id}")).unwrap().json().unwrap();
    assert!(certificate["cert"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"), "{certificate}");
    // The list is written right after the certificate.
    let listed = || client::get(admin, "node", "/acme/certificates").unwrap().json().unwrap();
    while listed()["data"][0]["host"] != "a.test" {
        assert!(std::time::Instant::now() < deadline, "{}", listed());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    drop(rig);
}
