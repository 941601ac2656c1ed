//! What several nodes have in common through their datastore or Redis: what may be used once, what is counted, who is
//! logged in.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use gibbon_testkit::client::{self, PATIENCE, Response};
use gibbon_testkit::servers::{self, Server};
use gibbon_testkit::upstream::{self, Upstream};
use gibbon_testkit::{Gateway, Settings, ports};
use serde_json::{Value, json};

/// Two nodes of four workers on one PostgreSQL.
struct Cluster {
    nodes: [Gateway; 2],
    upstream: Upstream,
    _database: Server,
}

impl Cluster {
    /// With one service `s` and one route `r` for all paths.
    fn start() -> Self {
        let database = servers::postgres().unwrap();
        let node = || {
            Settings::new()
                .on_postgres(database.address())
                .set("db_update_frequency", "0.2")
                .set("trusted_ips", "127.0.0.1")
                .set("nginx_worker_processes", "4")
        };
        assert!(node().command_line(&["migrations", "bootstrap"]).unwrap().status.success());
        let cluster = Cluster {
            nodes: [node().start().unwrap(), node().start().unwrap()],
            upstream: upstream::echo().unwrap(),
            _database: database,
        };
        cluster.admin("POST /services", &json!({"name": "s", "url": format!("http://{}", cluster.upstream.address())}));
        cluster.admin("POST /services/s/routes", &json!({"name": "r", "paths": ["/"]}));
        cluster
    }

    /// A call of the first node's Admin API that must go well.
    fn admin(&self, line: &str, body: &Value) {
        let (method, target) = line.split_once(' ').unwrap();
        let answer = self.nodes[0].admin(method, target, &body.to_string()).unwrap();
        assert!(answer.status() < 300, "{line}: {} {}", answer.status(), answer.text());
    }

    fn proxies(&self) -> [SocketAddr; 2] {
        [self.nodes[0].addresses().proxy, self.nodes[1].addresses().proxy]
    }

    /// Waits until the second node is as far as the first, which the answer to this request shows.
    fn settle(&self, head: &str, status: u16) {
        let deadline = Instant::now() + PATIENCE;
        while ask(self.proxies()[1], head, "").status() != status {
            assert!(Instant::now() < deadline, "the second node does not follow");
            std::thread::yield_now();
        }
    }
}

fn ask(to: SocketAddr, head: &str, body: &str) -> Response {
    let length = body.len();
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nX-Forwarded-Proto: https";
    let text =
        format!("{head}\r\nHost: api.test\r\nConnection: close\r\n{kind}\r\nContent-Length: {length}\r\n\r\n{body}");
    client::once(to, text).unwrap()
}

/// Sends a request to both nodes many times at once, and gives the answers of status 200.
fn at_once(to: [SocketAddr; 2], head: &str, body: &str) -> Vec<Value> {
    let answers: Vec<Response> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|n| scope.spawn(move || ask(to[n % 2], head, body))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let strange = answers.iter().find(|answer| ![200, 400].contains(&answer.status()));
    assert!(strange.is_none(), "{:?}", strange.map(Response::text));
    answers.iter().filter(|answer| answer.status() == 200).map(|answer| answer.json().unwrap()).collect()
}

#[test]
fn a_code_and_a_refresh_token_are_used_once_in_the_whole_cluster() {
    let cluster = Cluster::start();
    cluster.admin("POST /consumers", &json!({"username": "alice"}));
    let client =
        json!({"name": "app", "client_id": "cid", "client_secret": "csec", "redirect_uris": ["http://app.test/cb"]});
    cluster.admin("POST /consumers/alice/oauth2", &client);
    let settings = json!({"enable_authorization_code": true, "provision_key": "prov", "scopes": ["mail"],
        "accept_http_if_already_terminated": true});
    cluster.admin("POST /services/s/plugins", &json!({"name": "oauth2", "config": settings}));
    cluster.settle("GET / HTTP/1.1", 401);
    let proxies = cluster.proxies();
    let authorize = "response_type=code&provision_key=prov&authenticated_userid=u1&client_id=cid";
    let token = "POST /oauth2/token HTTP/1.1";
    for _ in 0..4 {
        let given = ask(proxies[0], "POST /oauth2/authorize HTTP/1.1", authorize).json().unwrap();
        let uri = given["redirect_uri"].as_str().unwrap_or_else(|| panic!("{given}")).to_owned();
        let code = uri.split_once("code=").unwrap().1;
        let redeem = format!("client_id=cid&client_secret=csec&grant_type=authorization_code&code={code}");
        let tokens = at_once(proxies, token, &redeem);
        assert_eq!(tokens.len(), 1, "a code is good for one token");
        let refresh = tokens[0]["refresh_token"].as_str().unwrap();
        let refresh = format!("client_id=cid&client_secret=csec&grant_type=refresh_token&refresh_token={refresh}");
        let renewed = at_once(proxies, token, &refresh);
        assert_eq!(renewed.len(), 1, "and so is a refresh token");
        // What is left is good on both nodes.
        let bearer =
            format!("GET / HTTP/1.1\r\nAuthorization: Bearer {}", renewed[0]["access_token"].as_str().unwrap());
        assert_eq!(proxies.map(|proxy| ask(proxy, &bearer, "").status()), [200, 200]);
    }
}

