//! Can its binary be replaced under it? USR2 has a new process take over; nobody is refused, nothing is lost, and a new process
//! that cannot start changes nothing.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use gibbon_testkit::{Addresses, Client, Gateway, Settings, Signal, Upstream, client, ports, upstream};
use serde_json::json;

use crate::ending::{PATIENCE, REQUEST, busy, configuration, held};

fn wait_until(what: &str, gateway: &Gateway, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}\n{}", gateway.logs());
        std::thread::yield_now();
    }
}

#[test]
fn the_request_under_way_is_answered_and_what_was_sent_to_the_admin_api_stays_in_force() {
    let (mut gateway, upstream, release, mut client) = busy();
    let address = upstream.address();
    let changed = json!({"_format_version": "3.0", "services": [
        {"name": "s", "url": format!("http://{address}"), "routes": [{"name": "r", "paths": ["/changed"]}]}]});
    gateway.load(&changed).unwrap();
    gateway.upgrade().unwrap();
    release.send(()).unwrap();
    let answer = client.read_response("GET").unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    release.send(()).unwrap();
    assert_eq!(gateway.get("h", "/changed").unwrap().status(), 200);
    assert_eq!(gateway.get("h", "/other").unwrap().status(), 404);
    gateway.signal(Signal::SIGQUIT).unwrap();
    assert!(gateway.wait_exit(PATIENCE).unwrap().success());
}

#[test]
fn a_new_process_that_cannot_start_changes_nothing_and_the_log_says_why() {
    let upstream = upstream::echo().unwrap();
    let gateway = Gateway::with_config(configuration(&upstream)).unwrap();
    let before = gateway.serving_pid();
    // What the new process would start with.
    let settings = gateway.prefix().join(".kong_env");
    let good = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{good}\nrouter_flavor = no such flavour\n")).unwrap();
    gateway.signal(Signal::SIGUSR2).unwrap();
    wait_until("no reason is logged", &gateway, || {
        let logs = gateway.logs();
        logs.contains("this process goes on serving: the new process could not start:")
            && logs.contains("no such flavour")
    });
    assert_eq!(gateway.get("h", "/").unwrap().status(), 200);
    assert_eq!(gateway.admin("GET", "/status", "").unwrap().status(), 200);
    assert_eq!(gateway.serving_pid(), before);

    // Once what was wrong is put right, the next attempt succeeds.
    fs::write(&settings, good).unwrap();
    gateway.upgrade().unwrap();
    assert_eq!(gateway.get("h", "/").unwrap().status(), 200);
}

#[test]
fn the_program_is_looked_for_where_it_was_called() {
    let upstream = upstream::echo().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("gibbon");
    std::os::unix::fs::symlink(gibbon_testkit::binary_path().unwrap(), &link).unwrap();
    let gateway = Settings::new().config(configuration(&upstream)).binary(&link).start().unwrap();
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/bin/false", &link).unwrap();
    gateway.signal(Signal::SIGUSR2).unwrap();
    wait_until("the link is not followed anew", &gateway, || gateway.logs().contains("no upgrade"));
    assert_eq!(gateway.get("h", "/").unwrap().status(), 200);
}

#[test]
fn an_idle_connection_may_bring_one_more_request_and_a_websocket_goes_on() {
    let upstream = Upstream::serve(|mut connection| {
        let Some(request) = connection.read_request()? else { return Ok(()) };
        if request.header("upgrade").is_none() {
            return connection.answer(200, &[], "");
        }
        connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        loop {
            let bytes = connection.read_exact(4)?;
            connection.send(bytes)?;
        }
    })
    .unwrap();
    let gateway = Gateway::with_config(configuration(&upstream)).unwrap();
    let mut idle = gateway.connect().unwrap();
    assert_eq!(idle.exchange(REQUEST).unwrap().header("connection"), Some("keep-alive"));
    let mut talking = gateway.connect().unwrap();
    talking
        .send("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .unwrap();
    assert_eq!(talking.read_head().unwrap().status, 101);
    gateway.upgrade().unwrap();
    wait_until("the new process does not take over", &gateway, || gateway.logs().contains("has taken over"));
    assert_eq!(idle.exchange(REQUEST).unwrap().header("connection"), Some("close"));
    idle.expect_close().unwrap();
    // Longer than idle connections are kept.
    let over = Instant::now() + std::time::Duration::from_secs(6);
    while Instant::now() < over {
        talking.send("ping").unwrap();
        assert_eq!(talking.read_exact(4).unwrap(), b"ping");
    }
}

#[test]
fn connections_that_do_not_end_are_cut_when_the_grace_is_over() {
    let (upstream, _release) = held();
    let settings = Settings::new().config(configuration(&upstream)).set("shutdown_grace", "1s");
    let gateway = settings.start().unwrap();
    let mut client = gateway.connect().unwrap();
    client.send(REQUEST).unwrap();
    upstream.next_request().unwrap();
    gateway.upgrade().unwrap();
    client.set_patience(PATIENCE).unwrap();
    assert!(client.read_response("GET").is_err());
    wait_until("the former process goes on", &gateway, || gateway.logs().contains("the former process has ended"));
}

/// Listeners of every kind, of two workers.
struct Listeners {
    gateway: Gateway,
    _upstream: Upstream,
    unix: std::path::PathBuf,
    udp: SocketAddr,
}

impl Listeners {
    fn start() -> Self {
        let upstream = upstream::echo().unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let target = datagrams.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
                let _ = datagrams.send_to(&buffer[..length], from);
            }
        });
        let addresses = Addresses::reserve().unwrap();
        let (one, other) = (addresses.proxy, addresses.proxy_tls);
        let udp = SocketAddr::from(([127, 0, 0, 1], ports::free_udp().unwrap()));
        let folder = tempfile::Builder::new().prefix("gibbon-unix-").tempdir().unwrap().keep();
        let unix = folder.join("proxy.sock");
        let datagrams = json!({"name": "d", "protocols": ["udp"], "destinations": [{"port": udp.port()}]});
        let config = json!({"_format_version": "3.0", "services": [
            {"name": "s", "url": format!("http://{}", upstream.address()), "routes": [{"name": "r", "paths": ["/"]}]},
            {"name": "u", "url": format!("udp://{target}"), "read_timeout": 1000, "routes": [datagrams]}]});
        let gateway = Settings::new()
            .config(config.to_string())
            .set("nginx_worker_processes", "2")
            .set("proxy_listen", format!("{one} reuseport, {other} ssl http2 reuseport, unix:{}", unix.display()))
            .set("stream_listen", format!("{udp} udp reuseport"))
            .listening_at(addresses)
            .start()
            .unwrap();
        Self { gateway, _upstream: upstream, unix, udp }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        if let Some(folder) = self.unix.parent() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn over_unix(path: &Path) -> anyhow::Result<bool> {
    use std::io::{Read, Write};
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

fn over_udp(address: SocketAddr) -> anyhow::Result<bool> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"hello", address)?;
    let mut buffer = [0; 16];
    let (length, _) = socket.recv_from(&mut buffer)?;
    Ok(buffer.get(..length) == Some(b"hello"))
}

