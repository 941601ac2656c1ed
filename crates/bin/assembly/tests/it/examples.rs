//! Every file of `examples/` is started and used, with real upstreams in place of its addresses.

use gibbon_testkit::client::{self, Client, Response};
use gibbon_testkit::upstream::{self, Upstream};

use crate::rig::Rig;

/// Starts an example with its upstreams at hand.
fn example(name: &str, upstreams: [&Upstream; 2]) -> Rig {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/").to_owned() + name;
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("127.0.0.1:9001", &upstreams[0].address().to_string());
    Rig::start(&[], &text.replace("127.0.0.1:9002", &upstreams[1].address().to_string()))
}

fn ask(rig: &Rig, target: &str, headers: &str) -> Response {
    let request = format!("GET {target} HTTP/1.1\r\nHost: api.test\r\n{headers}\r\n");
    Client::connect(rig.proxy).unwrap().exchange(request).unwrap()
}

#[test]
fn basic() {
    let (up, other) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let rig = example("basic.yaml", [&up, &other]);
    assert_eq!(client::get(rig.proxy, "api.test", "/hello/world").unwrap().status(), 200);
    assert_eq!(up.requests()[0].target, "/base/world");
}

#[test]
fn balancing_keeps_a_tenant_with_its_target() {
    let (up, other) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let rig = example("balancing.yaml", [&up, &other]);
    for _ in 0..6 {
        assert_eq!(ask(&rig, "/", "X-Tenant: a\r\n").status(), 200);
    }
    let (first, second) = (up.requests().len(), other.requests().len());
    assert!((first, second) == (6, 0) || (first, second) == (0, 6), "{first} and {second}");
}

#[test]
fn keys_and_limits() {
    let (up, other) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let rig = example("keys-and-limits.yaml", [&up, &other]);
    assert_eq!(ask(&rig, "/", "").status(), 401);
    let statuses: Vec<u16> = (0..6).map(|_| ask(&rig, "/", "apikey: change-me\r\n").status()).collect();
    // A minute may end between two requests; the limit then begins anew.
    assert!(statuses.iter().filter(|s| **s == 200).count() >= 5, "{statuses:?}");
    assert_eq!(up.requests()[0].header("x-consumer-username"), Some("alice"));
}

#[test]
fn transform() {
    let (up, other) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let rig = example("transform.yaml", [&up, &other]);
    let answer = ask(&rig, "/a?x=1", "X-Secret: s\r\n");
    assert_eq!(answer.header("x-served-by"), Some("gibbon"));
    let seen = up.requests()[0].clone();
    assert_eq!(seen.target, "/a?page=1&x=1");
    assert_eq!((seen.header("x-added"), seen.header("x-secret")), (Some("yes"), None));
}
