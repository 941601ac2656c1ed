//! What `oauth2` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gibbon_message::Scheme;
use gibbon_pdk::{Document, Exchange, Handler, Matched, PathHandling, Protocol, Protocols, Route, Service};
use gibbon_rig::json_body;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::PART;
use crate::rig::{Rig, id, request, shown, upstream};

fn matched(service: Option<u8>) -> Rc<Matched> {
    let route = Route {
        id: id(70),
        id_text: id(70).to_string().into(),
        name: None,
        workspace: Uuid::nil(),
        protocols: Protocols::of(&[Protocol::Http]),
        https_redirect_status_code: 426,
        strip_path: false,
        preserve_host: false,
        path_handling: PathHandling::V0,
        request_buffering: true,
        response_buffering: true,
        service: service.map(id),
        document: Document::new(&json!({})),
    };
    let service = service.map(|n| {
        Arc::new(Service {
            id: id(n),
            id_text: id(n).to_string().into(),
            name: None,
            workspace: Uuid::nil(),
            protocol: Protocol::Http,
            host: "up.test".into(),
            port: 80,
            path: None,
            retries: 0,
            timeouts: gibbon_pdk::Timeouts::default(),
            tls: gibbon_pdk::UpstreamTls::default(),
            document: Document::new(&json!({})),
        })
    });
    Rc::new(Matched { route: Arc::new(route), service, workspace: None })
}

/// A client `cid` of alice's, a public one `pub` and one with a hashed secret; all grants are on.
struct Given {
    rig: Rig,
    oauth2: Arc<dyn Handler>,
}

fn given(config: Value) -> Given {
    let rig = Rig::default();
    let alice = rig.add_consumer(1, Some("alice"), Some("al"));
    let uris = json!({"redirect_uris": ["http://app.test/cb", "http://app.test/other?a=1"], "hash_secret": false});
    let add = |n, key: &str, kind: &str, document: Value| {
        let fields = [("client_secret", "csec"), ("client_type", kind), ("name", key)];
        rig.add_credential("oauth2_credentials", n, alice, key, &fields, Some(document));
    };
    add(11, "cid", "confidential", uris.clone());
    add(12, "pub", "public", uris);
    add(13, "bare", "confidential", json!({"hash_secret": false}));
    rig.consumer(2, "anon");
    let mut all = json!({
        "provision_key": "prov",
        "scopes": ["mail", "phone"],
        "enable_authorization_code": true,
        "enable_implicit_grant": true,
        "enable_client_credentials": true,
        "enable_password_grant": true,
    });
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let oauth2 = rig.handler(&PART, all);
    Given { rig, oauth2 }
}

impl Given {
    /// Another plugin with the same people and store, e.g. on another service.
    fn other(&self, id: u8, config: Value) -> Arc<dyn Handler> {
        let mut all = json!({"provision_key": "prov", "enable_client_credentials": true});
        all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        self.rig.world.handler_of(&PART, all, |build| build.plugin_id = crate::rig::id(id))
    }

    fn post_to(&self, handler: &dyn Handler, path: &str, headers: &str, body: &Value) -> (u16, Value, String) {
        let mut x = request(&format!("POST /o/oauth2/{path}\nContent-Type: application/json{headers}\n\n{body}"));
        x.client.scheme = Scheme::Https;
        x.matched = Some(matched(Some(60)));
        let reply = self.rig.refuses(handler, &mut x);
        assert_eq!(reply.headers.get_str("cache-control"), Some("no-store"));
        assert_eq!(reply.headers.get_str("pragma"), Some("no-cache"));
        let challenge = reply.headers.get_str("www-authenticate").unwrap_or_default().to_owned();
        (reply.status, json_body(&reply), challenge)
    }

    fn authorize(&self, body: Value) -> (u16, Value) {
        let (status, body, _) = self.post_to(&*self.oauth2, "authorize", "", &body);
        (status, body)
    }

    fn token(&self, body: Value) -> (u16, Value) {
        let (status, body, _) = self.post_to(&*self.oauth2, "token", "", &body);
        (status, body)
    }

