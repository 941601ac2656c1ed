//! What `hmac-auth` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_message::date;
use gibbon_pdk::{Clock as _, Handler};
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, request, shown, upstream};

const SECRET: &str = "s3cret";

fn given(config: Value) -> (Rig, Arc<dyn Handler>) {
    let rig = Rig::default();
    let hal = rig.consumer(1, "hal");
    rig.credential("hmacauth_credentials", 11, hal, "hal", &[("secret", SECRET)]);
    rig.consumer(2, "anon");
    let handler = rig.handler(&PART, config);
    (rig, handler)
}

/// A signed request: the signing string is written out by each test, as a client writes it.
struct Signed<'a> {
    line: &'a str,
    headers: &'a str,
    signing: String,
    algorithm: (&'a str, hmac::Algorithm),
    secret: &'a str,
    extra: String,
}

const SHA256: (&str, hmac::Algorithm) = ("hmac-sha256", hmac::HMAC_SHA256);

impl Default for Signed<'_> {
    fn default() -> Self {
        Signed {
            line: "GET /",
            headers: "date",
            signing: String::new(),
            algorithm: SHA256,
            secret: SECRET,
            extra: String::new(),
        }
    }
}

impl Signed<'_> {
    fn value(&self, username: &str) -> String {
        let key = hmac::Key::new(self.algorithm.1, self.secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, self.signing.as_bytes()));
        let (algorithm, headers) = (self.algorithm.0, self.headers);
        format!(r#"hmac username="{username}", algorithm="{algorithm}", headers="{headers}", signature="{signature}""#)
    }

    fn text(&self, now: &str) -> String {
        format!("{}\nDate: {now}{}\nAuthorization: {}", self.line, self.extra, self.value("hal"))
    }
}

fn now(rig: &Rig) -> String {
    date::format(rig.clock.wall())
}

