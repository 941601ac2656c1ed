//! A write that was answered with success is there after the process was killed at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use gibbon_testkit::client::Client;
use gibbon_testkit::gateway::{Gateway, Settings};
use nix::sys::signal::Signal;

const CLIENTS: usize = 8;
/// How many writes are acknowledged before each kill; how often the process is killed.
const KILLS: [usize; 5] = [37, 201, 83, 312, 148];

#[test]
fn every_acknowledged_write_survives_kills_at_any_moment() {
    let prefix = tempfile::tempdir().unwrap();
    let acknowledged = Mutex::new(HashSet::new());
    for (round, after) in KILLS.into_iter().enumerate() {
        let mut gateway = start(prefix.path());
        let admin = gateway.addresses().admin;
        let enough = acknowledged.lock().unwrap().len() + after;
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let acknowledged = &acknowledged;
                scope.spawn(move || write_until_it_ends(admin, &format!("r{round}c{client}"), acknowledged));
            }
            while acknowledged.lock().unwrap().len() < enough {
                std::thread::yield_now();
            }
            gateway.signal(Signal::SIGKILL).unwrap();
        });
        gateway.wait_exit(Duration::from_secs(10)).unwrap();
    }
    let gateway = start(prefix.path());
    let stored = names(&gateway);
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !stored.contains(*name)).collect();
    assert!(lost.is_empty(), "{} of {} writes are lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() >= KILLS.iter().sum());
}

fn start(prefix: &Path) -> Gateway {
    let settings = Settings::new().set("database", "sqlite").set("prefix", prefix.display().to_string());
    settings.start().unwrap()
}

fn write_until_it_ends(admin: SocketAddr, who: &str, acknowledged: &Mutex<HashSet<String>>) {
    let Ok(mut client) = Client::connect(admin) else { return };
    for n in 0.. {
        let name = format!("{who}n{n}");
        let body = format!(r#"{{"name":"{name}","host":"backend.test"}}"#);
        let head = format!(
            "POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}",
            body.len()
        );
        match client.exchange(format!("{head}\r\n\r\n{body}")) {
            Ok(answer) if answer.status() == 201 => drop(acknowledged.lock().unwrap().insert(name)),
            Ok(answer) => panic!("{} {}", answer.status(), answer.text()),
            Err(_) => return,
        }
    }
}

fn names(gateway: &Gateway) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut target = "/services?size=1000".to_owned();
    loop {
        let page = gateway.admin("GET", &target, "").unwrap().json().unwrap();
        names.extend(page["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        match page["offset"].as_str() {
            Some(offset) => target = format!("/services?size=1000&offset={offset}"),
            None => return names,
        }
    }
}
