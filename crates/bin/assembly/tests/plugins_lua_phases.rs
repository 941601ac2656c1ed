//! Where each function of the plugin kit may be called, and where it says that it may not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gateway::{Files, schema};
use gibbon_testkit::client::{self, Client};
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream;

/// The phases of a request that a test can be in.
const PHASES: [&str; 7] = ["certificate", "rewrite", "access", "response", "header_filter", "body_filter", "log"];

/// The functions of the kit, and where each may be called.
const KIT: &str = include_str!("lua/kit.txt");

/// Functions with arguments in Lua; PORT is the upstream's, `chain()` and `key()` are a certificate and its key.
const CALLS: &[(&str, &str)] = &[
    ("kong.client.get_ip", ""),
    ("kong.client.get_forwarded_ip", ""),
    ("kong.client.get_port", ""),
    ("kong.client.get_forwarded_port", ""),
    ("kong.client.get_credential", ""),
    ("kong.client.load_consumer", "'x', true"),
    ("kong.client.get_consumer", ""),
    ("kong.client.authenticate", "nil, {id = '1'}"),
    ("kong.client.get_protocol", ""),
    ("kong.client.tls.get_full_client_certificate_chain", ""),
    ("kong.client.tls.request_client_certificate", ""),
    ("kong.client.tls.disable_session_reuse", ""),
    ("kong.client.tls.set_client_verify", "'NONE'"),
    ("kong.log.set_serialize_value", "'a', 1"),
    ("kong.log.serialize", ""),
    ("kong.plugin.get_id", ""),
    ("kong.request.get_scheme", ""),
    ("kong.request.get_host", ""),
    ("kong.request.get_port", ""),
    ("kong.request.get_forwarded_scheme", ""),
    ("kong.request.get_forwarded_host", ""),
    ("kong.request.get_forwarded_port", ""),
    ("kong.request.get_forwarded_path", ""),
    ("kong.request.get_forwarded_prefix", ""),
    ("kong.request.get_http_version", ""),
    ("kong.request.get_method", ""),
    ("kong.request.get_path", ""),
    ("kong.request.get_raw_path", ""),
    ("kong.request.get_path_with_query", ""),
    ("kong.request.get_raw_query", ""),
    ("kong.request.get_query_arg", "'a'"),
    ("kong.request.get_query", ""),
    ("kong.request.get_header", "'a'"),
    ("kong.request.get_headers", ""),
    ("kong.request.get_raw_body", ""),
    ("kong.request.get_body", ""),
    ("kong.request.get_start_time", ""),
    ("kong.request.get_uri_captures", ""),
    ("kong.response.get_status", ""),
    ("kong.response.get_header", "'a'"),
    ("kong.response.get_headers", ""),
    ("kong.response.get_source", ""),
    ("kong.response.set_status", "200"),
    ("kong.response.set_header", "'x-a', '1'"),
    ("kong.response.add_header", "'x-a', '2'"),
    ("kong.response.clear_header", "'x-a'"),
    ("kong.response.set_headers", "{}"),
    ("kong.response.get_raw_body", ""),
    ("kong.response.set_raw_body", "''"),
    ("kong.router.get_route", ""),
    ("kong.router.get_service", ""),
    ("kong.service.set_retries", "1"),
    ("kong.service.set_timeouts", "1000, 1000, 1000"),
    ("kong.service.set_tls_verify", "false"),
    ("kong.service.set_tls_verify_depth", "1"),
    ("kong.service.request.enable_buffering", ""),
    ("kong.service.request.set_scheme", "'http'"),
    ("kong.service.request.set_path", "'/'"),
    ("kong.service.request.set_raw_query", "''"),
    ("kong.service.request.set_method", "'GET'"),
    ("kong.service.request.set_query", "{}"),
    ("kong.service.request.clear_query_arg", "'a'"),
    ("kong.service.request.set_header", "'x-b', '1'"),
    ("kong.service.request.add_header", "'x-b', '1'"),
    ("kong.service.request.clear_header", "'x-b'"),
    ("kong.service.request.set_headers", "{}"),
    ("kong.service.request.disable_tls", ""),
    ("kong.service.response.get_status", ""),
    ("kong.service.response.get_headers", ""),
    ("kong.service.response.get_header", "'a'"),
    ("kong.service.response.get_raw_body", ""),
    ("kong.service.response.get_body", ""),
    ("kong.node.get_id", ""),
    ("kong.node.get_hostname", ""),
    ("kong.node.get_memory_stats", ""),
    ("kong.nginx.get_subsystem", ""),
    ("kong.nginx.get_statistics", ""),
    ("kong.cluster.get_id", ""),
    ("kong.vault.is_reference", "'x'"),
    ("kong.ip.is_trusted", "'1.1.1.1'"),
    ("kong.service.request.set_raw_body", "''"),
    ("kong.service.request.set_body", "{a = 'b'}, 'application/json'"),
    ("kong.log.notice", "'said'"),
    ("kong.log.inspect.off", ""),
    ("kong.log.inspect.on", ""),
    ("kong.vault.parse_reference", "'{vault://env/path}'"),
    ("kong.vault.update", "{}"),
    ("kong.vault.flush", ""),
    ("kong.tracing.start_span", "'a'"),
    ("kong.tracing.active_span", ""),
    ("kong.log.debug", "'said'"),
    ("kong.log.info", "'said'"),
    ("kong.log.warn", "'said'"),
    ("kong.log.err", "'said'"),
    ("kong.log.crit", "'said'"),
    ("kong.log.alert", "'said'"),
    ("kong.log.emerg", "'said'"),
    ("kong.response.exit", "418"),
    ("kong.response.error", "418"),
    ("kong.service.set_upstream", "'pool'"),
    ("kong.service.set_target", "'127.0.0.1', PORT"),
    ("kong.service.set_target_retry_callback", "function() return true end"),
    ("kong.service.set_tls_cert_key", "chain(), key()"),
    ("kong.service.set_tls_verify_store", "require('resty.openssl.x509.store').new()"),
    ("kong.telemetry.log", "'phases', {}, 'kind', 'text'"),
    ("kong.tracing.set_active_span", "nil"),
    ("kong.tracing.process_span", "function() end"),
    ("kong.tracing:set_should_sample", "false"),
    ("kong.tracing:get_sampling_decision", "nil, 0"),
    ("kong.vault.get", "'{vault://env/path}'"),
    ("kong.vault.try", "function() return true end, {}"),
    ("kong.vault.init_worker", ""),
    ("kong.vault.warmup", "{}"),
];