#[test]
fn a_signature_over_the_date_names_the_consumer() {
    let (rig, handler) = given(json!({}));
    let now = now(&rig);
    for algorithm in [
        SHA256,
        ("hmac-sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        ("hmac-sha384", hmac::HMAC_SHA384),
        ("hmac-sha512", hmac::HMAC_SHA512),
    ] {
        let signed = Signed { signing: format!("date: {now}"), algorithm, ..Signed::default() };
        let mut x = request(&signed.text(&now));
        rig.passes(&*handler, &mut x);
        assert_eq!(upstream(&x, "x-consumer-username"), Some("hal"));
        assert_eq!(upstream(&x, "x-credential-identifier"), Some("hal"));
        assert!(upstream(&x, "authorization").is_some());
    }
}

#[test]
fn a_signature_may_cover_the_request_line_the_target_and_headers_that_are_not_there() {
    let (rig, handler) = given(json!({}));
    let now = now(&rig);
    for (headers, signing) in [
        ("date request-line", format!("date: {now}\nGET /a?x=1 HTTP/1.1")),
        ("@request-target date", format!("@request-target: get /a?x=1\ndate: {now}")),
        ("date x-none", format!("date: {now}\nx-none:")),
        ("host", "host: api.test".to_owned()),
    ] {
        let signed = Signed { line: "GET /a?x=1", headers, signing, ..Signed::default() };
        rig.passes(&*handler, &mut request(&signed.text(&now)));
    }
}

#[test]
fn refusals_are_in_kongs_words() {
    let (rig, handler) = given(json!({}));
    let now = now(&rig);
    let valid = Signed { signing: format!("date: {now}"), ..Signed::default() };
    let date = "401 HMAC signature cannot be verified, a valid date or x-date header is required for HMAC Authentication [hmac]";
    let unverifiable = "401 HMAC signature cannot be verified [hmac]";
    let different = "401 HMAC signature does not match [hmac]";
    let cases = [
        ("GET /".to_owned(), "401 Unauthorized [hmac]"),
        (valid.text("not a date"), date),
        (valid.text("Sat, 01 Jan 2000 00:00:00 GMT"), date),
        ("GET /\nAuthorization: hmac username=\"hal\"".to_owned(), date),
        (format!("GET /\nDate: {now}\nAuthorization: hmac nonsense"), unverifiable),
        (format!("GET /\nDate: {now}\nAuthorization: {}", valid.value("nobody")), unverifiable),
        (Signed { secret: "wrong", signing: format!("date: {now}"), ..Signed::default() }.text(&now), different),
        (Signed { signing: "date: other".into(), ..Signed::default() }.text(&now), different),
        (valid.text(&now).replace("signature=\"", "signature=\"!"), different),
        (valid.text(&now).replace("hmac-sha256", "md5"), unverifiable),
        (valid.text(&now).replace("hmac-sha256", "hmac-sha224"), unverifiable),
    ];
    for (text, expected) in cases {
        assert_eq!(shown(&rig.refuses(&*handler, &mut request(&text))), expected, "{text}");
    }
}

#[test]
fn sha224_is_accepted_where_it_is_configured() {
    let (rig, handler) = given(json!({"algorithms": ["hmac-sha224"]}));
    let now = now(&rig);
    let algorithm = ("hmac-sha224", hmac::HMAC_SHA224);
    let signed = Signed { signing: format!("date: {now}"), algorithm, ..Signed::default() };
    rig.passes(&*handler, &mut request(&signed.text(&now)));
}

#[test]
fn a_recorded_request_can_be_replayed_within_the_clock_skew_only() {
    let (rig, handler) = given(json!({"clock_skew": 10}));
    let now = now(&rig);
    let recorded = Signed { signing: format!("date: {now}"), ..Signed::default() }.text(&now);
    rig.clock.advance(Duration::from_secs(10));
    rig.passes(&*handler, &mut request(&recorded));
    rig.clock.advance(Duration::from_secs(1));
    rig.refuses(&*handler, &mut request(&recorded));
    // A fresh date does not help, since the signature covers the old one.
    let fresh = recorded.replacen(&now, &date::format(rig.clock.wall()), 1);
    assert_eq!(shown(&rig.refuses(&*handler, &mut request(&fresh))), "401 HMAC signature does not match [hmac]");
}

#[test]
fn a_request_from_the_future_is_refused_too() {
    let (rig, handler) = given(json!({"clock_skew": 10}));
    let later = date::format(rig.clock.wall() + 11);
    let signed = Signed { signing: format!("date: {later}"), ..Signed::default() };
    rig.refuses(&*handler, &mut request(&signed.text(&later)));
}

#[test]
fn x_date_counts_where_date_cannot_be_set() {
    let (rig, handler) = given(json!({}));
    let now = now(&rig);
    let signed = Signed {
        headers: "x-date",
        signing: format!("x-date: {now}"),
        extra: format!("\nX-Date: {now}"),
        ..Signed::default()
    };
    rig.passes(&*handler, &mut request(&signed.text("Sat, 01 Jan 2000 00:00:00 GMT")));
}

#[test]
fn names_that_must_be_covered_and_algorithms_are_enforced() {
    let (rig, handler) = given(json!({"enforce_headers": ["date", "request-line"], "algorithms": ["hmac-sha512"]}));
    let now = now(&rig);
    let sha512 = ("hmac-sha512", hmac::HMAC_SHA512);
    let line = format!("date: {now}\nGET / HTTP/1.1");
    let ask = |headers, signing: &str, algorithm| {
        let signed = Signed { headers, signing: signing.into(), algorithm, ..Signed::default() };
        rig.access(&*handler, &mut request(&signed.text(&now))).is_none()
    };
    assert!(ask("date request-line", &line, sha512));
    assert!(!ask("date", &format!("date: {now}"), sha512));
    assert!(!ask("date request-line", &line, SHA256));
}

#[test]
fn the_body_is_compared_with_its_digest_and_no_digest_means_no_body() {
    let (rig, handler) = given(json!({"validate_request_body": true, "hide_credentials": true}));
    let now = now(&rig);
    let digest = |body: &str| format!("SHA-256={}", STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes())));
    let ask = |digest: Option<String>, body: &str| {
        let (headers, signing, extra) = match &digest {
            Some(digest) => ("date digest", format!("date: {now}\ndigest: {digest}"), format!("\nDigest: {digest}")),
            None => ("date", format!("date: {now}"), String::new()),
        };
        let signed = Signed { line: "POST /", headers, signing, extra, ..Signed::default() };
        let mut x = request(&format!("{}\n\n{body}", signed.text(&now)));
        let verdict = rig.access(&*handler, &mut x).map_or("passes".to_owned(), |reply| shown(&reply));
        assert_eq!(upstream(&x, "authorization"), None);
        verdict
    };
    let refused = "401 HMAC signature does not match [hmac]";
    assert_eq!(ask(Some(digest("hello")), "hello"), "passes");
    assert_eq!(ask(Some(digest("hello")), "hullo"), refused);
    assert_eq!(ask(Some("SHA-256=AAAA".into()), "hello"), refused);
    assert_eq!(ask(None, "hello"), refused);
    assert_eq!(ask(None, ""), "passes");
}

#[test]
fn a_body_is_not_read_for_a_caller_who_is_not_known() {
    let (rig, handler) = given(json!({"validate_request_body": true}));
    let mut x = request(&format!("POST /\nDate: {}\nAuthorization: hmac nonsense\n\nlarge", now(&rig)));
    rig.refuses(&*handler, &mut x);
    assert!(x.body.is_unread());
}

#[test]
fn only_the_header_that_was_used_is_hidden() {
    let (rig, handler) = given(json!({"hide_credentials": true}));
    let now = now(&rig);
    let value = Signed { signing: format!("date: {now}"), ..Signed::default() }.value("hal");
    let mut x = request(&format!("GET /\nDate: {now}\nProxy-Authorization: {value}\nAuthorization: Basic eA=="));
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "proxy-authorization"), None);
    assert_eq!(upstream(&x, "authorization"), Some("Basic eA=="));
}

#[test]
fn the_realm_stands_in_the_challenge_and_anonymous_takes_over() {
    let (rig, handler) = given(json!({"realm": "r"}));
    assert_eq!(shown(&rig.refuses(&*handler, &mut request("GET /"))), "401 Unauthorized [hmac realm=\"r\"]");
    let (rig, handler) = given(json!({"anonymous": "anon"}));
    let mut x = request("GET /");
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "x-consumer-username"), Some("anon"));
}

#[test]
fn a_header_of_many_quotes_is_parsed_in_no_time() {
    let (rig, handler) = given(json!({}));
    let evil = format!("hmac username=\"{}", "\", algorithm=\"".repeat(50_000));
    rig.refuses(&*handler, &mut request(&format!("GET /\nDate: {}\nAuthorization: {evil}", now(&rig))));
}