#[test]
fn a_limit_in_the_datastore_counts_for_all_nodes() {
    let cluster = Cluster::start();
    let limit = json!({"name": "rate-limiting", "config": {"year": 50, "policy": "cluster"}});
    cluster.admin("POST /services/s/plugins", &limit);
    let follows = || ask(cluster.proxies()[1], "GET / HTTP/1.1", "").header("x-ratelimit-limit-year").is_some();
    let deadline = Instant::now() + PATIENCE;
    while !follows() {
        assert!(Instant::now() < deadline, "the second node does not follow");
    }
    // One request was counted while waiting.
    let admitted: usize = std::thread::scope(|scope| {
        let client = |to| move || (0..20).filter(|_| ask(to, "GET / HTTP/1.1", "").status() == 200).count();
        let clients: Vec<_> =
            cluster.proxies().into_iter().flat_map(|to| [to; 2]).map(|to| scope.spawn(client(to))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(admitted + 1, 50, "of 81 requests to two nodes");
}

#[test]
fn a_session_in_the_datastore_is_known_by_every_node_until_logout() {
    let cluster = Cluster::start();
    cluster.admin("POST /consumers", &json!({"username": "alice"}));
    cluster.admin("POST /consumers", &json!({"username": "anon"}));
    cluster.admin("POST /consumers/alice/key-auth", &json!({"key": "k"}));
    cluster.admin("POST /plugins", &json!({"name": "key-auth", "config": {"anonymous": "anon"}}));
    let settings = json!({"secret": "fixed-secret", "storage": "kong"});
    cluster.admin("POST /plugins", &json!({"name": "session", "config": settings}));
    let stop = json!({"name": "request-termination", "consumer": {"username": "anon"}, "config": {"status_code": 403}});
    cluster.admin("POST /plugins", &stop);
    let [first, second] = cluster.proxies();
    cluster.settle("GET / HTTP/1.1", 403);
    let entered = ask(first, "GET / HTTP/1.1\r\napikey: k", "");
    let cookie = entered.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    // The row is written behind the answer.
    cluster.settle(&format!("GET / HTTP/1.1\r\nCookie: {cookie}"), 200);
    let logout = format!("DELETE /?session_logout=1 HTTP/1.1\r\nCookie: {cookie}");
    assert_eq!(ask(second, &logout, "").status(), 200);
    let with_cookie = format!("GET / HTTP/1.1\r\nCookie: {cookie}");
    assert_eq!([ask(first, &with_cookie, "").status(), ask(second, &with_cookie, "").status()], [403, 403]);
}

fn redis_at(address: SocketAddr) -> Server {
    let mut command = Command::new(servers::tool("redis-server").unwrap());
    command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    Server::start(command, tempfile::tempdir().unwrap(), address).unwrap()
}

#[test]
fn redis_goes_away_and_comes_back_and_meanwhile_fault_tolerant_decides() {
    let address = ports::free_tcp_address().unwrap();
    let (redis, upstream) = (redis_at(address), upstream::echo().unwrap());
    let route = |name: &str, tolerant: bool| {
        let redis = json!({"host": "127.0.0.1", "port": address.port(), "timeout": 1000});
        let limit = json!({"year": 1000, "policy": "redis", "fault_tolerant": tolerant, "redis": redis});
        json!({"name": name, "paths": [format!("/{name}")], "plugins": [{"name": "rate-limiting", "config": limit}]})
    };
    let config = json!({"_format_version": "3.0", "services": [{
        "name": "s", "url": format!("http://{}", upstream.address()), "routes": [route("tolerant", true), route("strict", false)],
    }]});
    let gateway = Settings::new().set("nginx_worker_processes", "4").config(config.to_string()).start().unwrap();
    let get = |path: &str| gateway.get("api.test", path).unwrap();
    let remaining = |path: &str| get(path).header("x-ratelimit-remaining-year").map(str::to_owned);
    assert_eq!([remaining("/tolerant"), remaining("/strict")], [Some("999".into()), Some("999".into())]);

    drop(redis);
    for _ in 0..8 {
        assert_eq!((get("/tolerant").status(), get("/strict").status()), (200, 500));
    }
    assert_eq!(remaining("/tolerant"), None, "what is not known is not told");

    let _redis = redis_at(address);
    let deadline = Instant::now() + PATIENCE;
    while get("/strict").status() != 200 || remaining("/tolerant").is_none() {
        assert!(Instant::now() < deadline, "Redis is back and not used");
    }
    // It came back empty, as it does without persistence.
    assert!(remaining("/strict").is_some_and(|left| left.parse::<u32>().unwrap() >= 900));
}

#[test]
fn a_limit_is_counted_by_the_master_that_a_sentinel_names() {
    let (master, at) = (ports::free_tcp_address().unwrap(), ports::free_tcp_address().unwrap());
    let (_redis, upstream) = (redis_at(master), upstream::echo().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sentinel.conf");
    std::fs::write(&path, format!("sentinel monitor main 127.0.0.1 {} 1\n", master.port())).unwrap();
    let mut command = Command::new(servers::tool("redis-server").unwrap());
    command.arg(path).args(["--sentinel", "--port", &at.port().to_string(), "--bind", "127.0.0.1"]);
    let _sentinel = Server::start(command, folder, at).unwrap();
    let config = |master: &str| {
        let redis = json!({"host": "127.0.0.1", "sentinel_master": master, "sentinel_nodes": [{"host": "127.0.0.1", "port": at.port()}]});
        let limit = json!({"year": 3, "policy": "redis", "fault_tolerant": false, "redis": redis});
        json!({"_format_version": "3.0", "services": [{
            "name": "s", "url": format!("http://{}", upstream.address()), "routes": [{"name": "r", "paths": ["/"]}],
            "plugins": [{"name": "rate-limiting", "config": limit}],
        }]})
    };
    let gateway = Settings::new().config(config("main").to_string()).start().unwrap();
    let statuses = [0; 4].map(|_| gateway.get("api.test", "/").unwrap().status());
    assert_eq!(statuses, [200, 200, 200, 429]);
    gateway.load(&config("other")).unwrap();
    assert_eq!(gateway.get("api.test", "/").unwrap().status(), 500, "no sentinel knows that master");
}