    /// A token by client credentials.
    fn access_token(&self) -> String {
        let (status, body) = self.token(credentials(json!({"scope": "mail"})));
        assert_eq!(status, 200, "{body}");
        text(&body["access_token"])
    }

    /// Uses a resource of service 60 with header lines, or a query in front of them.
    fn resource(&self, text: &str) -> Result<Exchange, String> {
        self.resource_of(&*self.oauth2, 60, text)
    }

    fn resource_of(&self, handler: &dyn Handler, service: u8, text: &str) -> Result<Exchange, String> {
        let mut x = request(text);
        x.matched = Some(matched(Some(service)));
        match self.rig.access(handler, &mut x) {
            None => Ok(x),
            Some(reply) => Err(shown(&reply)),
        }
    }

    /// A code for `cid`, or for another client.
    fn code(&self, more: Value) -> String {
        let mut body = json!({"provision_key": "prov", "authenticated_userid": "u1", "response_type": "code",
            "client_id": "cid", "scope": "mail"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, body) = self.authorize(body);
        assert_eq!(status, 200, "{body}");
        let uri = text(&body["redirect_uri"]);
        uri.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn with(base: Value, more: Value) -> Value {
    let mut all: Map<String, Value> = base.as_object().unwrap().clone();
    all.extend(more.as_object().unwrap().clone());
    Value::Object(all)
}

fn credentials(more: Value) -> Value {
    with(json!({"client_id": "cid", "client_secret": "csec", "grant_type": "client_credentials"}), more)
}

fn refusal(error: &str, description: &str) -> Value {
    json!({"error": error, "error_description": description})
}

#[test]
fn a_client_gets_a_token_and_uses_it() {
    let given = given(json!({"token_expiration": 77}));
    let (status, body) = given.token(credentials(json!({"scope": "mail", "state": "s1"})));
    let token = text(&body["access_token"]);
    assert_eq!(token.len(), 32);
    assert_eq!(
        (status, &body),
        (200, &json!({"access_token": token, "expires_in": 77, "token_type": "bearer", "state": "s1"}))
    );

    for text in [
        format!("GET /o\nAuthorization: Bearer {token}"),
        format!("GET /o\nAuthorization: bearer   {token}"),
        format!("GET /o\nAuthorization: token {token}"),
        format!("GET /o\nAuthorization: {token}"),
        format!("GET /o?access_token={token}"),
        format!("POST /o\nContent-Type: application/x-www-form-urlencoded\n\naccess_token={token}"),
    ] {
        let x = given.resource(&text).unwrap();
        assert_eq!(upstream(&x, "x-consumer-username"), Some("alice"));
        assert_eq!(upstream(&x, "x-credential-identifier"), Some("cid"));
        assert_eq!(upstream(&x, "x-authenticated-scope"), Some("mail"));
        assert_eq!(upstream(&x, "x-authenticated-userid"), None);
    }
}

#[test]
fn a_resource_without_a_valid_token_is_refused() {
    let given = given(json!({}));
    let missing = r#"401 {"error":"invalid_request","error_description":"The access token is missing"} [Bearer]"#;
    assert_eq!(given.resource("GET /o").unwrap_err(), missing);
    assert_eq!(given.resource("GET /o?access_token=").unwrap_err(), missing);
    assert_eq!(given.resource("GET /o?access_token=a&access_token=b").unwrap_err(), missing);
    let invalid = concat!(
        r#"401 {"error":"invalid_token","error_description":"The access token is invalid or has expired"} "#,
        r#"[Bearer error="invalid_token", error_description="The access token is invalid or has expired"]"#
    );
    assert_eq!(given.resource("GET /o\nAuthorization: Bearer nope").unwrap_err(), invalid);
    assert_eq!(given.resource("GET /o\nAuthorization: Basic abc").unwrap_err(), invalid);
}

#[test]
fn the_realm_stands_in_every_challenge() {
    let given = given(json!({"realm": "R"}));
    assert!(given.resource("GET /o").unwrap_err().ends_with(r#"[Bearer realm="R"]"#));
    assert!(
        given.resource("GET /o?access_token=x").unwrap_err().contains(r#"[Bearer realm="R", error="invalid_token", "#)
    );
}

#[test]
fn a_token_expires_and_zero_means_never() {
    let short = given(json!({"token_expiration": 10}));
    let token = short.access_token();
    short.rig.clock.advance(Duration::from_secs(10));
    short.resource(&format!("GET /o?access_token={token}")).unwrap();
    short.rig.clock.advance(Duration::from_secs(1));
    short.resource(&format!("GET /o?access_token={token}")).unwrap_err();

    let endless = given(json!({"token_expiration": 0}));
    let (_, body) = endless.token(credentials(json!({})));
    assert_eq!(body.get("expires_in"), None);
    endless.rig.clock.advance(Duration::from_secs(1 << 30));
    endless.resource(&format!("GET /o?access_token={}", text(&body["access_token"]))).unwrap();
}

#[test]
fn endpoints_need_post_and_https() {
    let given = given(json!({"accept_http_if_already_terminated": true}));
    let mut x = request("GET /o/oauth2/token/");
    x.client.scheme = Scheme::Https;
    let reply = given.rig.refuses(&*given.oauth2, &mut x);
    let why = "The HTTP method GET is invalid for the token endpoint";
    assert_eq!((reply.status, json_body(&reply)), (405, refusal("invalid_method", why)));
    let challenge = reply.headers.get_str("www-authenticate").unwrap();
    assert_eq!(challenge, format!("Bearer error=\"invalid_method\", error_description=\"{why}\""));

    let ask = |trusted: bool, forwarded: &str| {
        let body = credentials(json!({}));
        let mut x = request(&format!("POST /oauth2/token\nContent-Type: application/json{forwarded}\n\n{body}"));
        x.client.trusted = trusted;
        x.matched = Some(matched(Some(60)));
        json_body(&given.rig.refuses(&*given.oauth2, &mut x))
    };
    let insecure = refusal("access_denied", "You must use HTTPS");
    assert_eq!(ask(false, "\nX-Forwarded-Proto: https"), insecure);
    assert_eq!(ask(true, ""), insecure);
    assert_eq!(ask(true, "\nX-Forwarded-Proto: http"), insecure);
    let two = "\nX-Forwarded-Proto: https\nX-Forwarded-Proto: https";
    assert_eq!(ask(true, two), refusal("access_denied", "Only one X-Forwarded-Proto header allowed"));
    assert!(ask(true, "\nX-Forwarded-Proto: https").get("access_token").is_some());
}

#[test]
fn the_token_endpoint_refuses_in_kongs_words() {
    let given = given(json!({"mandatory_scope": true}));
    let client = refusal("invalid_client", "Invalid client authentication");
    let cases = [
        (json!({}), client.clone()),
        (credentials(json!({"client_secret": "wrong", "scope": "mail"})), client.clone()),
        (credentials(json!({"client_id": "nobody", "scope": "mail"})), client.clone()),
        (json!({"client_id": "cid", "grant_type": "client_credentials", "scope": "mail"}), client.clone()),
        (credentials(json!({})), refusal("invalid_scope", "You must specify a scope")),
        (credentials(json!({"scope": "mail nope"})), refusal("invalid_scope", "\"nope\" is an invalid scope")),
        (credentials(json!({"scope": ["mail"]})), refusal("invalid_scope", "scope must be a string")),
        (credentials(json!({"grant_type": "nonsense"})), refusal("unsupported_grant_type", "Invalid grant_type")),
        (credentials(json!({"authenticated_userid": "u"})), refusal("invalid_provision_key", "Invalid provision_key")),
        (credentials(json!({"grant_type": "password"})), refusal("invalid_provision_key", "Invalid provision_key")),
        (
            credentials(json!({"grant_type": "password", "provision_key": "prov", "authenticated_userid": " "})),
            refusal("invalid_authenticated_userid", "Missing authenticated_userid parameter"),
        ),
        (credentials(json!({"grant_type": "refresh_token"})), refusal("invalid_request", "Invalid refresh_token")),
        (credentials(json!({"grant_type": "authorization_code"})), refusal("invalid_request", "Invalid code")),
        (credentials(json!({"grant_type": "password", "client_id": "bare"})), client),
        (
            credentials(json!({"grant_type": "refresh_token", "redirect_uri": "http://evil.test"})),
            refusal(
                "invalid_request",
                "Invalid redirect_uri that does not match with any redirect_uri created with the application",
            ),
        ),
        (
            credentials(json!({"client_id": "pub"})),
            refusal("invalid_request", "client_secret is disallowed for public clients"),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(given.token(body.clone()), (400, expected), "{body}");
    }
}

#[test]
fn of_several_faults_the_last_one_is_told() {
    let others = given(json!({"enable_client_credentials": false}));
    let unsupported = (400, refusal("unsupported_grant_type", "Invalid grant_type"));
    for client in ["cid", "bare", "nobody"] {
        assert_eq!(others.token(credentials(json!({"client_id": client}))), unsupported, "{client}");
    }
    let invalid = (400, refusal("invalid_client", "Invalid client authentication"));
    assert_eq!(others.token(credentials(json!({"client_secret": "wrong"}))), invalid);
    assert_eq!(others.token(credentials(json!({"client_id": "nobody", "grant_type": "x"}))), invalid);
    let given = given(json!({}));
    let named = json!({"client_id": "nobody", "authenticated_userid": "u"});
    let (status, body) = given.token(credentials(named));
    assert_eq!((status, body), (400, refusal("invalid_provision_key", "Invalid provision_key")));
}

#[test]
fn a_client_may_authenticate_by_header_and_is_challenged_there() {
    let given = given(json!({}));
    let basic = |pair: &str| format!("\nAuthorization: Basic {}", STANDARD.encode(pair));
    let body = json!({"grant_type": "client_credentials"});
    let (status, token, _) = given.post_to(&*given.oauth2, "token", &basic("cid:csec"), &body);
    assert_eq!((status, token.get("access_token").is_some()), (200, true));
    for pair in ["cid:wrong", "nobody:csec", "cid:", "cid"] {
        let (status, body, challenge) = given.post_to(&*given.oauth2, "token", &basic(pair), &body);
        assert_eq!((status, challenge.as_str()), (401, "Basic realm=\"OAuth2.0\""), "{pair}");
        assert_eq!(body["error"], "invalid_client");
    }
}

#[test]
fn a_hashed_secret_is_verified() {
    let given = given(json!({}));
    let mut hash = [0; 32];
    let rounds = std::num::NonZeroU32::new(10_000).unwrap();
    aws_lc_rs::pbkdf2::derive(aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA512, rounds, &[7; 16], b"hashed", &mut hash);
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    let phc = format!("$pbkdf2-sha512$i=10000,l=32${}${}", encode(&[7; 16]), encode(&hash));
    let fields = [("client_secret", phc.as_str()), ("client_type", "confidential")];
    let document = json!({"hash_secret": true, "redirect_uris": null});
    given.rig.add_credential("oauth2_credentials", 14, id(1), "hid", &fields, Some(document));
    assert_eq!(given.token(credentials(json!({"client_id": "hid", "client_secret": "hashed"}))).0, 200);
    assert_eq!(given.token(credentials(json!({"client_id": "hid", "client_secret": phc}))).0, 400);
}

#[test]
fn a_password_grant_speaks_for_the_user_and_can_be_refreshed() {
    let given = given(json!({}));
    let ask =
        json!({"grant_type": "password", "provision_key": "prov", "authenticated_userid": "u1", "scope": "mail phone"});
    let (_, first) = given.token(credentials(ask));
    let x = given.resource(&format!("GET /o?access_token={}", text(&first["access_token"]))).unwrap();
    assert_eq!(upstream(&x, "x-authenticated-userid"), Some("u1"));
    assert_eq!(upstream(&x, "x-authenticated-scope"), Some("mail phone"));

    let refresh =
        |token: &str| given.token(credentials(json!({"grant_type": "refresh_token", "refresh_token": token})));
    let (status, second) = refresh(&text(&first["refresh_token"]));
    assert_eq!(status, 200);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    given.resource(&format!("GET /o?access_token={}", text(&second["access_token"]))).unwrap();
    // The old pair is gone.
    given.resource(&format!("GET /o?access_token={}", text(&first["access_token"]))).unwrap_err();
    assert_eq!(refresh(&text(&first["refresh_token"])), (400, refusal("invalid_request", "Invalid refresh_token")));
    // It is the client's alone.
    let stolen = json!({"grant_type": "refresh_token", "client_id": "pub", "refresh_token": second["refresh_token"]});
    assert_eq!(given.token(stolen), (400, refusal("invalid_client", "Invalid client authentication")));
}

#[test]
fn a_refresh_token_stays_where_it_is_reused_or_persistent() {
    for (config, same) in
        [(json!({"reuse_refresh_token": true}), true), (json!({"persistent_refresh_token": true}), false)]
    {
        let given = given(config);
        let ask = json!({"grant_type": "password", "provision_key": "prov", "authenticated_userid": "u1"});
        let (_, first) = given.token(credentials(ask));
        for _ in 0..2 {
            let body = json!({"grant_type": "refresh_token", "refresh_token": first["refresh_token"]});
            let (status, next) = given.token(credentials(body));
            assert_eq!((status, next["refresh_token"] == first["refresh_token"]), (200, same));
            assert_ne!(next["access_token"], first["access_token"]);
        }
        let old = given.resource(&format!("GET /o?access_token={}", text(&first["access_token"])));
        assert_eq!(old.is_err(), same, "reused: the access token was replaced");
    }
}

#[test]
fn a_refresh_token_is_gone_after_its_time() {
    let given = given(json!({"refresh_token_ttl": 100}));
    let ask = json!({"grant_type": "password", "provision_key": "prov", "authenticated_userid": "u1"});
    let (_, first) = given.token(credentials(ask));
    given.rig.clock.advance(Duration::from_secs(101));
    let body = json!({"grant_type": "refresh_token", "refresh_token": first["refresh_token"]});
    assert_eq!(given.token(credentials(body)).0, 400);
}

#[test]
fn a_code_is_given_to_the_application_and_redeemed_once() {
    let given = given(json!({}));
    let body = json!({"provision_key": "prov", "authenticated_userid": "u1", "response_type": "code", "client_id": "cid",
        "scope": "mail", "state": "a b", "redirect_uri": "http://app.test/other?a=1"});
    let (status, answer) = given.authorize(body);
    let uri = text(&answer["redirect_uri"]);
    assert_eq!(status, 200);
    assert!(uri.starts_with("http://app.test/other?a=1&code=") && uri.ends_with("&state=a%20b"), "{uri}");

    let code = given.code(json!({}));
    let redeem = || given.token(credentials(json!({"grant_type": "authorization_code", "code": code})));
    let (status, token) = redeem();
    assert_eq!((status, token.get("refresh_token").is_some()), (200, true));
    let x = given.resource(&format!("GET /o?access_token={}", text(&token["access_token"]))).unwrap();
    assert_eq!(
        (upstream(&x, "x-authenticated-userid"), upstream(&x, "x-authenticated-scope")),
        (Some("u1"), Some("mail"))
    );
    assert_eq!(redeem(), (400, refusal("invalid_request", "Invalid code")));
}

#[test]
fn a_code_expires_and_is_good_for_its_client_only() {
    let given = given(json!({}));
    let code = given.code(json!({}));
    given.rig.clock.advance(Duration::from_secs(301));
    assert_eq!(given.token(credentials(json!({"grant_type": "authorization_code", "code": code}))).0, 400);
    let code = given.code(json!({}));
    let stolen = json!({"grant_type": "authorization_code", "client_id": "pub", "code": code});
    assert_eq!(given.token(stolen), (400, refusal("invalid_request", "Invalid code")));
}

#[test]
fn the_implicit_grant_puts_the_token_behind_the_hash() {
    let given = given(json!({}));
    let body =
        json!({"provision_key": "prov", "authenticated_userid": "u1", "response_type": "token", "client_id": "cid"});
    let (status, answer) = given.authorize(body);
    let uri = text(&answer["redirect_uri"]);
    assert_eq!(status, 200);
    assert!(
        uri.starts_with("http://app.test/cb#access_token=") && uri.ends_with("&expires_in=7200&token_type=bearer"),
        "{uri}"
    );
    assert!(!uri.contains("refresh_token"));
}

#[test]
fn the_authorization_endpoint_refuses_in_kongs_words() {
    let given = given(json!({}));
    let base =
        json!({"provision_key": "prov", "authenticated_userid": "u1", "response_type": "code", "client_id": "cid"});
    let plain = [
        (json!({"provision_key": "x"}), "invalid_provision_key", "Invalid provision_key"),
        (json!({"authenticated_userid": ""}), "invalid_authenticated_userid", "Missing authenticated_userid parameter"),
        (json!({"client_id": "nobody"}), "invalid_client", "Invalid client authentication"),
        (json!({"client_id": "bare"}), "invalid_client", "Invalid client authentication"),
    ];
    for (more, error, description) in plain {
        assert_eq!(given.authorize(with(base.clone(), more)), (400, refusal(error, description)));
    }
    let by_redirect = [
        (json!({"response_type": "x"}), "error=unsupported_response_type&error_description=Invalid%20response_type"),
        (json!({"scope": "x"}), "error=invalid_scope&error_description=%22x%22%20is%20an%20invalid%20scope"),
        (
            json!({"redirect_uri": "http://evil.test"}),
            "error=invalid_request&error_description=Invalid%20redirect_uri%20that",
        ),
        (
            json!({"code_challenge_method": "S256"}),
            "code_challenge%20is%20required%20when%20code_method%20is%20present",
        ),
        (
            json!({"code_challenge": "c", "code_challenge_method": "plain"}),
            "is%20not%20supported%2C%20must%20be%20S256",
        ),
        (json!({"client_id": "pub"}), "code_challenge%20is%20required%20for%20public%20clients"),
    ];
    for (more, expected) in by_redirect {
        let (status, body) = given.authorize(with(base.clone(), more));
        let uri = text(&body["redirect_uri"]);
        assert_eq!(status, 400);
        assert!(uri.starts_with("http://app.test/cb?") && uri.contains(expected), "{uri}");
    }
}

#[test]
fn a_challenge_must_be_met() {
    let given = given(json!({}));
    let verifier = "v".repeat(43);
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let ask = json!({"client_id": "pub", "code_challenge": challenge, "code_challenge_method": "S256"});
    let redeem = |code: &str, verifier: Value| {
        let body =
            json!({"grant_type": "authorization_code", "client_id": "pub", "code": code, "code_verifier": verifier});
        given.token(body)
    };
    let code = given.code(ask.clone());
    let refusals = [
        (json!(null), "invalid_request", "code_verifier is required for PKCE authorization requests"),
        (json!(5), "invalid_request", "code_verifier is not a string"),
        (json!("short"), "invalid_request", "code_verifier must be between 43 and 128 characters"),
        (json!("w".repeat(43)), "invalid_grant", "Invalid code"),
        (json!(challenge), "invalid_grant", "Invalid code"),
    ];
    for (given_verifier, error, description) in refusals {
        assert_eq!(redeem(&code, given_verifier), (400, refusal(error, description)));
    }
    assert_eq!(redeem(&code, json!(verifier)).0, 200);
}

#[test]
fn strict_pkce_is_for_every_client_and_none_for_nobody() {
    let base = json!({"provision_key": "prov", "authenticated_userid": "u1", "response_type": "code"});
    let (status, body) = given(json!({"pkce": "strict"})).authorize(with(base.clone(), json!({"client_id": "cid"})));
    assert!(status == 400 && text(&body["redirect_uri"]).contains("for%20confidential%20clients"));
    assert_eq!(given(json!({"pkce": "none"})).authorize(with(base, json!({"client_id": "pub"}))).0, 200);
}

#[test]
fn a_token_is_good_for_its_service_only_unless_it_is_global() {
    let local = given(json!({}));
    let token = format!("GET /o?access_token={}", local.access_token());
    let elsewhere = local.other(80, json!({}));
    assert!(local.resource_of(&*elsewhere, 61, &token).unwrap_err().contains("invalid or has expired"));

    let global = given(json!({"global_credentials": true}));
    let token = format!("GET /o?access_token={}", global.access_token());
    let elsewhere = global.other(80, json!({"global_credentials": true}));
    global.resource_of(&*elsewhere, 61, &token).unwrap();
    let strict = global.other(81, json!({}));
    let refused = global.resource_of(&*strict, 61, &token).unwrap_err();
    assert!(
        refused
            .contains("The access token is global, but the current plugin is configured without 'global_credentials'")
    );
}

#[test]
fn a_global_code_is_good_for_the_plugin_that_gave_it() {
    let given = given(json!({"global_credentials": true}));
    let code = given.code(json!({}));
    let elsewhere = given.other(80, json!({"global_credentials": true, "scopes": ["mail"]}));
    let body = credentials(json!({"grant_type": "authorization_code", "code": code}));
    let (status, answer, _) = given.post_to(&*elsewhere, "token", "", &body);
    assert_eq!((status, answer), (400, refusal("invalid_request", "Invalid code")));
    assert_eq!(given.token(body).0, 200);
}

#[test]
fn a_hidden_token_does_not_reach_the_upstream() {
    let given = given(json!({"hide_credentials": true}));
    let token = given.access_token();
    let x = given.resource(&format!("GET /o\nAuthorization: Bearer {token}")).unwrap();
    assert_eq!(upstream(&x, "authorization"), None);
    let x = given.resource(&format!("GET /o?a=1&access_token={token}")).unwrap();
    assert_eq!(x.query(), Some(&b"a=1"[..]));
    let form = "Content-Type: application/x-www-form-urlencoded";
    let x = given.resource(&format!("POST /o\n{form}\n\naccess_token={token}&b=2")).unwrap();
    assert_eq!(x.body.bytes(), Some(&b"b=2"[..]));
}

#[test]
fn headers_of_identity_that_the_client_sends_never_get_through() {
    let given = given(json!({"anonymous": "anon"}));
    let forged = "\nX-Authenticated-UserId: root\nX-Authenticated-Scope: admin\nX-Consumer-Custom-ID: forged";
    for text in [format!("GET /o{forged}"), format!("GET /o?access_token={}{forged}", given.access_token())] {
        let x = given.resource(&text).unwrap();
        assert_eq!(upstream(&x, "x-authenticated-userid"), None);
        assert_ne!(upstream(&x, "x-authenticated-scope"), Some("admin"));
        assert_ne!(upstream(&x, "x-consumer-custom-id"), Some("forged"));
    }
}

#[test]
fn a_token_of_a_client_that_is_gone_is_refused() {
    let given = given(json!({}));
    let token = given.access_token();
    given.rig.forget_credential(id(11));
    given.resource(&format!("GET /o?access_token={token}")).unwrap_err();
}

#[test]
fn a_store_that_is_down_is_our_fault_and_makes_nobody_anonymous() {
    let given = given(json!({"anonymous": "anon"}));
    let token = given.access_token();
    given.rig.store.down.store(true, Ordering::SeqCst);
    let answer = given.resource(&format!("GET /o?access_token={token}")).unwrap_err();
    assert!(answer.starts_with("500 "), "{answer}");
}

#[test]
fn a_body_is_read_only_where_a_token_may_be_in_it() {
    let given = given(json!({}));
    let mut x = request("POST /o\nContent-Type: text/plain\n\nlarge");
    x.matched = Some(matched(Some(60)));
    given.rig.refuses(&*given.oauth2, &mut x);
    assert!(x.body.is_unread());
}

#[test]
fn some_grant_must_be_on_and_mandatory_scopes_must_be_listed() {
    let expected = "at least one of these fields must be true: enable_authorization_code, enable_implicit_grant, enable_client_credentials, enable_password_grant";
    assert_eq!(gibbon_rig::refused(&PART, json!({}))["config"], expected);
    let faults = gibbon_rig::refused(&PART, json!({"enable_client_credentials": true, "mandatory_scope": true}));
    assert_eq!(faults["config"]["scopes"], "required field missing");
}
