//! Where each function of the plugin kit may be called, and where it says that it may not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gateway::{Files, Gateway, schema};

/// Phases by a letter: rewrite, access, header filter, body filter, log.
const PHASES: [(char, &str); 5] =
    [('r', "rewrite"), ('a', "access"), ('h', "header_filter"), ('b', "body_filter"), ('l', "log")];

/// Functions, arguments in Lua, and the phases in which they may be called.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("kong.client.get_ip", "", "rahbl"),
    ("kong.client.get_forwarded_ip", "", "rahbl"),
    ("kong.client.get_port", "", "rahbl"),
    ("kong.client.get_forwarded_port", "", "rahbl"),
    ("kong.client.get_credential", "", "ahbl"),
    ("kong.client.load_consumer", "'x', true", "ahbl"),
    ("kong.client.get_consumer", "", "ahbl"),
    ("kong.client.authenticate", "nil, {id = '1'}", "a"),
    ("kong.client.get_protocol", "", "ahbl"),
    ("kong.client.tls.get_full_client_certificate_chain", "", "rahbl"),
    ("kong.client.tls.request_client_certificate", "", ""),
    ("kong.client.tls.disable_session_reuse", "", ""),
    ("kong.client.tls.set_client_verify", "'NONE'", "ra"),
    ("kong.log.set_serialize_value", "'a', 1", "rahbl"),
    ("kong.log.serialize", "", "l"),
    ("kong.plugin.get_id", "", "rahbl"),
    ("kong.request.get_scheme", "", "rahbl"),
    ("kong.request.get_host", "", "rahbl"),
    ("kong.request.get_port", "", "rahbl"),
    ("kong.request.get_forwarded_scheme", "", "rahbl"),
    ("kong.request.get_forwarded_host", "", "rahbl"),
    ("kong.request.get_forwarded_port", "", "rahbl"),
    ("kong.request.get_forwarded_path", "", "rahbl"),
    ("kong.request.get_forwarded_prefix", "", "rahbl"),
    ("kong.request.get_http_version", "", "rahbl"),
    ("kong.request.get_method", "", "rahbl"),
    ("kong.request.get_path", "", "rahbl"),
    ("kong.request.get_raw_path", "", "rahbl"),
    ("kong.request.get_path_with_query", "", "rahbl"),
    ("kong.request.get_raw_query", "", "rahbl"),
    ("kong.request.get_query_arg", "'a'", "rahbl"),
    ("kong.request.get_query", "", "rahbl"),
    ("kong.request.get_header", "'a'", "rahbl"),
    ("kong.request.get_headers", "", "rahbl"),
    ("kong.request.get_raw_body", "", "ra"),
    ("kong.request.get_body", "", "ra"),
    ("kong.request.get_start_time", "", "rahbl"),
    ("kong.request.get_uri_captures", "", "rahbl"),
    ("kong.response.get_status", "", "hbl"),
    ("kong.response.get_header", "'a'", "hbl"),
    ("kong.response.get_headers", "", "hbl"),
    ("kong.response.get_source", "", "hbl"),
    ("kong.response.set_status", "200", "rah"),
    ("kong.response.set_header", "'x-a', '1'", "rah"),
    ("kong.response.add_header", "'x-a', '2'", "rah"),
    ("kong.response.clear_header", "'x-a'", "rah"),
    ("kong.response.set_headers", "{}", "rah"),
    ("kong.response.get_raw_body", "", "b"),
    ("kong.response.set_raw_body", "''", "b"),
    ("kong.router.get_route", "", "ahbl"),
    ("kong.router.get_service", "", "ahbl"),
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
    ("kong.service.response.get_status", "", "hbl"),
    ("kong.service.response.get_headers", "", "hbl"),
    ("kong.service.response.get_header", "'a'", "hbl"),
    ("kong.service.response.get_raw_body", "", "hbl"),
    ("kong.service.response.get_body", "", "hbl"),
    ("kong.node.get_id", "", "rahbl"),
    ("kong.node.get_hostname", "", "rahbl"),
    ("kong.node.get_memory_stats", "", "rahbl"),
    ("kong.nginx.get_subsystem", "", "rahbl"),
    ("kong.nginx.get_statistics", "", "rahbl"),
    ("kong.cluster.get_id", "", "rahbl"),
    ("kong.vault.is_reference", "'x'", "rahbl"),
    ("kong.ip.is_trusted", "'1.1.1.1'", "rahbl"),
];

/// A plugin that calls every function in every phase, and notes what became of it.
fn handler() -> String {
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
for _, phase in ipairs({{ 'rewrite', 'access', 'header_filter', 'body_filter', 'log' }}) do
  M[phase] = function()
    if kong.request.get_path() == '/report' then
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
    let files = Files::new().plugin("phases", &handler(), &schema("phases", "{ unused = { type = 'string' } }"));
    let gateway = Gateway::with(files, ",phases", "  - {name: request-size-limiting, config: {}}");
    gateway.rig.load(&format!(
        "_format_version: '3.0'\nservices:\n- {{name: up, url: 'http://{}', routes: [{{name: all, paths: [/]}}]}}\nplugins: [{{name: phases}}]",
        gateway.upstream.address()
    ));
    assert_eq!(gateway.get("/try?a=b").status(), 200);
    let last = format!("log {}", FUNCTIONS[FUNCTIONS.len() - 1].0);
    let end = Instant::now() + Duration::from_secs(30);
    let report = loop {
        let report = gateway.get("/report").json().unwrap();
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
