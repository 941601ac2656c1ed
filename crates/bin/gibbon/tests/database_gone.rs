//! A database that is not reachable: the gateway goes on serving, writes say why not, and all is well when it is back.
//! Two nodes on one database see each other's changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gibbon_testkit::certificates::self_signed;
use gibbon_testkit::gateway::{Gateway, Settings};
use gibbon_testkit::{client, servers, upstream};
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
    Settings::new().on_postgres(database).set("db_update_frequency", "0.2")
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
    assert_eq!(post(&gateway, "/workspaces", &json!({"name": "team"})).0, 201);
    eventually("the other node serves it too", || other.get("a.test", "/a").unwrap().status() == 200);

    wire.cut();
    assert_eq!(gateway.get("a.test", "/a").unwrap().status(), 200, "traffic needs no database");
    let (status, answer) = post(&gateway, "/services", &json!({"name": "t", "host": "b.test"}));
    assert_eq!(status, 503, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("the datastore is not available"), "{answer}");
    let (status, answer) = post(&gateway, "/team/services", &json!({"host": "b.test"}));
    assert_eq!(status, 503, "whether there is such a workspace is not known: {answer}");
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

#[test]
fn the_way_to_the_database_is_encrypted_and_the_server_verified_as_the_settings_say() {
    let (cert, key) = self_signed("localhost").unwrap();
    let (stranger, _) = self_signed("stranger").unwrap();
    let server = servers::tls_postgres(&cert, &key).unwrap();
    let verified = |trusted: &str| {
        let settings = node(server.address()).set("pg_host", "localhost").set("pg_ssl", "on");
        settings.set("pg_ssl_required", "on").set("pg_ssl_verify", "on").set("lua_ssl_trusted_certificate", trusted)
    };
    assert!(verified(&cert).command_line(&["migrations", "bootstrap"]).unwrap().status.success());
    let gateway = verified(&cert).start().unwrap();
    assert_eq!(post(&gateway, "/services", &json!({"name": "s", "host": "a.test"})).0, 201);

    let mistrusted = verified(&stranger).command_line(&["migrations", "list"]).unwrap();
    assert!(!mistrusted.status.success(), "a server that is not trusted is not talked to");
    let unasked = verified(&stranger).set("pg_ssl_verify", "off").command_line(&["migrations", "list"]).unwrap();
    assert!(unasked.status.success(), "{}", String::from_utf8_lossy(&unasked.stderr));

    let plain = servers::postgres().unwrap();
    let required = node(plain.address()).set("pg_ssl", "on").set("pg_ssl_required", "on");
    assert!(
        !required.command_line(&["migrations", "bootstrap"]).unwrap().status.success(),
        "no TLS where it is required"
    );
    let preferred = node(plain.address()).set("pg_ssl", "on").set("pg_ssl_required", "off");
    assert!(preferred.command_line(&["migrations", "bootstrap"]).unwrap().status.success());
}

#[test]
fn one_transaction_at_a_time_is_enough_to_go_on_with() {
    let server = servers::postgres().unwrap();
    let settings = || node(server.address()).set("pg_max_concurrent_queries", "1").set("pg_pool_size", "2");
    assert!(settings().command_line(&["migrations", "bootstrap"]).unwrap().status.success());
    let gateway = settings().start().unwrap();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let gateway = &gateway;
            scope.spawn(move || {
                for n in 0..10 {
                    let name = format!("c{client}n{n}");
                    assert_eq!(post(gateway, "/services", &json!({"name": name, "host": "a.test"})).0, 201);
                    assert_eq!(gateway.admin("GET", &format!("/services/{name}"), "").unwrap().status(), 200);
                }
            });
        }
    });
}

#[test]
fn tokens_are_looked_up_on_the_read_only_server_and_what_has_not_arrived_there_where_it_was_made() {
    // The tables of another node, in another schema, stand for a server that follows: so it can be seen which was asked.
    let server = servers::postgres().unwrap();
    let upstream = upstream::echo().unwrap();
    let following = || node(server.address()).set("pg_schema", "following");
    let leading = || node(server.address()).set("pg_ro_host", "127.0.0.1").set("pg_ro_schema", "following");
    for settings in [leading(), following()] {
        assert!(settings.command_line(&["migrations", "bootstrap"]).unwrap().status.success());
    }
    let (gateway, follower) = (leading().start().unwrap(), following().start().unwrap());
    let credential = "10000000-0000-4000-8000-000000000001";
    for node in [&gateway, &follower] {
        assert_eq!(post(node, "/consumers", &json!({"username": "bob"})).0, 201);
        let client = json!({"id": credential, "name": "app", "redirect_uris": ["https://a.test"]});
        assert_eq!(post(node, "/consumers/bob/oauth2", &client).0, 201);
    }
    post(&gateway, "/services", &json!({"name": "s", "url": format!("http://{}", upstream.address())}));
    post(&gateway, "/services/s/routes", &json!({"paths": ["/"]}));
    let config = json!({"enable_client_credentials": true, "global_credentials": true});
    let (status, answer) = post(&gateway, "/services/s/plugins", &json!({"name": "oauth2", "config": config}));
    assert_eq!(status, 201, "{answer}");
    let token = |node: &Gateway, token: &str| {
        let row = json!({"access_token": token, "expires_in": 3600, "credential": {"id": credential}});
        let (status, answer) = post(node, "/oauth2_tokens", &row);
        assert_eq!(status, 201, "{answer}");
    };
    let ask = |token: &str| {
        let head =
            format!("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n");
        client::once(gateway.addresses().proxy, head).unwrap().status()
    };

    token(&follower, "followed");
    assert_eq!(ask("followed"), 200, "only the server that follows has it");
    token(&gateway, "fresh");
    assert_eq!(ask("fresh"), 200, "it has not arrived there yet");
    assert_eq!(ask("nobody"), 401);
    assert_eq!(
        gateway.admin("GET", "/oauth2_tokens", "").unwrap().json().unwrap()["data"].as_array().unwrap().len(),
        1
    );

    let alone = node(server.address()).set("pg_ro_host", "127.0.0.1").set("pg_ro_port", "1").start().unwrap();
    let head = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nAuthorization: Bearer fresh\r\n\r\n";
    assert_eq!(
        client::once(alone.addresses().proxy, head).unwrap().status(),
        200,
        "without it all is asked where it is written"
    );
}
