//! HTTP through a whole node.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use gibbon_testkit::{client, upstream};

use crate::rig::Rig;

#[test]
fn a_route_leads_to_its_service_and_an_unknown_path_to_404() {
    // Given a node with one route to an upstream that echoes.
    let upstream = upstream::echo().unwrap();
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: http://{}/base\n  routes:\n  - name: r\n    paths: [/a]\n",
        upstream.address()
    );
    let rig = Rig::start(&[], &config);

    // When a request matches, then it reaches the service with Kong's headers.
    let answer = client::get(rig.proxy, "api.test", "/a/b?q=1").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let seen = upstream.requests()[0].clone();
    assert_eq!(seen.target, "/base/b?q=1");
    assert_eq!(seen.header("x-forwarded-prefix"), Some("/a"));
    assert!(answer.header("via").is_some_and(|v| v.starts_with("1.1 gibbon/")), "{answer:?}");

    // When none matches, then the answer is Kong's.
    let missing = client::get(rig.proxy, "api.test", "/none").unwrap();
    assert_eq!(missing.status(), 404);
    assert!(missing.text().contains("no Route matched with those values"));
}

#[test]
fn a_refused_configuration_leaves_the_former_one_in_force() {
    let upstream = upstream::echo().unwrap();
    let config = format!(
        "{{\"_format_version\":\"3.0\",\"services\":[{{\"name\":\"s\",\"url\":\"http://{}\",\"routes\":[{{\"name\":\"r\",\"paths\":[\"/a\"]}}]}}]}}",
        upstream.address()
    );
    let rig = Rig::start(&[], &config);
    assert!(rig.running().declarative.replace(b"_format_version: '3.0'\nservices:\n- name: s\n").is_err());
    assert_eq!(client::get(rig.proxy, "api.test", "/a").unwrap().status(), 200);
}

#[test]
fn traffic_moves_on_when_a_target_refuses() {
    let alive = upstream::echo().unwrap();
    let dead = upstream::refusing().unwrap();
    let config = format!(
        "_format_version: '3.0'\nupstreams:\n- name: ups\n  targets:\n  - target: {dead}\n  - target: {}\nservices:\n- name: s\n  host: ups\n  routes:\n  - name: r\n    paths: [/]\n",
        alive.address()
    );
    let rig = Rig::start(&[], &config);
    for _ in 0..10 {
        assert_eq!(client::get(rig.proxy, "api.test", "/x").unwrap().status(), 200);
    }
}

#[test]
fn a_client_of_sticky_sessions_stays_with_its_target() {
    // Given an upstream as a dump has it, with every field of hashing at its default.
    let (one, other) = (upstream::echo().unwrap(), upstream::echo().unwrap());
    let config = format!(
        "_format_version: '3.0'\nupstreams:\n- name: ups\n  algorithm: sticky-sessions\n  hash_on: none\n  hash_fallback: none\n\
         \x20 sticky_sessions_cookie: place\n  targets:\n  - target: {}\n  - target: {}\n\
         services:\n- name: s\n  host: ups\n  routes:\n  - name: r\n    paths: [/]\n",
        one.address(),
        other.address()
    );
    let rig = Rig::start(&[], &config);

    // When a client comes without a cookie, then it is given one.
    let first = client::get(rig.proxy, "api.test", "/").unwrap();
    let cookie = first.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("place="), "{cookie}");

    // And when it comes back with it, then to the same target, and is given none.
    for _ in 0..10 {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        assert_eq!(client::once(rig.proxy, request).unwrap().header("set-cookie"), None);
    }
    let mut seen = [one.requests().len(), other.requests().len()];
    seen.sort_unstable();
    assert_eq!(seen, [0, 11]);
}

#[test]
fn a_failover_target_serves_when_all_others_are_gone() {
    let (dead, spare) = (upstream::refusing().unwrap(), upstream::echo().unwrap());
    let config = format!(
        "_format_version: '3.0'\nupstreams:\n- name: ups\n  healthchecks: {{passive: {{unhealthy: {{tcp_failures: 1}}}}}}\n\
         \x20 targets:\n  - target: {dead}\n  - target: {}\n    failover: true\n\
         services:\n- name: s\n  host: ups\n  routes:\n  - name: r\n    paths: [/]\n",
        spare.address()
    );
    let rig = Rig::start(&[], &config);

    // When the only other target refuses, then it is found unhealthy.
    assert_eq!(client::get(rig.proxy, "api.test", "/").unwrap().status(), 200);

    // And from then on nobody waits for it.
    assert_eq!(client::get(rig.proxy, "api.test", "/").unwrap().status(), 200);
    assert_eq!(spare.requests().len(), 2);
}

#[test]
fn whoever_comes_over_a_unix_socket_is_on_no_list_of_addresses() {
    // Given a listener on a Unix socket, an open route, and one that lets this machine in.
    let upstream = upstream::echo().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: http://{}\n  routes:\n  - name: open\n    paths: [/open]\n\
         \x20 - name: local\n    paths: [/local]\n    plugins:\n    - name: ip-restriction\n\
         \x20     config: {{allow: [127.0.0.0/8]}}\n",
        upstream.address()
    );
    let _rig = Rig::start(&[("proxy_listen", format!("unix:{}", socket.display()))], &config);
    let ask = |path: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };

    // When they use the open one, then the upstream is told that there is no address.
    assert!(ask("/open").starts_with("HTTP/1.1 200 "));
    let seen = upstream.requests()[0].clone();
    assert_eq!((seen.header("x-real-ip"), seen.header("x-forwarded-for")), (Some("unix:"), Some("unix:")));
    assert_eq!(seen.header("x-forwarded-port"), None);

    // And the other does not let them in.
    let refused = ask("/local");
    assert!(
        refused.starts_with("HTTP/1.1 403 ") && refused.contains("unix domain sockets are not supported"),
        "{refused}"
    );
}
