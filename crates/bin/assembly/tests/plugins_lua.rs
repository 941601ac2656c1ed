//! Lua plugins through a whole node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use gateway::{Files, Gateway, access, schema, trusted};
use gibbon_testkit::upstream;

#[test]
fn a_plugin_of_two_files_runs_in_every_phase() {
    let handler = r#"
        local M = { PRIORITY = 800, VERSION = "1.2.3" }
        function M:init_worker() self.started = true end
        function M:access(conf)
          kong.ctx.plugin.seen = kong.request.get_header("X-Who")
          kong.service.request.set_header("X-Greeting", conf.greeting .. " " .. tostring(kong.ctx.plugin.seen))
        end
        function M:header_filter(conf)
          kong.response.set_header("X-Seen", kong.ctx.plugin.seen)
          kong.response.set_header("X-Started", tostring(self.started))
          kong.response.clear_header("Content-Length")
        end
        function M:body_filter()
          ngx.arg[1] = ngx.arg[1]:gsub("Greeting", "GREETING"):gsub("greeting", "GREETING")
        end
        function M:log() ngx.shared.kong:incr("logged", 1, 0) end
        return M
    "#;
    let files = Files::new().plugin(
        "greeter",
        handler,
        &schema("greeter", "{ greeting = { type = 'string', default = 'hello' } }"),
    );
    let gateway = Gateway::with(files, ",greeter", "  - {name: greeter, config: {}}");
    let answer = gateway.send("GET / HTTP/1.1\r\nX-Who: ann", "");
    assert_eq!(answer.status(), 200);
    assert_eq!((answer.header("x-seen"), answer.header("x-started")), (Some("ann"), Some("true")));
    let sent = gateway.upstream.requests();
    assert_eq!(sent[0].header("x-greeting"), Some("hello ann"));
}

#[test]
fn the_example_of_the_guide_is_the_one_that_runs() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../");
    let read = |path: &str| std::fs::read_to_string(format!("{root}{path}")).unwrap();
    let guide = read("docs/custom-plugins.md");
    let handler = read("examples/lua/kong/plugins/my-plugin/handler.lua");
    let schema = read("examples/lua/kong/plugins/my-plugin/schema.lua");
    let shown: Vec<&str> = guide.split("```lua\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(handler.ends_with(shown[0]) && schema == shown[1], "the guide shows other files than the example has");
    let files = Files::new().plugin("my-plugin", &handler, &schema);
    let gateway = Gateway::with(files, ",my-plugin", "  - {name: my-plugin, config: {}}");
    let refused = gateway.get("/");
    assert_eq!((refused.status(), refused.text().as_str()), (400, r#"{"message":"X-Tenant is missing"}"#));
    assert_eq!(gateway.send("GET / HTTP/1.1\r\nX-Tenant: a", "").status(), 200);
}

#[test]
fn an_error_is_a_500_with_the_body_of_kong() {
    let answer = access("local x = nil; return x.field").get("/");
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.json().unwrap()["message"], "An unexpected error occurred");
}

#[test]
fn a_wait_holds_up_its_own_request_only_also_inside_a_coroutine_of_the_plugins() {
    let gateway = access(
        "local co = coroutine.wrap(function() coroutine.yield(1) ngx.sleep(0.3) coroutine.yield(2) end)
         local a, b = co(), co()
         local ok = pcall(ngx.sleep, 0.05)
         kong.response.exit(200, tostring(a) .. tostring(b) .. tostring(ok))",
    );
    let started = std::time::Instant::now();
    let bodies: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(|| gateway.get("/").text())).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(bodies, vec!["12true"; 20]);
    // One after another, twenty would take seven seconds on one worker and half on two.
    assert!(started.elapsed() < std::time::Duration::from_secs(3), "{:?}", started.elapsed());
}

#[test]
fn the_body_is_read_when_it_is_asked_for() {
    let gateway =
        access("kong.response.exit(200, { got = kong.request.get_body(), raw = #kong.request.get_raw_body() })");
    let answer = gateway.send("POST / HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 7", "{\"a\":1}");
    assert_eq!(answer.json().unwrap(), serde_json::json!({"got": {"a": 1}, "raw": 7}));
}

#[test]
fn a_function_called_in_the_wrong_phase_says_where_it_may_be_called() {
    let gateway = access("local ok, err = pcall(kong.response.get_status) kong.response.exit(200, err)");
    let text = gateway.get("/").text();
    assert!(
        text.contains("function cannot be called in access phase (only in: header_filter, response, body_filter, log"),
        "{text}"
    );
}

