//! What Lua plugins do beside requests: events between workers, handshakes, streams, secrets, fields of logs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use gateway::{Files, Gateway, schema, trusted};
use gibbon_testkit::client::Client;
use gibbon_testkit::ports::free_tcp_address;
use gibbon_testkit::upstream;
use serde_json::{Value, json};

/// Looks until it is so.
fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !look() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

const TELLER: &str = r#"
local Teller = { PRIORITY = 1, VERSION = "1.0.0" }
local heard, once, alone = {}, 0, 0

function Teller:init_worker()
  kong.worker_events.register(function(data, event, source, worker)
    heard[#heard + 1] = ("%s/%s/%s"):format(source, event, data.text)
  end, "teller", "said")
  local ev = require "resty.worker.events"
  ev.register(function() once = once + 1 end, "teller", "once")
  ev.register(function() alone = alone + 1 end, "teller", "alone")
end

function Teller:access()
  local say = kong.request.get_query_arg("say")
  if say then
    for i = 1, 3 do
      assert(kong.worker_events.post("teller", "said", { text = say .. i }))
    end
    kong.worker_events.post("teller", "once", nil, "unique")
    kong.worker_events.post_local("teller", "alone")
    return kong.response.exit(204)
  end
  return kong.response.exit(200, { worker = ngx.worker.id(), heard = heard, once = once, alone = alone })
end

return Teller
"#;

#[test]
fn what_one_worker_posts_all_hear_in_order() {
    let files = Files::new().plugin("teller", TELLER, &schema("teller", ""));
    let gateway = Gateway::set(files, ",teller", "  - {name: teller}", &[("nginx_worker_processes", "4")]);
    assert_eq!(gateway.get("/?say=a").status(), 204);
    let mut by_worker: Vec<Option<Value>> = vec![None; 4];
    eventually("all four workers hear", || {
        let said = gateway.get("/").json().unwrap();
        let worker = usize::try_from(said["worker"].as_u64().unwrap()).unwrap();
        by_worker[worker] = Some(said);
        let whole = json!(["teller/said/a1", "teller/said/a2", "teller/said/a3"]);
        by_worker.iter().flatten().filter(|said| said["heard"] == whole).count() == 4
    });
    let count = |name: &str| -> u64 { by_worker.iter().flatten().map(|said| said[name].as_u64().unwrap()).sum() };
    assert_eq!((count("once"), count("alone")), (1, 1), "one event is for one worker, one stays on its own");
}

const GREETER: &str = r#"
local Greeter = { PRIORITY = 1, VERSION = "1.0.0" }

function Greeter:certificate(conf)
  assert(kong.client.tls.request_client_certificate())
  assert(kong.client.tls.disable_session_reuse())
  ngx.shared.kong:incr("greeted", 1, 0)
  kong.log.notice("greeted by ", kong.client.get_ip())
end

function Greeter:access()
  return kong.response.exit(200, { greeted = ngx.shared.kong:get("greeted"),
    chain = kong.client.tls.get_full_client_certificate_chain() or false })
end

return Greeter
"#;

#[test]
fn the_certificate_phase_runs_in_each_handshake() {
    let files = Files::new().plugin("greeter", GREETER, &schema("greeter", ""));
    let secure = free_tcp_address().unwrap();
    let path = format!("{}/?.lua", files.path().display());
    let config = "_format_version: '3.0'\nroutes: [{name: all, paths: [/]}]\nplugins: [{name: greeter}]";
    let mut settings = vec![
        ("plugins", "bundled,greeter".to_owned()),
        ("lua_package_path", path),
        ("proxy_listen", format!("{secure} ssl")),
    ];
    settings.extend(gateway::certificate(files.path()));
    let _rig = gateway::rig::Rig::start(&settings, config);
    for number in 1..=2 {
        let mut client = Client::connect_tls(secure, "h.test", &[]).unwrap();
        let answer = client.exchange("GET / HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
        assert_eq!(answer.json().unwrap(), json!({"greeted": number, "chain": false}));
    }
}

const DOORMAN: &str = r#"
local Doorman = { PRIORITY = 1, VERSION = "1.0.0" }

function Doorman:preread(conf)
  ngx.sleep(0.001)
  kong.ctx.plugin.address = kong.client.get_ip()
  if conf.closed then
    return kong.response.exit(403)
  end
end

function Doorman:log()
  ngx.shared.kong:set("doorman", kong.ctx.plugin.address)
end

return Doorman
"#;

#[test]
fn a_stream_passes_through_preread_and_log() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.write_all(b"welcome");
        }
    });
    let doorman = "return { name = 'doorman', fields = { \
        { protocols = require('kong.db.schema.typedefs').protocols }, \
        { config = { type = 'record', fields = { { closed = { type = 'boolean', default = false } } } } } } }";
    let files = Files::new().plugin("doorman", DOORMAN, doorman);
    let (open, closed) = (free_tcp_address().unwrap(), free_tcp_address().unwrap());
    let route = |name: &str, port: u16, closed: bool| {
        format!(
            "  - {{name: {name}, protocols: [tcp], destinations: [{{port: {port}}}], plugins: [{{name: doorman, protocols: [tcp], config: {{closed: {closed}}}}}]}}\n"
        )
    };
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  protocol: tcp\n  host: 127.0.0.1\n  port: {}\n  routes:\n{}{}",
        upstream.port(),
        route("open", open.port(), false),
        route("closed", closed.port(), true)
    );
    let settings = [
        ("plugins", "bundled,doorman".to_owned()),
        ("lua_package_path", format!("{}/?.lua", files.path().display())),
        ("stream_listen", format!("{open}, {closed}")),
    ];
    let _rig = gateway::rig::Rig::start(&settings, &config);
    let hear = |address| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    };
    assert_eq!(hear(open), "welcome");
    assert_eq!(hear(closed), "");
}

