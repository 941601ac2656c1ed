//! How does it end, and what does it keep out? Signals as nginx's master takes them, and the limit of connections per address.

use std::fs;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use gibbon_testkit::{Client, Gateway, Settings, Signal, Upstream};

/// Longer than any end that does not wait for requests.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const REQUEST: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

pub fn configuration(upstream: &Upstream) -> String {
    let address = upstream.address();
    format!(
        "_format_version: '3.0'\nservices: [{{name: s, url: 'http://{address}', routes: [{{name: r, paths: [/]}}]}}]\n"
    )
}

/// An upstream that answers once it is told to.
pub fn held() -> (Upstream, std::sync::mpsc::Sender<()>) {
    let (release, released) = channel::<()>();
    let released = std::sync::Mutex::new(released);
    let upstream = Upstream::serve(move |mut connection| {
        while connection.read_request()?.is_some() {
            let _ = released.lock().unwrap().recv();
            connection.answer(200, &[], "late")?;
        }
        Ok(())
    });
    (upstream.unwrap(), release)
}

/// A gateway with one request that waits at the upstream.
pub fn busy() -> (Gateway, Upstream, std::sync::mpsc::Sender<()>, Client) {
    let (upstream, release) = held();
    let gateway = Gateway::with_config(configuration(&upstream)).unwrap();
    let mut client = gateway.connect().unwrap();
    client.send(REQUEST).unwrap();
    upstream.next_request().unwrap();
    (gateway, upstream, release, client)
}

#[test]
fn quit_waits_for_the_request_under_way() {
    let (mut gateway, _upstream, release, mut client) = busy();
    gateway.signal(Signal::SIGQUIT).unwrap();
    let refused = Instant::now() + PATIENCE;
    while gateway.connect().is_ok() {
        assert!(Instant::now() < refused, "connections are still taken");
    }
    release.send(()).unwrap();
    let answer = client.read_response("GET").unwrap();
    assert_eq!((answer.status(), answer.text().as_str(), answer.header("connection")), (200, "late", Some("close")));
    assert!(gateway.wait_exit(PATIENCE).unwrap().success());
}

#[test]
fn term_behind_quit_does_not_wait() {
    let (mut gateway, _upstream, _release, mut client) = busy();
    gateway.signal(Signal::SIGQUIT).unwrap();
    gateway.signal(Signal::SIGTERM).unwrap();
    assert!(gateway.wait_exit(PATIENCE).unwrap().success());
    assert!(client.read_response("GET").is_err());
}

#[test]
fn term_cuts_the_request_under_way() {
    let (mut gateway, _upstream, _release, mut client) = busy();
    gateway.signal(Signal::SIGTERM).unwrap();
    assert!(gateway.wait_exit(PATIENCE).unwrap().success());
    assert!(client.read_response("GET").is_err());
}

#[test]
fn usr1_opens_the_logs_again() {
    let upstream = gibbon_testkit::upstream::echo().unwrap();
    let gateway = Gateway::with_config(configuration(&upstream)).unwrap();
    let (log, moved) = (gateway.prefix().join("logs/access.log"), gateway.prefix().join("logs/access.log.1"));
    fs::rename(&log, &moved).unwrap();
    gateway.signal(Signal::SIGUSR1).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !log.exists() {
        assert!(Instant::now() < deadline, "no new log");
        std::thread::yield_now();
    }
    gateway.get("h", "/after").unwrap();
    while !fs::read_to_string(&log).unwrap().contains("GET /after") {
        assert!(Instant::now() < deadline, "the new log stays empty");
        std::thread::yield_now();
    }
    assert!(!fs::read_to_string(&moved).unwrap().contains("/after"));
}

#[test]
fn an_address_has_only_so_many_connections() {
    let upstream = gibbon_testkit::upstream::echo().unwrap();
    let settings = Settings::new().config(configuration(&upstream)).set("connections_per_ip", "2");
    let gateway = settings.start().unwrap();
    let open = || {
        let mut client = gateway.connect()?;
        client.exchange(REQUEST).map(|answer| (client, answer.status()))
    };
    let (first, second) = (open().unwrap(), open().unwrap());
    assert_eq!((first.1, second.1), (200, 200));
    assert!(open().is_err(), "a third connection was served");
    drop(first);
    let deadline = Instant::now() + PATIENCE;
    while open().is_err() {
        assert!(Instant::now() < deadline, "a closed connection still counts");
    }
}
