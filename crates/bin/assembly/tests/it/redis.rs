//! Limits that are counted in Redis, as it is really run: behind TLS with users, and as a cluster.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use gibbon_testkit::client::{self, PATIENCE};
use gibbon_testkit::ports::{free_tcp, free_tcp_address};
use gibbon_testkit::servers::{self, Server};
use gibbon_testkit::upstream;

use crate::rig::Rig;

fn redis(address: SocketAddr, options: &[&str]) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(servers::tool("redis-server").unwrap());
    command.current_dir(folder.path()).args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]).args(options);
    Server::start(command, folder, address).unwrap()
}

/// Two routes with a limit of three a year each: `/strict` fails with Redis, `/tolerant` does not.
fn limited(redis: &str) -> String {
    let route = |name: &str, tolerant: bool| {
        let limit = format!("year: 3, policy: redis, fault_tolerant: {tolerant}, redis: {{{redis}}}");
        format!("  - {{name: {name}, paths: [/{name}], plugins: [{{name: rate-limiting, config: {{{limit}}}}}]}}\n")
    };
    format!("  routes:\n{}{}", route("strict", false), route("tolerant", true))
}

#[test]
fn a_limit_is_counted_behind_tls_by_whoever_has_the_password() {
    let made = rcgen::generate_simple_self_signed(vec!["redis.test".to_owned()]).unwrap();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (cert, key) = (file("cert.pem", made.cert.pem()), file("key.pem", made.signing_key.serialize_pem()));
    let at = free_tcp_address().unwrap();
    let port = at.port().to_string();
    let tls = ["--port", "0", "--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let users =
        ["--tls-auth-clients", "no", "--user", "default", "off", "--user", "ada", "on", ">lovelace", "~*", "+@all"];
    let _redis = redis(at, &[&tls[..], &users[..]].concat());
    let upstream = upstream::echo().unwrap();
    let rig = Rig::bare(&[("lua_ssl_trusted_certificate", cert.clone())]);
    let statuses = |redis: &str| {
        let text = format!("host: 127.0.0.1, port: {port}, {redis}");
        let service = format!("- name: s\n  url: http://{}\n", upstream.address());
        rig.load(&format!("_format_version: '3.0'\nservices:\n{service}{}", limited(&text)));
        [0; 4].map(|_| client::get(rig.proxy, "a.test", "/strict").unwrap().status())
    };
    let ada = "username: ada, password: lovelace, ssl: true";
    assert_eq!(statuses(&format!("{ada}, ssl_verify: true, server_name: redis.test")), [200, 200, 200, 429]);
    // Each of these is refused by one side or the other, and nobody is let through uncounted.
    for wrong in [
        format!("{ada}, ssl_verify: true, server_name: other.test"),
        "username: ada, password: guess, ssl: true".to_owned(),
        "ssl: true".to_owned(),
        "username: ada, password: lovelace".to_owned(),
    ] {
        assert_eq!(statuses(&wrong), [500; 4], "{wrong}");
        assert_eq!(client::get(rig.proxy, "a.test", "/tolerant").unwrap().status(), 200, "{wrong}");
    }
}

#[test]
fn a_limit_is_counted_by_the_node_of_a_cluster_that_has_the_key() {
    let nodes: Vec<(Server, u16)> = (0..2)
        .map(|_| {
            let (at, bus) = (free_tcp_address().unwrap(), free_tcp().unwrap());
            let (port, bus_text) = (at.port().to_string(), bus.to_string());
            (redis(at, &["--port", &port, "--cluster-enabled", "yes", "--cluster-port", &bus_text]), bus)
        })
        .collect();
    let tell = |at: usize, words: &str| {
        let mut command = Command::new(servers::tool("redis-cli").unwrap());
        command.args(["-p", &nodes[at].0.address().port().to_string()]).args(words.split(' '));
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    };
    tell(0, "CLUSTER ADDSLOTSRANGE 0 8000");
    tell(1, "CLUSTER ADDSLOTSRANGE 8001 16383");
    tell(0, &format!("CLUSTER MEET 127.0.0.1 {} {}", nodes[1].0.address().port(), nodes[1].1));
    let deadline = Instant::now() + PATIENCE;
    while !(0..2).all(|at| tell(at, "CLUSTER INFO").contains("cluster_state:ok")) {
        assert!(Instant::now() < deadline, "{}", tell(0, "CLUSTER NODES"));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let upstream = upstream::echo().unwrap();
    let known = nodes[0].0.address().port();
    // Enough routes that both nodes have keys.
    let limit = format!(
        "year: 3, policy: redis, fault_tolerant: false, redis: {{host: 127.0.0.1, cluster_nodes: [{{ip: 127.0.0.1, port: {known}}}]}}"
    );
    let routes: String = (0..8)
        .map(|n| {
            format!("  - {{name: r{n}, paths: [/{n}], plugins: [{{name: rate-limiting, config: {{{limit}}}}}]}}\n")
        })
        .collect();
    let config = format!(
        "_format_version: '3.0'\nservices:\n- name: s\n  url: http://{}\n  routes:\n{routes}",
        upstream.address()
    );
    let rig = Rig::start(&[("nginx_worker_processes", "4".to_owned())], &config);
    for n in 0..8 {
        let statuses = [0; 4].map(|_| client::get(rig.proxy, "a.test", &format!("/{n}")).unwrap().status());
        assert_eq!(statuses, [200, 200, 200, 429], "/{n}");
    }
    let keys = [0, 1].map(|at| tell(at, "DBSIZE").trim().trim_start_matches("(integer) ").parse::<u32>().unwrap());
    assert!(keys[0] + keys[1] == 8 && keys.iter().all(|count| *count > 0), "{keys:?}");
}