#[test]
fn the_sandbox_hides_what_reaches_beyond_the_request() {
    let gateway = access(
        "local seen = {}
         for _, name in ipairs({ 'io', 'debug', 'package', 'load', 'loadstring', 'getmetatable', 'rawset', 'ffi', 'jit', 'setfenv', 'dofile' }) do
           if _G[name] ~= nil then seen[#seen + 1] = name end
         end
         local ok, err = pcall(require, 'cjson')
         kong.response.exit(200, { seen = #seen, execute = os.execute == nil, err = err })",
    );
    let answer = gateway.get("/").json().unwrap();
    assert_eq!((&answer["seen"], &answer["execute"]), (&0.into(), &true.into()));
    assert!(answer["err"].as_str().unwrap().contains("require 'cjson' not allowed within sandbox"), "{answer}");
}

#[test]
fn untrusted_lua_can_be_switched_off_and_on() {
    let plugins = "  - {name: pre-function, config: {access: ['kong.response.exit(200, type(io))']}}";
    let off = Gateway::set(Files::new(), "", plugins, &[("untrusted_lua", "off")]);
    assert_eq!(off.get("/").status(), 500);
    let on = Gateway::set(Files::new(), "", plugins, &[("untrusted_lua", "on")]);
    assert_eq!(on.get("/").text(), "table");
}

#[test]
fn light_threads_run_side_by_side_and_give_their_results() {
    let gateway = access(
        "local function work(n) ngx.sleep(0.05) return n * 2 end
         local a, b = ngx.thread.spawn(work, 1), ngx.thread.spawn(work, 2)
         local _, x = ngx.thread.wait(a)
         local _, y = ngx.thread.wait(b)
         local c = ngx.thread.spawn(error, 'oops')
         local ok, err = ngx.thread.wait(c)
         kong.response.exit(200, x .. ' ' .. y .. ' ' .. tostring(ok) .. ' ' .. tostring(err))",
    );
    assert_eq!(gateway.get("/").text(), "2 4 false oops");
}

#[test]
fn a_loop_without_end_is_stopped_wherever_it_hides_and_harms_no_other_request() {
    let gateway = trusted(
        "local kind = kong.request.get_path()
         local function spin() while true do end end
         if kind == '/plain' then spin() end
         if kind == '/pcall' then while true do pcall(spin) end end
         if kind == '/coroutine' then coroutine.wrap(function() while true do pcall(spin) end end)() end
         if kind == '/hot' then local n = 0 for i = 1, 1e15 do n = n + i % 7 end end
         kong.response.exit(200, 'fine')",
        &[("lua_time_limit", "200ms"), ("nginx_worker_processes", "1")],
    );
    for kind in ["/plain", "/pcall", "/coroutine", "/hot"] {
        assert_eq!(gateway.get(kind).status(), 500, "{kind}");
        assert_eq!(gateway.get("/other").text(), "fine", "after {kind}");
    }
}

#[test]
fn memory_has_a_bound() {
    let gateway = trusted(
        "if kong.request.get_path() == '/much' then
           local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(100000) .. i end
         end
         kong.response.exit(200, 'fine')",
        &[("lua_memory_limit", "64m"), ("nginx_worker_processes", "1"), ("lua_time_limit", "60s")],
    );
    assert_eq!(gateway.get("/much").status(), 500);
    assert_eq!(gateway.get("/little").text(), "fine");
}

#[test]
fn shared_dictionaries_count_across_workers() {
    let gateway = trusted(
        "local n = ngx.shared.kong:incr('hits', 1, 0)
         ngx.shared.kong:set('last', n, 60)
         kong.response.exit(200, tostring(n))",
        &[("nginx_worker_processes", "4")],
    );
    let mut seen: Vec<u32> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..40).map(|_| scope.spawn(|| gateway.get("/").text().parse().unwrap())).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<u32>>());
}

#[test]
fn a_filter_that_fails_lets_nothing_through() {
    let with = |phase: &str| {
        let plugins = format!("  - {{name: post-function, config: {{{phase}: ['error(\"no\")']}}}}");
        Gateway::with(Files::new(), "", &plugins)
    };
    let answer = with("header_filter").send("POST / HTTP/1.1\r\nContent-Length: 6", "secret");
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.json().unwrap()["message"], "An unexpected error occurred");
    let code = "kong.response.clear_header(\"Content-Length\")";
    let plugins =
        format!("  - {{name: post-function, config: {{header_filter: ['{code}'], body_filter: ['error(\"no\")']}}}}");
    let gateway = Gateway::with(Files::new(), "", &plugins);
    let answer = gateway.send("POST / HTTP/1.1\r\nContent-Length: 6", "secret");
    assert_eq!((answer.status(), answer.text().as_str()), (200, ""));
}

