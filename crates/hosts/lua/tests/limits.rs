//! A piece of Lua that does not end is stopped, and code that ends in time stays compiled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use gibbon_lua::{LuaHost, LuaSettings, Untrusted};
use gibbon_pdk::{Flow, Handler, Step};
use gibbon_rig::Rig;
use serde_json::json;

/// What becomes of a request for which a pre-function runs this code in `access`.
fn run(rig: &Rig, handler: &dyn Handler) -> Flow {
    let mut x = gibbon_rig::request("GET /", &[]);
    match handler.access(&mut x, &rig.host) {
        Step::Now(flow) => flow,
        Step::Later(_) => panic!("it does not wait"),
    }
}

fn handler(rig: &Rig, code: &str) -> std::sync::Arc<dyn Handler> {
    let time_limit = Some(Duration::from_millis(100));
    let host = LuaHost::load(LuaSettings { untrusted: Untrusted::On, time_limit, ..LuaSettings::default() }).unwrap();
    let plugin = host.plugins().iter().find(|plugin| &*plugin.name == "pre-function").unwrap();
    rig.handler_of_plugin(plugin, &json!({ "access": [code] }))
}

#[test]
fn lua_is_compiled_under_a_time_limit() {
    let rig = Rig::new();
    let compiled = handler(&rig, "assert(jit.status(), 'LuaJIT lacks its switch: cargo clean -p mlua-sys')");
    assert!(matches!(run(&rig, &*compiled), Flow::Next));
}

#[test]
fn what_does_not_end_is_stopped_wherever_it_runs() {
    let endless = [
        ("bare", "while true do end"),
        ("compiled before it hangs", "local n = 0 while true do n = n + 1 end"),
        ("over a table", "local t = {1, 2, 3} while true do for i, v in ipairs(t) do t[i] = v + 1 end end"),
        ("over pairs", "local t = {a = 1} while true do for k, v in pairs(t) do t[k] = v + 1 end end"),
        ("a function that calls itself", "local function again(n) return again(n + 1) end again(1)"),
        ("behind pcall", "while true do pcall(function() while true do end end) end"),
        ("a loop of pcall", "while true do pcall(error, 'x') end"),
        ("behind xpcall", "while true do xpcall(function() while true do end end, function(e) return e end) end"),
        ("in a coroutine", "coroutine.wrap(function() while true do end end)()"),
        ("coroutines without end", "while true do coroutine.wrap(function() coroutine.yield() end)() end"),
        (
            "pcall in a coroutine",
            "coroutine.wrap(function() while true do pcall(function() while true do end end) end end)()",
        ),
        ("with natives", "while true do kong.request.get_header('x-a') end"),
        ("goto", "::again:: goto again"),
        ("repeat", "repeat until false"),
    ];
    for (how, code) in endless {
        let rig = Rig::new();
        let handler = handler(&rig, &format!("return function() {code} end"));
        let began = Instant::now();
        let Flow::Fail(fault) = run(&rig, &*handler) else { panic!("{how}: it ended by itself") };
        let took = began.elapsed();
        assert!(fault.cause.contains("the time limit for Lua was exceeded (lua_time_limit)"), "{how}: {fault}");
        assert!(took < Duration::from_secs(20), "{how}: {took:?}");
        // The machine goes on with the next request, and stops it again.
        assert!(matches!(run(&rig, &*handler), Flow::Fail(_)), "{how}");
    }
}

#[test]
fn what_was_stopped_leaves_nothing_behind() {
    let rig = Rig::new();
    let code = "return function()
        if not ngx.ctx.seen and not hung then hung = true while true do end end
        local n = 0
        for i = 1, 1000 do n = n + i end
        assert(n == 500500)
        kong.service.request.set_header('x-n', n)
    end";
    let handler = handler(&rig, code);
    assert!(matches!(run(&rig, &*handler), Flow::Fail(_)));
    for _ in 0..1000 {
        assert!(matches!(run(&rig, &*handler), Flow::Next));
    }
}
