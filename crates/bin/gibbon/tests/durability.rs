//! A write that was answered with success is there after the process was killed at any moment, and the database server
//! with it; and the disk has it before the client hears of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gibbon_testkit::client::Client;
use gibbon_testkit::gateway::{self, Gateway, Settings};
use gibbon_testkit::servers;
use nix::sys::signal::Signal;

const CLIENTS: usize = 8;
/// Parts of all writes that are acknowledged before each kill.
const ROUNDS: [usize; 8] = [4, 21, 9, 2, 30, 11, 17, 6];

/// How many writes in all.
const WRITES: usize = 10_000;

#[test]
fn every_acknowledged_write_survives_kills_at_any_moment() {
    let prefix = tempfile::tempdir().unwrap();
    let start = || {
        let settings = Settings::new().set("database", "sqlite").set("prefix", prefix.path().display().to_string());
        settings.start().unwrap()
    };
    write_and_kill(start, |gateway| gateway.signal(Signal::SIGKILL).unwrap(), || {});
}

#[test]
fn every_acknowledged_write_survives_kills_of_the_gateway_and_of_the_database_server() {
    let server = Mutex::new(servers::durable_postgres().unwrap());
    let address = server.lock().unwrap().address();
    let settings = || Settings::new().on_postgres(address);
    assert!(settings().command_line(&["migrations", "bootstrap"]).unwrap().status.success());
    // A server that was killed looks at what it wrote before it takes sessions.
    let start = || {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match settings().start() {
                Ok(gateway) => return gateway,
                Err(error) => assert!(Instant::now() < deadline, "{error:#}"),
            }
        }
    };
    let kill = |gateway: &Gateway| {
        server.lock().unwrap().crash().unwrap();
        gateway.signal(Signal::SIGKILL).unwrap();
    };
    write_and_kill(start, kill, || server.lock().unwrap().start_again().unwrap());
}

/// Writes with several clients, kills, repairs and starts again, several times; then looks for every write that was
/// acknowledged.
fn write_and_kill(start: impl Fn() -> Gateway, kill: impl Fn(&Gateway), repair: impl Fn()) {
    let acknowledged = Mutex::new(HashSet::new());
    let count = || acknowledged.lock().unwrap().len();
    for (round, part) in ROUNDS.into_iter().enumerate() {
        let mut gateway = start();
        let admin = gateway.addresses().admin;
        let enough = count() + WRITES * part / ROUNDS.iter().sum::<usize>();
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (acknowledged, killed) = (&acknowledged, &killed);
                let who = format!("r{round}c{client}");
                scope.spawn(move || write_until_it_ends(admin, &who, acknowledged, killed));
            }
            while count() < enough {
                std::thread::yield_now();
            }
            killed.store(true, Ordering::SeqCst);
            kill(&gateway);
        });
        gateway.wait_exit(Duration::from_secs(20)).unwrap();
        repair();
    }
    let stored = names(&start());
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<&String> = acknowledged.iter().filter(|name| !stored.contains(*name)).collect();
    assert!(lost.is_empty(), "{} of {} writes are lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() + ROUNDS.len() >= WRITES, "{} of {WRITES}", acknowledged.len());
}

fn write_until_it_ends(admin: SocketAddr, who: &str, acknowledged: &Mutex<HashSet<String>>, killed: &AtomicBool) {
    let Ok(mut client) = Client::connect(admin) else { return };
    for n in 0.. {
        let name = format!("{who}n{n}");
        match client.exchange(service(&name)) {
            Ok(answer) if answer.status() == 201 => drop(acknowledged.lock().unwrap().insert(name)),
            // The database server may go first.
            Ok(answer) if answer.status() == 503 && killed.load(Ordering::SeqCst) => return,
            Ok(answer) => panic!("{} {}", answer.status(), answer.text()),
            Err(_) => return,
        }
    }
}

/// A request that makes a service.
fn service(name: &str) -> String {
    let body = format!(r#"{{"name":"{name}","host":"backend.test"}}"#);
    let head = format!(
        "POST /services HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    format!("{head}\r\n\r\n{body}")
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

/// A program that runs the gateway and writes down the system calls that matter here, in the order of their ends.
fn traced(folder: &Path) -> std::path::PathBuf {
    let (program, trace) = (folder.join("traced"), folder.join("trace"));
    let (strace, gibbon) = (servers::tool("strace").unwrap(), gateway::binary_path().unwrap());
    let calls = "trace=read,recvfrom,write,writev,sendto,fsync,fdatasync";
    let script = format!(
        "#!/bin/sh\nexec {} -D -f -y -s 64 -o {} -e {calls} {} \"$@\"\n",
        strace.display(),
        trace.display(),
        gibbon.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

#[test]
fn the_disk_has_a_write_before_the_client_hears_of_it() {
    const WRITES: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new().set("database", "sqlite").binary(traced(folder.path()));
    let mut gateway = settings.start().unwrap();
    let mut client = Client::connect(gateway.addresses().admin).unwrap();
    for n in 0..WRITES {
        assert_eq!(client.exchange(service(&format!("s{n}"))).unwrap().status(), 201);
    }
    gateway.signal(Signal::SIGTERM).unwrap();
    gateway.wait_exit(Duration::from_secs(60)).unwrap();

    let mut answers = 0;
    let mut synced = false;
    for line in fs::read_to_string(folder.path().join("trace")).unwrap().lines() {
        let is_sync = line.contains("fdatasync") || line.contains("fsync");
        if line.contains(", \"POST /services") {
            // As it is read; the access log names it too, within a line.
            synced = false;
        } else if is_sync && line.ends_with("= 0") {
            synced = true;
        } else if line.contains("HTTP/1.1 201") {
            assert!(synced, "answer {answers} came before the disk had the write");
            (answers, synced) = (answers + 1, false);
        }
    }
    assert_eq!(answers, WRITES, "each answer is in the trace");
}
