//! A node put together from settings serves real traffic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use gibbon_assembly::{NodeSettings, Running};
use gibbon_conf::{Input, Surroundings};
use gibbon_net::Inherited;
use gibbon_plan::Change;
use gibbon_testkit::client;
use gibbon_testkit::upstream;
use serde_json::{Value, json};
use uuid::Uuid;

struct Machine;

impl Surroundings for Machine {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

fn start(prefix: &Path) -> (Running, std::net::SocketAddr) {
    let address = gibbon_testkit::ports::free_tcp_address().unwrap();
    let arguments = [
        ("prefix", prefix.display().to_string()),
        ("database", "off".into()),
        ("proxy_listen", format!("{address} reuseport")),
        ("nginx_worker_processes", "2".into()),
    ];
    let arguments = arguments.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let loaded = gibbon_conf::load(&Input { arguments, ..Input::default() }, &Machine).unwrap();
    let node = NodeSettings { settings: &loaded.settings, values: &loaded.values, node_id: "", access_log: None };
    (Running::start(&node, Inherited::none()).unwrap(), address)
}

fn change(entity: &str, document: Value) -> Change {
    let id = Uuid::parse_str(document["id"].as_str().unwrap()).unwrap();
    Change::insert(entity, id, Uuid::nil(), document)
}

fn id(n: u8) -> String {
    Uuid::from_bytes([n; 16]).to_string()
}

#[test]
fn a_route_leads_to_its_service_and_an_unknown_path_to_404() {
    // Given a node with one route to an upstream that echoes.
    let upstream = upstream::echo().unwrap();
    let prefix = tempfile::tempdir().unwrap();
    let (running, address) = start(prefix.path());
    let service = json!({"id": id(1), "name": "s", "protocol": "http", "host": "127.0.0.1", "port": upstream.address().port(), "path": "/base", "retries": 5});
    let route = json!({"id": id(2), "protocols": ["http", "https"], "paths": ["/a"], "strip_path": true, "service": {"id": id(1)}, "request_buffering": true, "response_buffering": true});
    running.apply(&[change("services", service), change("routes", route)], None).unwrap();

    // When a request matches, then it reaches the service with Kong's headers.
    let answer = client::get(address, "api.test", "/a/b?q=1").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = upstream.requests()[0].clone();
    assert_eq!(seen.target, "/base/b?q=1");
    assert_eq!(seen.header("x-forwarded-prefix"), Some("/a"));
    assert!(answer.header("via").is_some_and(|v| v.starts_with("1.1 gibbon/")), "{answer:?}");

    // When none matches, then the answer is Kong's.
    let missing = client::get(address, "api.test", "/none").unwrap();
    assert_eq!(missing.status(), 404);
    assert!(missing.text().contains("no Route matched with those values"));
    running.stop_fast();
}
