//! Lua plugins through a whole node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "it/rig.rs"]
#[allow(dead_code)]
mod rig;

use std::path::Path;

use gibbon_testkit::client::{self, Response};
use gibbon_testkit::upstream::{self, Upstream};

use rig::Rig;

/// A folder that `lua_package_path` leads to.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Files(tempfile::tempdir().unwrap())
    }

    fn plugin(self, name: &str, handler: &str, schema: &str) -> Self {
        let folder = self.0.path().join("kong/plugins").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("handler.lua"), handler).unwrap();
        std::fs::write(folder.join("schema.lua"), schema).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A schema whose config has these fields.
fn schema(name: &str, fields: &str) -> String {
    format!("return {{ name = '{name}', fields = {{ {{ config = {{ type = 'record', fields = {{ {fields} }} }} }} }} }}")
}

struct Gateway {
    upstream: Upstream,
    rig: Rig,
    _files: Files,
}

impl Gateway {
    /// Serves `/` with these plugins on the service: a YAML list, indented by two.
    fn with(files: Files, names: &str, plugins: &str) -> Self {
        Self::set(files, names, plugins, &[])
    }

    fn set(files: Files, names: &str, plugins: &str, further: &[(&str, &str)]) -> Self {
        let upstream = upstream::echo().unwrap();
        let config = format!(
            "_format_version: '3.0'\nservices:\n- name: up\n  url: http://{}\n  routes:\n  - name: all\n    paths: [/]\n    strip_path: false\n  plugins:\n{plugins}",
            upstream.address()
        );
        let path = files.path().display();
        let mut settings = vec![
            ("plugins", format!("bundled{names}")),
            ("lua_package_path", format!("{path}/?.lua;{path}/?/init.lua")),
        ];
        settings.extend(further.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Gateway { upstream, rig: Rig::start(&settings, &config), _files: files }
    }

    fn get(&self, target: &str) -> Response {
        client::get(self.rig.proxy, "api.test", target).unwrap()
    }

    fn send(&self, head: &str, body: &str) -> Response {
        client::once(self.rig.proxy, format!("{head}\r\nHost: api.test\r\nConnection: close\r\n\r\n{body}")).unwrap()
    }
}

/// A pre-function with this code in `access`.
fn access(code: &str) -> Gateway {
    let code = serde_json::Value::from(code);
    Gateway::with(Files::new(), "", &format!("  - {{name: pre-function, config: {{access: [{code}]}}}}"))
}

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
    let files =
        Files::new().plugin("greeter", handler, &schema("greeter", "{ greeting = { type = 'string', default = 'hello' } }"));
    let gateway = Gateway::with(files, ",greeter", "  - {name: greeter, config: {}}");
    let answer = gateway.send("GET / HTTP/1.1\r\nX-Who: ann", "");
    assert_eq!(answer.status(), 200);
    assert_eq!((answer.header("x-seen"), answer.header("x-started")), (Some("ann"), Some("true")));
    let sent = gateway.upstream.requests();
    assert_eq!(sent[0].header("x-greeting"), Some("hello ann"));
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
    let gateway = access("kong.response.exit(200, { got = kong.request.get_body(), raw = #kong.request.get_raw_body() })");
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
