//! What Lua decides about connections: the next target after a failed try, certificates shown to upstreams and to peers of
//! sockets, whom to trust, and names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::net::SocketAddr;

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream;
use rig::Rig;
use serde_json::json;

/// A gateway with one service at this URL, and a trusted pre-function.
fn gateway(url: &str, access: &str) -> Rig {
    let plugin = json!({"name": "pre-function", "config": {"access": [access]}});
    let config = format!(
        "_format_version: '3.0'\nservices: [{{name: up, url: '{url}', retries: 2, routes: [{{name: all, paths: [/]}}]}}]\nplugins: [{plugin}]"
    );
    Rig::start(&[("untrusted_lua", "on".to_owned())], &config)
}

fn get(rig: &Rig) -> Response {
    client::get(rig.proxy, "h.test", "/").unwrap()
}

#[test]
fn the_next_target_is_what_the_retry_callback_says() {
    let (dead, alive) = (upstream::refusing().unwrap(), upstream::echo().unwrap());
    let rig = gateway(
        &format!("http://{dead}"),
        &format!(
            "local port = {dead}
             kong.service.set_target('127.0.0.1', port)
             kong.service.set_target_retry_callback(function()
               kong.ctx.plugin.asked = (kong.ctx.plugin.asked or 0) + 1
               kong.service.request.set_header('x-asked', kong.ctx.plugin.asked)
               if kong.ctx.plugin.asked == 2 then kong.service.set_target('127.0.0.1', {alive}) end
               return true
             end)",
            dead = dead.port(),
            alive = alive.address().port()
        ),
    );
    let body = "x".repeat(10_000);
    let head =
        format!("POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let answer = client::once(rig.proxy, head + &body).unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let request = alive.next_request().unwrap();
    assert_eq!(request.header("x-asked"), Some("2"));
    assert_eq!(request.body.len(), body.len(), "what was sent first is sent again");
}

#[test]
fn a_retry_callback_can_give_up_and_tries_have_an_end() {
    let dead = upstream::refusing().unwrap();
    let code = |callback: &str| format!("kong.service.set_target_retry_callback(function() {callback} end)");
    let giving_up = gateway(&format!("http://{dead}"), &code("return nil, 'no more'"));
    assert_eq!(get(&giving_up).status(), 500);
    let failing = gateway(&format!("http://{dead}"), &code("error('broken')"));
    assert_eq!(get(&failing).status(), 500);
    let endless = gateway(&format!("http://{dead}"), &code("return true"));
    assert_eq!(get(&endless).status(), 502);
}

/// A TLS server for `localhost` that asks for a certificate and answers with what it was shown.
fn asking_peer(folder: &std::path::Path) -> (Rig, SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("peer.crt"), folder.join("peer.key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (plain, secure) = (free_tcp_address().unwrap(), free_tcp_address().unwrap());
    let settings = [
        ("untrusted_lua", "on".to_owned()),
        ("proxy_listen", format!("{plain}, {secure} ssl")),
        ("ssl_cert", cert.display().to_string()),
        ("ssl_cert_key", key.display().to_string()),
    ];
    let plugin = json!({"name": "pre-function", "config": {
        "certificate": ["kong.client.tls.request_client_certificate()"],
        "access": ["kong.response.exit(200, kong.client.tls.get_full_client_certificate_chain() or 'nobody')"]}});
    let config = format!("_format_version: '3.0'\nroutes: [{{name: all, paths: [/]}}]\nplugins: [{plugin}]");
    (Rig::start(&settings, &config), secure, made.cert.pem())
}

/// Lua that has a certificate and its key in `chain` and `key`, and the certificate.
fn shown() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec!["caller.test".to_owned()]).unwrap();
    let code = format!(
        "local ssl = require 'ngx.ssl'
         local chain = assert(ssl.parse_pem_cert([[{}]]))
         local key = assert(ssl.parse_pem_priv_key([[{}]]))\n",
        made.cert.pem(),
        made.signing_key.serialize_pem()
    );
    (code, made.cert.pem())
}

fn same(a: &str, b: &str) -> bool {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    bare(a) == bare(b)
}

#[test]
fn an_upstream_is_shown_the_certificate_that_lua_chose() {
    let folder = tempfile::tempdir().unwrap();
    let (_peer, secure, _) = asking_peer(folder.path());
    let url = format!("https://localhost:{}", secure.port());
    assert_eq!(get(&gateway(&url, "return")).text(), "nobody");
    let (code, certificate) = shown();
    let answer = get(&gateway(&url, &format!("{code} assert(kong.service.set_tls_cert_key(chain, key))")));
    assert!(same(&answer.text(), &certificate), "{}", answer.text());
}

