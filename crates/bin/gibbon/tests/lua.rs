//! Lua in the program itself: a file that changed is in force after a reload, and no request notices; modules in C find the
//! interpreter's functions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gibbon_testkit::{Settings, Signal, client};

const SCHEMA: &str = "return { name = 'answer', fields = { { config = { type = 'record', fields = {} } } } }";

fn handler(text: &str) -> String {
    format!(
        "local Answer = {{ PRIORITY = 1, VERSION = '1.0.0' }}\nfunction Answer:access()\n  ngx.sleep(0.002)\n  return kong.response.exit(200, '{text}')\nend\nreturn Answer\n"
    )
}

#[test]
fn a_reload_takes_the_changed_file_and_drops_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kong/plugins/answer");
    std::fs::create_dir_all(&plugin).unwrap();
    std::fs::write(plugin.join("schema.lua"), SCHEMA).unwrap();
    std::fs::write(plugin.join("handler.lua"), handler("one")).unwrap();
    let config = "_format_version: '3.0'\nroutes: [{name: all, paths: [/]}]\nplugins: [{name: answer}]\n";
    let gateway = Settings::new()
        .config(config)
        .set("plugins", "bundled,answer")
        .set("lua_package_path", format!("{}/?.lua", folder.path().display()))
        .set("nginx_worker_processes", "2")
        .start()
        .unwrap();
    let proxy = gateway.addresses().proxy;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut answers = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let answer = client::get(proxy, "h.test", "/").map_err(|error| error.to_string());
                        answers.push(answer.map(|answer| (answer.status(), answer.text())));
                    }
                    answers
                })
            })
            .collect();
        let answers = |text: &str| {
            let end = Instant::now() + Duration::from_secs(60);
            let mut in_a_row = 0;
            while in_a_row < 50 && Instant::now() < end {
                let so = client::get(proxy, "h.test", "/").is_ok_and(|answer| answer.text() == text);
                in_a_row = if so { in_a_row + 1 } else { 0 };
            }
            in_a_row == 50
        };
        assert!(answers("one"));
        std::fs::write(plugin.join("handler.lua"), "this is no Lua").unwrap();
        gateway.signal(Signal::SIGHUP).unwrap();
        assert!(answers("one"), "what does not load changes nothing");
        std::fs::write(plugin.join("handler.lua"), handler("two")).unwrap();
        gateway.signal(Signal::SIGHUP).unwrap();
        let changed = answers("two");
        over.store(true, Ordering::Relaxed);
        for answer in clients.into_iter().flat_map(|client| client.join().unwrap()) {
            let (status, text) = answer.unwrap_or_else(|error| panic!("{error}\n{}", gateway.logs()));
            assert!(status == 200 && (text == "one" || text == "two"), "{status} {text}");
        }
        assert!(changed, "the changed file is not in force\n{}", gateway.logs());
    });
}

#[test]
fn the_program_shows_the_c_api_of_lua() {
    let code = r#"local ffi = require "ffi"
        ffi.cdef "int lua_gettop(void *L); void luaL_register(void *L, const char *name, const void *list);"
        local ok, err = pcall(function() return ffi.C.lua_gettop, ffi.C.luaL_register end)
        return kong.response.exit(200, ok and "shown" or tostring(err))"#;
    let config = format!(
        "_format_version: '3.0'\nroutes: [{{name: all, paths: [/]}}]\nplugins: [{{name: pre-function, config: {{access: [{}]}}}}]\n",
        serde_json::Value::from(code)
    );
    let gateway = Settings::new().config(config).set("untrusted_lua", "on").start().unwrap();
    assert_eq!(gateway.get("h.test", "/").unwrap().text(), "shown");
}