#[test]
fn an_answer_that_could_not_be_given_reaches_nobody_else() {
    let gateway = trusted(
        "if kong.request.get_path() == '/secret' then
           -- The library function in between cannot be left by a yield, so this fails.
           ('x'):gsub('x', function() kong.response.exit(200, 'secret') end)
         end
         ngx.exit(ngx.OK)",
        &[("nginx_worker_processes", "1")],
    );
    assert_eq!(gateway.get("/secret").status(), 500);
    let answer = gateway.get("/other");
    assert_eq!((answer.status(), answer.text().contains("secret")), (200, false));
}

#[test]
fn what_a_plugin_hands_on_cannot_end_a_line() {
    let gateway = trusted(
        "kong.service.request.set_raw_query('a=1 HTTP/1.1\\r\\nX-Evil: 1')
         kong.service.request.set_header('X-Some', 'a\\r\\nX-Evil: 1')
         kong.service.request.set_header('Host', 'h\\r\\nX-Evil: 1')
         kong.service.request.set_path('/p\\r\\nX-Evil: 1')",
        &[],
    );
    assert_eq!(gateway.get("/").status(), 200);
    let seen = &gateway.upstream.requests()[0];
    assert_eq!(seen.header("x-evil"), None, "{seen:?}");
}

#[test]
fn regular_expressions_are_those_of_perl() {
    let gateway = trusted(
        r#"local m = ngx.re.match("id=42; name=bob", [[id=(?<id>\d+)(?=;)]], "jo")
           local from, to = ngx.re.find("abc123", [[(\d)(\d)]], "jo", nil, 2)
           local s, n = ngx.re.gsub("a-b-c", "-(.)", "[$1]", "jo")
           local words = {}
           for w in ngx.re.gmatch("one two", [[\w+]], "o") do words[#words + 1] = w[0] end
           local _, err = ngx.re.match("x", "(", "o")
           local bad, why = ngx.re.match(("a"):rep(40) .. "!", "^(a+)+$", "o")
           kong.response.exit(200, { id = m.id, first = m[1], from = from, to = to, s = s, n = n, words = words,
             err = err ~= nil, bad = bad == nil, split = require("ngx.re").split("a,b,c", ",") })"#,
        &[],
    );
    assert_eq!(
        gateway.get("/").json().unwrap(),
        serde_json::json!({"id": "42", "first": "42", "from": 5, "to": 5, "s": "a[b][c]", "n": 2,
            "words": ["one", "two"], "err": true, "bad": true, "split": ["a", "b", "c"]})
    );
}

#[test]
fn an_http_client_of_lua_calls_others_and_keeps_connections() {
    let other = upstream::echo().unwrap();
    let gateway = trusted(
        &format!(
            r#"local http = require("resty.http").new()
               http:set_timeouts(5000, 5000, 5000)
               local res, err = http:request_uri("http://{}/there?x=1", {{ method = "POST", body = "hi", headers = {{ ["X-A"] = "1" }} }})
               if not res then return kong.response.exit(502, err) end
               -- The reader of bodies is a coroutine of the library's own; reading waits inside of it.
               local client = require("resty.http").new()
               assert(client:connect({{ scheme = "http", host = "{}", port = {} }}))
               local streamed = assert(client:request({{ method = "POST", path = "/stream", body = ("x"):rep(20) }}))
               local size = 0
               repeat local piece = streamed.body_reader(8) if piece then size = size + #piece end until not piece
               kong.response.exit(200, {{ status = res.status, some = #res.body > 0, size = size > 0 }})"#,
            other.address(),
            other.address().ip(),
            other.address().port()
        ),
        &[],
    );
    let bodies: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..10).map(|_| scope.spawn(|| gateway.get("/").json().unwrap())).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(bodies, vec![serde_json::json!({"status": 200, "some": true, "size": true}); 10]);
    let first = &other.requests()[0];
    assert_eq!((first.header("x-a"), &first.body[..]), (Some("1"), &b"hi"[..]));
}

#[test]
fn a_timer_runs_beside_requests() {
    let gateway = trusted(
        "if kong.request.get_path() == '/set' then
           ngx.timer.at(0.01, function(premature, value) ngx.sleep(0.01) ngx.shared.kong:set('timer', value) end, 'ran')
           kong.response.exit(202)
         end
         kong.response.exit(200, tostring(ngx.shared.kong:get('timer')))",
        &[],
    );
    assert_eq!(gateway.get("/set").status(), 202);
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while gateway.get("/get").text() != "ran" {
        assert!(std::time::Instant::now() < end, "the timer never ran");
    }
}

#[test]
fn libraries_that_plugins_require_are_there() {
    let gateway = trusted(
        r#"local loaded = {}
           for _, name in ipairs({ "cjson", "cjson.safe", "resty.http", "resty.redis", "resty.lock", "resty.lrucache",
             "resty.mlcache", "resty.string", "resty.sha1", "resty.sha256", "resty.md5", "resty.random", "resty.hmac",
             "resty.openssl.digest", "resty.openssl.hmac", "resty.openssl.rand", "socket.url", "pl.stringx",
             "pl.tablex", "pl.utils", "inspect", "kong.constants", "kong.meta", "kong.tools.utils",
             "kong.tools.table", "kong.tools.string", "kong.tools.uuid", "kong.tools.http", "kong.db.schema.typedefs",
             "ngx.semaphore", "ngx.base64", "ngx.process", "table.new", "table.clear", "ffi", "bit" }) do
             local ok, err = pcall(require, name)
             if not ok then loaded[#loaded + 1] = name .. ": " .. tostring(err) end
           end
           local to_hex = require("resty.string").to_hex
           local sha = require("resty.sha256"):new() sha:update("abc")
           local lru = require("resty.lrucache").new(2) lru:set("a", 1) lru:set("b", 2) lru:get("a") lru:set("c", 3)
           local lock = require("resty.lock"):new("kong_locks")
           assert(lock:lock("k")) lock:unlock()
           kong.response.exit(200, { failed = #loaded, names = loaded, sha = to_hex(sha:final()):sub(1, 8), a = lru:get("a"),
             b = tostring(lru:get("b")), host = require("socket.url").parse("http://u:p@h.test:81/x?y=1").host,
             b64 = ngx.decode_base64(ngx.encode_base64("hé")), args = ngx.encode_args({ a = 1 }),
             json = require("cjson").encode({ list = require("cjson").empty_array, null = require("cjson").null }) })"#,
        &[],
    );
    let answer = gateway.get("/").json().unwrap();
    assert_eq!(answer["failed"], 0, "{answer}");
    assert_eq!((&answer["sha"], &answer["a"], &answer["b"]), (&"ba7816bf".into(), &1.into(), &"nil".into()));
    assert_eq!((&answer["host"], &answer["b64"], &answer["args"]), (&"h.test".into(), &"hé".into(), &"a=1".into()));
    let json: serde_json::Value = serde_json::from_str(answer["json"].as_str().unwrap()).unwrap();
    assert_eq!(json, serde_json::json!({"list": [], "null": null}));
}

#[test]
fn a_schema_of_lua_validates_and_fills_like_a_native_one() {
    let schema = r#"
        local typedefs = require "kong.db.schema.typedefs"
        return { name = "strict", fields = {
          { consumer = typedefs.no_consumer },
          { protocols = typedefs.protocols_http },
          { config = { type = "record", fields = {
            { header = typedefs.header_name { default = "X-Strict" } },
            { limit = { type = "integer", required = true, between = { 1, 10 } } },
            { mode = { type = "string", one_of = { "a", "b" }, default = "a" } },
            { list = { type = "array", elements = { type = "string", custom_validator = function(v)
                if v == "bad" then return nil, "not a bad one" end return true end } } },
            { nested = { type = "record", fields = { { deep = { type = "boolean", default = true } } } } },
          }, entity_checks = { { conditional = { if_field = "mode", if_match = { eq = "b" }, then_field = "list", then_match = { required = true } } } } } },
        } }"#;
    let handler = "return { PRIORITY = 10, VERSION = '1.0', access = function(_, conf)
        kong.response.exit(200, { header = conf.header, mode = conf.mode, deep = conf.nested.deep, limit = conf.limit }) end }";
    let files = Files::new().plugin("strict", handler, schema);
    let gateway = Gateway::with(files, ",strict", "  - {name: strict, config: {limit: 3}}");
    assert_eq!(
        gateway.get("/").json().unwrap(),
        serde_json::json!({"header": "X-Strict", "mode": "a", "deep": true, "limit": 3})
    );
    let refused = |config: &str| {
        let text = format!("_format_version: '3.0'\nplugins:\n- {{name: strict, config: {config}}}");
        let error = gateway.rig.running().declarative.replace(text.as_bytes()).unwrap_err();
        format!("{error:#}")
    };
    assert!(refused("{limit: 11}").contains("value should be between 1 and 10"), "{}", refused("{limit: 11}"));
    assert!(refused("{limit: 1, list: [bad]}").contains("not a bad one"), "{}", refused("{limit: 1, list: [bad]}"));
    assert!(refused("{limit: 1, mode: b}").contains("required field missing"), "{}", refused("{limit: 1, mode: b}"));
}