#[test]
fn no_listener_of_any_kind_refuses_or_loses_anybody() {
    let listeners = Listeners::start();
    let (gateway, over) = (&listeners.gateway, AtomicBool::new(false));
    let addresses = gateway.addresses();
    let answers: [AtomicU64; 6] = Default::default();
    let ok = |answer: client::Response| answer.status() == 200;
    let ask: [&(dyn Fn() -> anyhow::Result<bool> + Sync); 6] = [
        &|| Ok(ok(gateway.get("h", "/")?)),
        &|| Ok(ok(Client::connect_tls(addresses.proxy_tls, "h", &["http/1.1"])?.exchange(REQUEST)?)),
        &|| over_unix(&listeners.unix),
        &|| over_udp(listeners.udp),
        &|| Ok(ok(gateway.admin("GET", "/routes", "")?)),
        &|| Ok(ok(client::get(addresses.status, "h", "/status/ready")?)),
    ];
    std::thread::scope(|scope| {
        for (number, ask) in ask.iter().enumerate() {
            let (over, answers) = (&over, &answers);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    assert!(ask().unwrap_or_else(|error| panic!("listener {number}: {error:#}")), "listener {number}");
                    answers[number].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..3 {
            gateway.upgrade().unwrap();
            let before: Vec<u64> = answers.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            wait_until("a listener no longer answers", gateway, || {
                answers.iter().zip(&before).all(|(now, before)| now.load(Ordering::Relaxed) > before + 20)
            });
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn changes_to_the_embedded_datastore_go_on_in_the_new_process() {
    let (upstream, release) = held();
    let gateway = Settings::new().set("database", "sqlite").start().unwrap();
    let url = format!("http://{}", upstream.address());
    let put = |name: &str| {
        let service = json!({ "url": url }).to_string();
        assert_eq!(gateway.admin("PUT", &format!("/services/{name}"), &service).unwrap().status(), 200);
        let route = json!({"paths": [format!("/{name}")]}).to_string();
        assert_eq!(
            gateway.admin("PUT", &format!("/services/{name}/routes/{name}"), &route).unwrap().status(),
            200,
            "{}",
            gateway.logs()
        );
    };
    put("before");
    let mut waiting = gateway.connect().unwrap();
    let served = || client::get(gateway.addresses().proxy, "h", "/before").map(|answer| answer.status());
    let release_soon = |count: usize| (0..count).for_each(|_| release.send(()).unwrap());
    release_soon(1);
    wait_until("the route is not in force", &gateway, || served().is_ok_and(|status| status == 200));
    waiting.send("GET /before HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    upstream.next_request().unwrap();
    upstream.next_request().unwrap();
    // With a request that keeps the former process alive, so that two have the file open.
    gateway.upgrade().unwrap();
    put("after");
    release_soon(3);
    assert_eq!(waiting.read_response("GET").unwrap().status(), 200);
    assert_eq!(served().unwrap(), 200);
    assert_eq!(gateway.get("h", "/after").unwrap().status(), 200);
}

#[test]
fn in_the_background_the_commands_find_the_new_process() {
    let upstream = upstream::echo().unwrap();
    let gateway = Settings::new().config(configuration(&upstream)).start_in_background().unwrap();
    gateway.upgrade().unwrap();
    assert_eq!(gateway.get("h", "/").unwrap().status(), 200);
    let health = gateway.command_line(&["health"]).unwrap();
    assert!(health.status.success(), "{health:?}");
    let reloaded = gateway.command_line(&["reload"]).unwrap();
    assert!(reloaded.status.success(), "{reloaded:?}");
    assert!(gateway.command_line(&["quit"]).unwrap().status.success());
    assert_eq!(gateway.serving_pid(), None);
    assert!(gateway.connect().is_err());
}

#[test]
fn in_the_foreground_the_first_process_stays_and_passes_signals_on() {
    let upstream = upstream::echo().unwrap();
    let mut gateway = Gateway::with_config(configuration(&upstream)).unwrap();
    gateway.upgrade().unwrap();
    gateway.upgrade().unwrap();
    assert_eq!(gateway.get("h", "/").unwrap().status(), 200);
    gateway.signal_first(Signal::SIGTERM).unwrap();
    assert!(gateway.wait_exit(PATIENCE).unwrap().success());
    assert!(gateway.connect().is_err());
}
