//! A database that is not reachable: the gateway goes on serving, writes say why not, and all is well when it is back.
//! Two nodes on one database see each other's changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gibbon_testkit::gateway::{Gateway, Settings};
use gibbon_testkit::{servers, upstream};
use serde_json::{Value, json};

/// A way to a server that can be cut and mended.
struct Wire {
    address: SocketAddr,
    whole: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(server: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire {
            address: listener.local_addr().unwrap(),
            whole: Arc::new(AtomicBool::new(true)),
            open: Arc::default(),
        };
        let (whole, open) = (Arc::clone(&wire.whole), Arc::clone(&wire.open));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Some(server) = whole.load(Ordering::SeqCst).then(|| TcpStream::connect(server).ok()).flatten()
                else {
                    continue;
                };
                let mut open = open.lock().unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    open.push(from.try_clone().unwrap());
                    std::thread::spawn(move || {
                        let _ = copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        wire
    }

    fn cut(&self) {
        self.whole.store(false, Ordering::SeqCst);
        for end in self.open.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.whole.store(true, Ordering::SeqCst);
    }
}

fn node(database: SocketAddr) -> Settings {
    Settings::new()
        .set("database", "postgres")
        .set("pg_port", database.port().to_string())
        .set("pg_user", "gibbon")
        .set("pg_database", "gibbon")
        .set("db_update_frequency", "0.2")
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> (u16, Value) {
    let answer = gateway.admin("POST", path, &body.to_string()).unwrap();
    (answer.status(), answer.json().unwrap())
}

/// Asks until it is so; the limit is generous because machines are busy.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_gateway_serves_on_and_recovers_by_itself() {
    let server = servers::postgres().unwrap();
    let upstream = upstream::echo().unwrap();
    let wire = Wire::to(server.address());
    assert!(node(wire.address).command_line(&["migrations", "bootstrap"]).unwrap().status.success());
    let gateway = node(wire.address).start().unwrap();
    let other = node(server.address()).start().unwrap();
    post(&gateway, "/services", &json!({"name": "s", "url": format!("http://{}", upstream.address())}));
    post(&gateway, "/services/s/routes", &json!({"paths": ["/a"]}));
    eventually("the other node serves it too", || other.get("a.test", "/a").unwrap().status() == 200);

    wire.cut();
    assert_eq!(gateway.get("a.test", "/a").unwrap().status(), 200, "traffic needs no database");
    let (status, answer) = post(&gateway, "/services", &json!({"name": "t", "host": "b.test"}));
    assert_eq!(status, 503, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("the datastore is not available"), "{answer}");
    let state: Value = gateway.admin("GET", "/status", "").unwrap().json().unwrap();
    assert_eq!(state["database"], json!({"reachable": false}));
    // Meanwhile the other node changes something.
    assert_eq!(post(&other, "/services/s/routes", &json!({"paths": ["/b"]})).0, 201);

    wire.mend();
    eventually("writes succeed again", || post(&gateway, "/services", &json!({"host": "c.test"})).0 == 201);
    eventually("what was missed is in force", || gateway.get("a.test", "/b").unwrap().status() == 200);
    let missing = gateway.admin("GET", "/services/t", "").unwrap();
    assert_eq!(missing.status(), 404, "what was refused was not done");
}
