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

/// Phases by a letter.
const PHASES: [(char, &str); 7] = [
    ('c', "certificate"),
    ('r', "rewrite"),
    ('a', "access"),
    ('s', "response"),
    ('h', "header_filter"),
    ('b', "body_filter"),
    ('l', "log"),
];

/// Functions, arguments in Lua, and the phases in which they may be called.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("kong.client.get_ip", "", "crashbl"),
    ("kong.client.get_forwarded_ip", "", "crashbl"),
    ("kong.client.get_port", "", "crashbl"),
    ("kong.client.get_forwarded_port", "", "crashbl"),
    ("kong.client.get_credential", "", "ashbl"),
    ("kong.client.load_consumer", "'x', true", "ashbl"),
    ("kong.client.get_consumer", "", "ashbl"),
    ("kong.client.authenticate", "nil, {id = '1'}", "a"),
    ("kong.client.get_protocol", "", "ashbl"),
    ("kong.client.tls.get_full_client_certificate_chain", "", "rahbl"),
    ("kong.client.tls.request_client_certificate", "", "c"),
    ("kong.client.tls.disable_session_reuse", "", "c"),
    ("kong.client.tls.set_client_verify", "'NONE'", "ra"),
    ("kong.log.set_serialize_value", "'a', 1", "crashbl"),
    ("kong.log.serialize", "", "l"),
    ("kong.plugin.get_id", "", "rashbl"),
    ("kong.request.get_scheme", "", "rashbl"),
    ("kong.request.get_host", "", "rashbl"),
    ("kong.request.get_port", "", "crashbl"),
    ("kong.request.get_forwarded_scheme", "", "rashbl"),
    ("kong.request.get_forwarded_host", "", "rashbl"),
    ("kong.request.get_forwarded_port", "", "rashbl"),
    ("kong.request.get_forwarded_path", "", "rashbl"),
    ("kong.request.get_forwarded_prefix", "", "rashbl"),
    ("kong.request.get_http_version", "", "rashbl"),
    ("kong.request.get_method", "", "rashbl"),
    ("kong.request.get_path", "", "rashbl"),
    ("kong.request.get_raw_path", "", "rashbl"),
    ("kong.request.get_path_with_query", "", "rashbl"),
    ("kong.request.get_raw_query", "", "rashbl"),
    ("kong.request.get_query_arg", "'a'", "rashbl"),
    ("kong.request.get_query", "", "rashbl"),
    ("kong.request.get_header", "'a'", "rashbl"),
    ("kong.request.get_headers", "", "rashbl"),
    ("kong.request.get_raw_body", "", "ras"),
    ("kong.request.get_body", "", "ras"),
    ("kong.request.get_start_time", "", "rashbl"),
    ("kong.request.get_uri_captures", "", "rashbl"),
    ("kong.response.get_status", "", "shbl"),
    ("kong.response.get_header", "'a'", "shbl"),
    ("kong.response.get_headers", "", "shbl"),
    ("kong.response.get_source", "", "shbl"),
    ("kong.response.set_status", "200", "rash"),
    ("kong.response.set_header", "'x-a', '1'", "rash"),
    ("kong.response.add_header", "'x-a', '2'", "rash"),
    ("kong.response.clear_header", "'x-a'", "rash"),
    ("kong.response.set_headers", "{}", "rash"),
    ("kong.response.get_raw_body", "", "b"),
    ("kong.response.set_raw_body", "''", "b"),
    ("kong.router.get_route", "", "ashbl"),
    ("kong.router.get_service", "", "ashbl"),
    ("kong.service.set_retries", "1", "a"),
    ("kong.service.set_timeouts", "1000, 1000, 1000", "a"),
    ("kong.service.set_tls_verify", "false", "ra"),
    ("kong.service.set_tls_verify_depth", "1", "ra"),
    ("kong.service.request.enable_buffering", "", "ra"),
    ("kong.service.request.set_scheme", "'http'", "ra"),
    ("kong.service.request.set_path", "'/'", "ra"),
    ("kong.service.request.set_raw_query", "''", "ra"),
    ("kong.service.request.set_method", "'GET'", "ra"),
    ("kong.service.request.set_query", "{}", "ra"),
    ("kong.service.request.clear_query_arg", "'a'", "ra"),
    ("kong.service.request.set_header", "'x-b', '1'", "ra"),
    ("kong.service.request.add_header", "'x-b', '1'", "ra"),
    ("kong.service.request.clear_header", "'x-b'", "ra"),
    ("kong.service.request.set_headers", "{}", "ra"),
    ("kong.service.request.disable_tls", "", ""),
    ("kong.service.response.get_status", "", "shbl"),
    ("kong.service.response.get_headers", "", "shbl"),
    ("kong.service.response.get_header", "'a'", "shbl"),
    ("kong.service.response.get_raw_body", "", "shbl"),
    ("kong.service.response.get_body", "", "shbl"),
    ("kong.node.get_id", "", "crashbl"),
    ("kong.node.get_hostname", "", "crashbl"),
    ("kong.node.get_memory_stats", "", "crashbl"),
    ("kong.nginx.get_subsystem", "", "crashbl"),
    ("kong.nginx.get_statistics", "", "crashbl"),
    ("kong.cluster.get_id", "", "crashbl"),
    ("kong.vault.is_reference", "'x'", "crashbl"),
    ("kong.ip.is_trusted", "'1.1.1.1'", "crashbl"),
    ("kong.service.request.set_raw_body", "''", "ra"),
    ("kong.service.request.set_body", "{a = 'b'}, 'application/json'", "ra"),
    ("kong.log.notice", "'said'", "crashbl"),
    ("kong.log.inspect.off", "", "crashbl"),
    ("kong.log.inspect.on", "", "crashbl"),
    ("kong.vault.parse_reference", "'{vault://env/path}'", "crashbl"),
    ("kong.vault.update", "{}", "crashbl"),
    ("kong.vault.flush", "", "crashbl"),
    ("kong.tracing.start_span", "'a'", "crashbl"),
    ("kong.tracing.active_span", "", "crashbl"),
];