/// Methods of a span, which `plugins_lua_node.rs` calls.
const OF_SPANS: &str = "span:";

/// What ends the phase in which it is called, so each call takes a request of its own.
const ENDING: [&str; 2] = ["kong.response.exit", "kong.response.error"];

/// Kong names phases for these and refuses none.
const NOT_REFUSED: [&str; 3] = ["kong.log.", "kong.tracing", "kong.telemetry.log"];

/// The phases in which a function may be called.
fn allowed(name: &str) -> Vec<&'static str> {
    let line = KIT.lines().find_map(|line| {
        line.strip_prefix(name)?.strip_prefix(": ").or_else(|| (line == format!("{name}:")).then_some(""))
    });
    let line = line.unwrap_or("");
    let free = line.is_empty() || NOT_REFUSED.iter().any(|free| name.starts_with(free) && !REFUSED.contains(&name));
    // An answer that is buffered is there in the response phase, whatever the list says.
    let buffered = name.starts_with("kong.service.response.");
    let may = |phase: &str| free || line.split(' ').any(|one| one == phase) || buffered && phase == "response";
    PHASES.into_iter().filter(|phase| may(phase)).collect()
}

/// Of those that are not refused by name, the ones that are.
const REFUSED: [&str; 2] = ["kong.log.set_serialize_value", "kong.log.serialize"];

