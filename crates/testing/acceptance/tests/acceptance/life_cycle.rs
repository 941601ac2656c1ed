//! Does nobody notice its reloads, changes and upgrades? Requests over HTTP/1.1, HTTP/2, WebSocket and SSE run on while it is
//! reloaded, reconfigured and upgraded, and none may fail.
//!
//! A tenth of the full measure by default; `GIBBON_SOAK=1` runs all of it (`make soak`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gibbon_load::command::{Drive, Protocol, Requests};
use gibbon_load::{drive, upstream};
use gibbon_testkit::{Gateway, Settings, Signal};
use serde_json::{Value, json};
use tokio::task::LocalSet;

/// Seconds of one piece of load; connections begin anew with each.
const PIECE: f64 = 1.0;

struct Measure {
    requests: u64,
    reloads: usize,
    changes: usize,
    upgrades: usize,
}

fn measure() -> Measure {
    let share = if std::env::var_os("GIBBON_SOAK").is_some() { 10 } else { 1 };
    let times = share as usize;
    Measure { requests: 100_000 * share, reloads: 5 * times, changes: 5 * times, upgrades: times }
}

#[derive(Default)]
struct Count {
    answers: AtomicU64,
    over: AtomicBool,
    errors: Mutex<BTreeMap<String, u64>>,
}

#[test]
fn reloads_changes_and_upgrades_fail_no_request() {
    let measure = measure();
    let count = Arc::new(Count::default());
    let (say_ports, ports) = channel();
    let (say_proxy, proxy) = channel();
    let load = std::thread::spawn({
        let count = Arc::clone(&count);
        move || generate(&say_ports, &proxy, &count)
    });
    let ports = ports.recv().unwrap();
    let mut gateway = Settings::new().config(configuration(&ports, 0).to_string()).start().unwrap();
    say_proxy.send(gateway.addresses().proxy).unwrap();
    let began = Instant::now();

    let steps = measure.reloads.max(measure.changes);
    for step in 1..=steps {
        wait_for(&count, measure.requests * step as u64 / (steps as u64 + 1));
        if step <= measure.changes {
            change(&gateway, &ports, step);
        }
        if step <= measure.reloads {
            gateway.signal(Signal::SIGHUP).unwrap();
        }
        if step * measure.upgrades / steps > (step - 1) * measure.upgrades / steps {
            gateway.upgrade().unwrap();
        }
        gateway.wait_ready("/status/ready").unwrap();
    }
    wait_for(&count, measure.requests);
    count.over.store(true, Ordering::Relaxed);
    load.join().unwrap();
    let errors = count.errors.lock().unwrap();
    println!(
        "{} answers across {} reloads, {} changes and {} upgrades in {:?}, errors: {errors:?}",
        count.answers.load(Ordering::Relaxed),
        measure.reloads,
        measure.changes,
        measure.upgrades,
        began.elapsed()
    );
    assert!(errors.is_empty(), "{errors:?}\n{}", gateway.logs());
}

/// The load: upstreams and clients of every protocol in one thread, piece after piece until told to end.
fn generate(say_ports: &Sender<BTreeMap<&'static str, u16>>, proxy: &Receiver<SocketAddr>, count: &Count) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        say_ports.send(upstream::start().unwrap()).unwrap();
        // The upstreams need no turn before the gateway is there.
        let address = proxy.recv().unwrap();
        while !count.over.load(Ordering::Relaxed) {
            let piece = |protocol, path: &str, connections, streams| {
                let requests = Requests { path: path.into(), ..Requests::default() };
                let (rate, tls, warmup, seconds) = (None, false, 0.05, PIECE);
                let of = Drive { address, protocol, tls, connections, streams, rate, warmup, seconds, requests };
                async { drive::run(of, |_| {}).await.unwrap() }
            };
            let (http1, http2, websocket, events) = tokio::join!(
                piece(Protocol::Http1, "/small", 8, 1),
                piece(Protocol::Http2, "/small", 2, 8),
                piece(Protocol::Websocket, "/ws", 4, 1),
                piece(Protocol::Events, "/events", 4, 1),
            );
            for (name, report) in [("http/1.1", http1), ("http/2", http2), ("websocket", websocket), ("events", events)]
            {
                count.answers.fetch_add(report.answers, Ordering::Relaxed);
                let mut errors = count.errors.lock().unwrap();
                for (what, number) in report.errors {
                    *errors.entry(format!("{name}: {what}")).or_default() += number;
                }
            }
        }
    });
}

/// Waits until so many requests were answered.
fn wait_for(count: &Count, answers: u64) {
    let deadline = Instant::now() + Duration::from_secs(1200);
    while count.answers.load(Ordering::Relaxed) < answers {
        assert!(Instant::now() < deadline, "only {} answers", count.answers.load(Ordering::Relaxed));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn change(gateway: &Gateway, ports: &BTreeMap<&'static str, u16>, step: usize) {
    gateway.load(&configuration(ports, step)).unwrap();
}

/// The routes that the load uses, and one more that tells configurations apart.
fn configuration(ports: &BTreeMap<&'static str, u16>, step: usize) -> Value {
    let service = |name: &str, path: &str| {
        let routes = [json!({"name": name, "paths": [path]})];
        json!({"name": name, "host": "127.0.0.1", "port": ports[name], "routes": routes})
    };
    let mut services = vec![service("small", "/small"), service("websocket", "/ws"), service("events", "/events")];
    services.push(json!({"name": "extra", "host": "127.0.0.1", "port": ports["medium"],
        "routes": [{"name": "extra", "paths": [format!("/extra-{step}")]}]}));
    json!({"_format_version": "3.0", "services": services})
}