/// A plugin that calls every function in these phases, and notes what became of it.
fn handler(phases: &[&str]) -> String {
    let phases = phases.iter().map(|phase| format!("'{phase}'")).collect::<Vec<_>>().join(", ");
    let calls: String = FUNCTIONS
        .iter()
        .map(|(name, arguments, _)| format!("  {{ '{name}', function() return {name}({arguments}) end }},\n"))
        .collect();
    format!(
        "local calls = {{\n{calls}}}
local M = {{ PRIORITY = 10, VERSION = '1.0' }}
local function try(phase)
  for _, call in ipairs(calls) do
    local ok, err = pcall(call[2])
    local refused = not ok and tostring(err):find('function cannot be called in ' .. phase .. ' phase', 1, true)
    ngx.shared.kong:set(phase .. ' ' .. call[1], ok and 'ok' or refused and 'refused' or tostring(err))
  end
end
for _, phase in ipairs({{ {phases} }}) do
  M[phase] = function()
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

#[test]
fn every_function_works_where_it_may_be_called_and_says_so_where_not() {
    // One plugin cannot have both a response phase and filters.
    let files = Files::new()
        .plugin(
            "phases",
            &handler(&["certificate", "rewrite", "access", "header_filter", "body_filter", "log"]),
            &schema("phases", ""),
        )
        .plugin("phases-buffered", &handler(&["response"]), &schema("phases-buffered", ""));
    let secure = free_tcp_address().unwrap();
    let (plain, path) = (free_tcp_address().unwrap(), format!("{}/?.lua", files.path().display()));
    let mut settings = vec![
        ("plugins", "bundled,phases,phases-buffered".to_owned()),
        ("lua_package_path", path),
        ("proxy_listen", format!("{plain}, {secure} ssl")),
    ];
    settings.extend(gateway::certificate(files.path()));
    let upstream = upstream::echo().unwrap();
    let _rig = gateway::rig::Rig::start(
        &settings,
        &format!(
            "_format_version: '3.0'\nservices:\n- {{name: up, url: 'http://{}', routes: [{{name: all, paths: [/]}}]}}\nplugins: [{{name: phases}}, {{name: phases-buffered}}]",
            upstream.address()
        ),
    );
    let mut client = Client::connect_tls(secure, "h.test", &[]).unwrap();
    let answer = client.exchange("GET /try?a=b HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let last = format!("log {}", FUNCTIONS[FUNCTIONS.len() - 1].0);
    let end = Instant::now() + Duration::from_secs(30);
    let report = loop {
        let report = client::get(plain, "h.test", "/report").unwrap().json().unwrap();
        if report.get(&last).is_some() {
            break report;
        }
        assert!(Instant::now() < end, "the log phase did not report");
    };
    let mut wrong = BTreeMap::new();
    for (name, _, allowed) in FUNCTIONS {
        for (letter, phase) in PHASES {
            let wanted = if allowed.contains(letter) { "ok" } else { "refused" };
            let got = report[format!("{phase} {name}")].as_str().unwrap_or("nothing");
            if got != wanted {
                wrong.insert(format!("{phase} {name}"), format!("wanted {wanted}, got {got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
