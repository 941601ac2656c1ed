//! Native plugins and Lua together, through a whole node: expressions in settings, and values that both share.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::{Files, Gateway};
use serde_json::json;

const TEMPLATES: &str = r#"
  - name: pre-function
    config: {access: ['kong.ctx.shared.version = 7 kong.ctx.shared.who = kong.request.get_header("x-who")']}
  - name: request-transformer
    config:
      replace: {uri: '/v$(shared.version)$(headers.x_path or "/none")'}
      add:
        headers:
        - X-Tail:$(headers["authorization"]:sub(8))
        - X-Who:unused
        - X-Shared:$(shared.who)-$(shared.version + 1)
        - X-Nothing:$(shared.nothing)
        - X-Made:$((function() return query_params.q:upper() end)())
        querystring: ['n:$(string.format("%03d", #headers.host))']
"#;

#[test]
fn templates_of_the_transformer_are_lua_and_see_what_other_plugins_left() {
    let gateway = Gateway::with(Files::new(), "", TEMPLATES);
    for _ in 0..4 {
        let head = "GET /?q=abc HTTP/1.1\r\nAuthorization: Bearer tail\r\nX-Who: ann\r\nX-Path: /a?b";
        assert_eq!(gateway.send(head, "").status(), 200);
        let seen = gateway.upstream.next_request().unwrap();
        assert_eq!(seen.target, "/v7/a%3Fb?n=008&q=abc", "what is looked up stays inside the path");
        assert_eq!((seen.header("x-tail"), seen.header("x-made")), (Some("tail"), Some("ABC")));
        assert_eq!((seen.header("x-shared"), seen.header("x-nothing")), (Some("ann-8"), None));
    }
}

#[test]
fn a_template_that_fails_fails_its_request_and_leaks_nothing() {
    let plugins = "  - {name: request-transformer, config: {add: {headers: ['X-Tail:$(headers.authorization:sub(8))', 'X-File:$(io.open(\"/etc/hostname\"))']}}}";
    let gateway = Gateway::with(Files::new(), "", plugins);
    let answer = gateway.get("/");
    assert_eq!((answer.status(), gateway.upstream.requests().len()), (500, 0));
    assert_eq!(answer.json().unwrap()["message"], "An unexpected error occurred");
}

#[test]
fn a_value_from_lua_cannot_end_the_line_of_a_header() {
    let plugins = "  - {name: request-transformer, config: {add: {headers: ['X-A:$(\"a\\r\\nX-Evil: 1\")']}}}";
    let gateway = Gateway::with(Files::new(), "", plugins);
    assert_eq!(gateway.get("/").status(), 200);
    assert_eq!(gateway.upstream.next_request().unwrap().header("x-evil"), None);
}

#[test]
fn where_untrusted_lua_is_off_every_template_fails_its_request() {
    for template in ["$(headers.x)", "$(shared.x)"] {
        let plugins = format!("  - {{name: request-transformer, config: {{add: {{headers: ['X-A:{template}']}}}}}}");
        let gateway = Gateway::set(Files::new(), "", &plugins, &[("untrusted_lua", "off")]);
        assert_eq!(gateway.get("/").status(), 500);
    }
}

#[test]
fn a_template_that_does_not_parse_is_refused() {
    let gateway = Gateway::with(Files::new(), "", "  - {name: request-transformer}");
    let config =
        "{_format_version: '3.0', plugins: [{name: request-transformer, config: {add: {headers: ['a:$(1 +)']}}}]}";
    let refused = gateway.rig.running().declarative.replace(config.as_bytes()).err().unwrap();
    assert!(format!("{refused:#}").contains("is not in supported format"), "{refused:#}");
}

/// HS256 by the secret `s` over the claims.
fn token(claims: &serde_json::Value) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"s");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}

#[test]
fn lua_finds_the_token_that_jwt_accepted() {
    let plugins = "  - {name: jwt}\n  - {name: post-function, config: {access: ['kong.service.request.set_header(\"X-Token\", kong.ctx.shared.authenticated_jwt_token)']}}\nconsumers:\n- {username: jo, jwt_secrets: [{key: k, secret: s}]}";
    let gateway = Gateway::with(Files::new(), "", plugins);
    let token = token(&json!({"iss": "k"}));
    assert_eq!(gateway.get(&format!("/?jwt={token}")).status(), 200);
    assert_eq!(gateway.upstream.next_request().unwrap().header("x-token"), Some(&*token));
}

#[test]
fn groups_that_lua_vouches_for_count_in_acl() {
    let plugins = "  - {name: pre-function, config: {access: ['kong.ctx.shared.authenticated_groups = { kong.request.get_header(\"x-group\"), \"users\" }']}}\n  - {name: acl, config: {allow: [admins]}}";
    let gateway = Gateway::with(Files::new(), "", plugins);
    assert_eq!(gateway.send("GET / HTTP/1.1\r\nX-Group: admins", "").status(), 200);
    let seen = gateway.upstream.next_request().unwrap();
    assert_eq!(seen.header("x-authenticated-groups"), Some("admins, users"));
    assert_eq!(gateway.send("GET / HTTP/1.1\r\nX-Group: guests", "").status(), 403);
}