#[test]
fn every_function_of_the_kit_is_called() {
    let called = |name: &str| CALLS.iter().any(|(call, _)| *call == name);
    let names = KIT
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(": ").map(|(name, _)| name).or(line.strip_suffix(':')));
    let missing: Vec<&str> = names.filter(|name| !called(name) && !name.starts_with(OF_SPANS)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A plugin that calls every function in these phases, and notes what became of it.
fn handler(phases: &[&str], port: u16) -> String {
    let phases = phases.iter().map(|phase| format!("'{phase}'")).collect::<Vec<_>>().join(", ");
    let call = |(name, arguments): &(&str, &str)| {
        let arguments = arguments.replace("PORT", &port.to_string());
        let elsewhere = if ENDING.contains(name) { allowed(name).join(" = 1, ") + " = 1" } else { String::new() };
        format!("  {{ '{name}', function() return {name}({arguments}) end, {{ {elsewhere} }} }},\n")
    };
    let calls: String = CALLS.iter().map(call).collect();
    let made = rcgen::generate_simple_self_signed(vec!["h.test".to_owned()]).unwrap();
    let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    format!(
        "local function chain() return assert(require('ngx.ssl').parse_pem_cert([[{cert}]])) end
local function key() return assert(require('ngx.ssl').parse_pem_priv_key([[{key}]])) end
local calls = {{\n{calls}}}
local M = {{ PRIORITY = 10, VERSION = '1.0' }}
local function try(phase)
  for _, call in ipairs(calls) do
    local ok, err = true, nil
    if not call[3][phase] then
      ok, err = pcall(call[2])
    end
    local refused = not ok and tostring(err):find('function cannot be called in ' .. phase .. ' phase', 1, true)
    ngx.shared.kong:set(phase .. ' ' .. call[1], ok and 'ok' or refused and 'refused' or tostring(err))
  end
end
for _, phase in ipairs({{ {phases} }}) do
  M[phase] = function()
    if phase ~= 'certificate' and kong.request.get_path() == '/end' then
      return
    end
    if phase ~= 'certificate' and kong.request.get_path() == '/report' then
      if phase == 'access' then
        local report = {{}}
        for _, key in ipairs(ngx.shared.kong:get_keys(0)) do report[key] = ngx.shared.kong:get(key) end
        return kong.response.exit(200, report)
      end
      return
    end
    try(phase)
  end
end
return M"
    )
}

/// A plugin that ends a request with the function and in the phase that the query names.
const ENDER: &str = "
local M = { PRIORITY = 10, VERSION = '1.0' }
for _, phase in ipairs({ 'rewrite', 'access', 'header_filter' }) do
  M[phase] = function()
    if kong.request.get_query_arg('phase') == phase then
      kong.response[kong.request.get_query_arg('end')](418)
    end
  end
end
return M";

struct Node {
    _rig: gateway::rig::Rig,
    _upstream: upstream::Upstream,
    _files: Files,
    plain: std::net::SocketAddr,
    secure: std::net::SocketAddr,
}

fn node() -> Node {
    let upstream = upstream::echo().unwrap();
    let port = upstream.address().port();
    let whole = handler(&["certificate", "rewrite", "access", "header_filter", "body_filter", "log"], port);
    // One plugin cannot have both a response phase and filters.
    let files = Files::new()
        .plugin("phases", &whole, &schema("phases", ""))
        .plugin("phases-buffered", &handler(&["response"], port), &schema("phases-buffered", ""))
        .plugin("ender", ENDER, &schema("ender", ""));
    let (plain, secure) = (free_tcp_address().unwrap(), free_tcp_address().unwrap());
    let mut settings = vec![
        ("plugins", "bundled,phases,phases-buffered,ender".to_owned()),
        ("lua_package_path", format!("{}/?.lua", files.path().display())),
        ("proxy_listen", format!("{plain}, {secure} ssl")),
    ];
    settings.extend(gateway::certificate(files.path()));
    let config = format!(
        "_format_version: '3.0'\nupstreams: [{{name: pool, targets: [{{target: '{address}'}}]}}]\nservices:\n- {{name: up, url: 'http://{address}', routes: [{{name: all, paths: [/]}}, {{name: end, paths: [/end]}}]}}\nplugins: [{{name: phases}}, {{name: phases-buffered}}, {{name: ender}}]",
        address = upstream.address()
    );
    let rig = gateway::rig::Rig::start(&settings, &config);
    Node { _rig: rig, _upstream: upstream, _files: files, plain, secure }
}

#[test]
fn every_function_works_where_it_may_be_called_and_says_so_where_not() {
    let node = node();
    let mut client = Client::connect_tls(node.secure, "h.test", &[]).unwrap();
    let answer = client.exchange("GET /try?a=b HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let last = format!("log {}", CALLS[CALLS.len() - 1].0);
    let end = Instant::now() + Duration::from_secs(30);
    let report = loop {
        let report = client::get(node.plain, "h.test", "/report").unwrap().json().unwrap();
        if report.get(&last).is_some() {
            break report;
        }
        assert!(Instant::now() < end, "the log phase did not report");
    };
    let mut wrong = BTreeMap::new();
    for (name, _) in CALLS {
        let allowed = allowed(name);
        for phase in PHASES {
            let wanted = if allowed.contains(&phase) { "ok" } else { "refused" };
            let got = report[format!("{phase} {name}")].as_str().unwrap_or("nothing");
            if got != wanted {
                wrong.insert(format!("{phase} {name}"), format!("wanted {wanted}, got {got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_ends_a_request_does_so_in_every_phase_where_it_may() {
    let node = node();
    for name in ENDING {
        for phase in allowed(name) {
            let function = name.rsplit('.').next().unwrap();
            let answer = client::get(node.plain, "h.test", &format!("/end?end={function}&phase={phase}")).unwrap();
            assert_eq!(answer.status(), 418, "{name} in {phase}: {}", answer.text());
        }
    }
}