#[test]
fn secrets_are_read_from_the_vaults_of_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "from a file").unwrap();
    let code = r#"
        local there, err = kong.vault.get("{vault://files/token}")
        local none, wrong = kong.vault.get("{vault://files/nothing}")
        return kong.response.exit(200, { there = there, err = err, none = none == nil, wrong = wrong ~= nil,
          home = kong.vault.get("{vault://env/path}") ~= nil })"#;
    let upstream = upstream::echo().unwrap();
    let config = format!(
        "_format_version: '3.0'\nvaults: [{{name: fs, prefix: files, config: {{prefix: '{}'}}}}]\nservices:\n- name: s\n  url: http://{}\n  routes: [{{name: all, paths: [/]}}]\n  plugins: [{{name: pre-function, config: {{access: [{}]}}}}]\n",
        folder.path().display(),
        upstream.address(),
        Value::from(code)
    );
    let rig = gateway::rig::Rig::start(&[("untrusted_lua", "on".to_owned())], &config);
    let answer = gibbon_testkit::client::get(rig.proxy, "h.test", "/").unwrap();
    assert_eq!(
        answer.json().unwrap(),
        json!({"there": "from a file", "none": true, "wrong": true, "home": true}),
        "{}",
        answer.text()
    );
}

#[test]
fn lua_in_a_loggers_configuration_adds_fields() {
    let sink = upstream::echo().unwrap();
    let plugins = format!(
        "  - {{name: http-log, config: {{http_endpoint: 'http://{}/logs', custom_fields_by_lua: {{tenant: 'return kong.request.get_header(\"x-tenant\")', made.up: 'return 6 * 7', bad: 'error(\"no\")', request.size: 'return nil'}}}}}}",
        sink.address()
    );
    let gateway = Gateway::with(Files::new(), "", &plugins);
    gateway.send("GET / HTTP/1.1\r\nX-Tenant: blue", "");
    let entry: Value = serde_json::from_slice(&sink.next_request().unwrap().body).unwrap();
    assert_eq!((&entry["tenant"], &entry["made"]["up"], entry.get("bad")), (&json!("blue"), &json!(42), None));
}

#[test]
fn cached_values_are_one_for_all_workers() {
    let gateway = trusted(
        r#"local what = kong.request.get_query_arg("do")
        if what == "forget" then
          kong.cache:invalidate("number")
          return kong.response.exit(204)
        end
        local value, err, level = kong.cache:get("number", nil, function()
          return ngx.shared.kong:incr("made", 1, 0)
        end)
        return kong.response.exit(200, { value = value, worker = ngx.worker.id() })"#,
        &[],
    );
    let ask = || gateway.get("/").json().unwrap()["value"].as_u64().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    eventually("both workers made one", || {
        seen.insert(ask());
        seen.len() == 2
    });
    assert_eq!(gateway.get("/?do=forget").status(), 204);
    for _ in 0..20 {
        assert!(ask() > 2, "what was made before is not given any more");
    }
}
