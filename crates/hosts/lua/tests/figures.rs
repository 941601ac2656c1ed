//! What Lua costs: memory of coroutines that wait, and time of a phase. The times are printed; they mean something in a
//! release build only (`cargo test --release -p gibbon-lua --test figures -- --nocapture`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use gibbon_lua::{LuaHost, LuaSettings, Untrusted};
use gibbon_pdk::{Clock, Exchange, Handler, SendFuture, Step};
use gibbon_rig::Rig;
use serde_json::json;

/// A clock by which nobody ever wakes up.
struct Asleep;

impl Clock for Asleep {
    fn wall_ns(&self) -> u64 {
        1
    }

    fn monotonic_ns(&self) -> u64 {
        1
    }

    fn sleep(&self, _: Duration) -> SendFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A pre-function that runs this code in `access`.
fn handler(rig: &Rig, code: &str, time_limit: Option<Duration>) -> Arc<dyn Handler> {
    let settings = LuaSettings { untrusted: Untrusted::On, time_limit, ..LuaSettings::default() };
    let host = LuaHost::load(settings).unwrap();
    let plugin = host.plugins().iter().find(|plugin| &*plugin.name == "pre-function").unwrap();
    rig.handler_of_plugin(plugin, &json!({ "access": [code] }))
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

#[test]
fn ten_thousand_sleeping_coroutines_take_at_most_60_mib() {
    const SLEEPERS: usize = 10_000;
    let mut rig = Rig::new();
    rig.host.clock = Arc::new(Asleep);
    let handler = handler(&rig, "ngx.sleep(3600)", Some(Duration::from_secs(5)));
    // What a request takes without Lua is not counted, nor what Lua takes without requests.
    let mut first = gibbon_rig::request("GET /", &[]);
    drop(handler.access(&mut first, &rig.host));
    let mut exchanges: Vec<Box<Exchange>> =
        (0..SLEEPERS).map(|_| Box::new(gibbon_rig::request("GET /", &[]))).collect();
    let before = resident();
    let mut waiting = Vec::with_capacity(SLEEPERS);
    for x in &mut exchanges {
        let mut future = match handler.access(x, &rig.host) {
            Step::Later(future) => future,
            Step::Now(flow) => panic!("it does not wait: {flow:?}"),
        };
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        waiting.push(future);
    }
    let taken = resident().saturating_sub(before);
    println!("{SLEEPERS} sleeping coroutines: {:.1} MiB", taken as f64 / 1_048_576.0);
    assert!(taken <= 60 << 20, "{taken} bytes");
}

#[test]
fn what_a_phase_costs() {
    const ROUNDS: u32 = if cfg!(debug_assertions) { 500 } else { 20_000 };
    let noop = "return function() end";
    let loops = "return function() local n = 0 for i = 1, 100000 do n = n + i % 7 end assert(n > 0) end";
    let header = "return function() kong.service.request.set_header('x-b', kong.request.get_header('x-a')) end";
    for (limit, named) in [(Some(Duration::from_secs(5)), "with a time limit"), (None, "without")] {
        for (code, what) in
            [(noop, "nothing"), (header, "one header read, one set"), (loops, "100,000 turns of a loop")]
        {
            // A machine of its own for each.
            let took = std::thread::spawn(move || {
                let rig = Rig::new();
                let handler = handler(&rig, code, limit);
                let mut x = gibbon_rig::request("GET /", &[("x-a", "1")]);
                let mut best = Duration::MAX;
                for _ in 0..5 {
                    let began = Instant::now();
                    for _ in 0..ROUNDS / 5 {
                        assert!(matches!(handler.access(&mut x, &rig.host), Step::Now(gibbon_pdk::Flow::Next)));
                    }
                    best = best.min(began.elapsed() / (ROUNDS / 5));
                }
                best
            });
            println!("{what}, {named}: {:?}", took.join().unwrap());
        }
    }
}