#[test]
fn an_upstream_is_verified_by_the_store_that_lua_gave() {
    let folder = tempfile::tempdir().unwrap();
    let (_peer, secure, certificate) = asking_peer(folder.path());
    let url = format!("https://localhost:{}", secure.port());
    let code = |pem: &str| {
        format!(
            "local store = require('resty.openssl.x509.store').new()
             assert(store:add(assert(require('resty.openssl.x509').new([[{pem}]]))))
             assert(kong.service.set_tls_verify(true))
             assert(kong.service.set_tls_verify_store(store))"
        )
    };
    let trusted = get(&gateway(&url, &code(&certificate)));
    assert_eq!(trusted.status(), 200, "{}", trusted.text());
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    assert_eq!(get(&gateway(&url, &code(&other))).status(), 502);
}

#[test]
fn a_socket_shows_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (_peer, secure, _) = asking_peer(folder.path());
    let (code, certificate) = shown();
    let rig = gateway(
        "http://127.0.0.1:1",
        &format!(
            "{code}
             local socket = ngx.socket.tcp()
             assert(socket:connect('127.0.0.1', {port}))
             assert(socket:setclientcert(chain, key))
             assert(socket:sslhandshake(nil, 'localhost', false))
             assert(socket:send('GET / HTTP/1.0\\r\\nHost: h.test\\r\\n\\r\\n'))
             local answer = assert(socket:receive('*a'))
             local http = assert(require('resty.http').new():request_uri('https://127.0.0.1:{port}/', {{
               ssl_verify = false, ssl_client_cert = chain, ssl_client_priv_key = key }}))
             assert(answer:find(http.body, 1, true))
             kong.response.exit(200, http.body)",
            port = secure.port()
        ),
    );
    let answer = get(&rig);
    assert!(same(&answer.text(), &certificate), "{}", answer.text());
}

#[test]
fn names_are_resolved_as_for_connections() {
    let rig = gateway(
        "http://127.0.0.1:1",
        "local ip, port = assert(kong.dns.toip('localhost', 80))
         local found = assert(kong.dns.resolve('localhost'))
         local none, why = kong.dns.toip('nowhere.invalid', 80)
         kong.response.exit(200, { ip = ip, port = port, found = found[1].address, none = none == nil, why = type(why) })",
    );
    let answer = get(&rig).json().unwrap();
    assert!(answer["ip"] == "127.0.0.1" || answer["ip"] == "::1", "{answer}");
    assert_eq!((&answer["port"], &answer["found"]), (&json!(80), &answer["ip"]));
    assert_eq!((&answer["none"], &answer["why"]), (&json!(true), &json!("string")));
}

#[test]
fn networks_have_their_addresses() {
    let plugin = json!({"name": "pre-function", "config": {"access": ["
        local ipmatcher = require 'resty.ipmatcher'
        local list = assert(ipmatcher.new({ '10.0.0.0/8', '192.168.1.7', 'fd00::/8' }))
        local valued = assert(ipmatcher.new_with_value({ ['10.1.0.0/16'] = 'office' }))
        local none, wrong = ipmatcher.new({ '10.0.0.0/8', 'nonsense' })
        local odd, why = list:match('nonsense')
        kong.response.exit(200, {
          inside = { list:match('10.1.2.3'), list:match('192.168.1.7'), list:match('fd00::1'), list:match_bin('\\10\\0\\0\\1') },
          outside = { list:match('11.1.2.3'), list:match('192.168.1.8'), list:match('::1') },
          value = valued:match('10.1.9.9'), wrong = wrong, odd = odd, why = why,
          families = { ipmatcher.parse_ipv4('1.2.3.4'), ipmatcher.parse_ipv6('::1'), ipmatcher.parse_ipv4('::1') },
          trusted = { kong.ip.is_trusted('10.9.9.9'), kong.ip.is_trusted('11.9.9.9') } })"]}});
    let settings = [("untrusted_lua", "on".to_owned()), ("trusted_ips", "10.0.0.0/8,unix:".to_owned())];
    let config = format!("_format_version: '3.0'\nroutes: [{{name: all, paths: [/]}}]\nplugins: [{plugin}]");
    let answer = get(&Rig::start(&settings, &config)).json().unwrap();
    assert_eq!(answer["inside"], json!([true, true, true, true]), "{answer}");
    assert_eq!(answer["outside"], json!([false, false, false]));
    assert_eq!((&answer["value"], &answer["odd"]), (&json!("office"), &json!(false)));
    assert_eq!(answer["wrong"], "invalid ip address: nonsense");
    assert_eq!(answer["why"], "invalid ip address, not ipv4 and ipv6");
    assert_eq!(answer["families"], json!([true, true, false]));
    assert_eq!(answer["trusted"], json!([true, false]));
}
