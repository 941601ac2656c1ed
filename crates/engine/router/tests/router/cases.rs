//! Random routes and requests over small alphabets, so that most requests match and many match twice.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};

use gibbon_message::Headers;
use gibbon_router::{Address, Endpoint, Protocol, Query, RouteSpec};
use uuid::Uuid;

/// SplitMix64: small, and the same everywhere for a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    pub fn pick<'a, A: ?Sized>(&mut self, from: &[&'a A]) -> &'a A {
        from[self.below(from.len())]
    }

    /// Between `least` and `most` different ones.
    pub fn some(&mut self, from: &[&str], least: usize, most: usize) -> Vec<String> {
        let count = least + self.below(most - least + 1);
        let mut out: Vec<String> = Vec::new();
        while out.len() < count.min(from.len()) {
            let one = self.pick(from).to_owned();
            if !out.contains(&one) {
                out.push(one);
            }
        }
        out
    }
}

/// The seed of a run: `ROUTER_SEED`, or a fresh one. It is printed, so that a failure can be repeated.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("ROUTER_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| RandomState::new().hash_one(test));
    println!("{test}: ROUTER_SEED={seed}");
    seed
}

const HOSTS: [&str; 12] =
    ["a.t", "b.t", "x.a.t", "*.t", "*.a.t", "a.*", "x.*", "a.t:80", "a.t:8080", "*.t:8080", "a.*:80", "b.t:81"];
const PATHS: [&str; 9] = ["/", "/a", "/a/b", "/ab", "/a/", "/b", "/a/b/c", "/c", "/d"];
const REGEXES: [&str; 9] =
    ["~/a.*", "~/(a|b)$", r"~/a/(?<id>\d+)", "~/b|/a", "~/x?(a)?", r"~/\w+/b", "~/ab?/", "~/(?i)A", "~/a(/b)?(/c)?$"];
const METHODS: [&str; 3] = ["GET", "POST", "PURGE"];
const VALUES: [&str; 6] = ["1", "2", "ONE", "~*^v[0-9]$", "~*n", "é"];
const SNIS: [&str; 6] = ["a.t", "b.t", "*.t", "a.*", "a.t.", "*.a.t."];
const ADDRESSES: [&str; 5] = ["10.0.0.1", "10.0.0.2", "10.0.0.0/31", "10.0.0.0/8", "10.0.0.1/32"];
const PORTS: [u16; 3] = [80, 81, 8080];

pub fn id(random: &mut Random) -> Uuid {
    Uuid::from_u128(u128::from(random.next()) << 64 | u128::from(random.next()))
}

fn endpoints(random: &mut Random) -> Vec<Endpoint> {
    (0..1 + random.below(2))
        .map(|_| {
            let (address, port) = (Address::parse(random.pick(&ADDRESSES)), PORTS[random.below(3)]);
            match random.below(3) {
                0 => Endpoint { address, port: None },
                1 => Endpoint { address: None, port: Some(port) },
                _ => Endpoint { address, port: Some(port) },
            }
        })
        .collect()
}

fn headers(random: &mut Random) -> Vec<(String, Vec<String>)> {
    let names: &[&str] = if random.percent(25) { &["X-A", "x-b"] } else { &["x-a"] };
    names.iter().map(|name| ((*name).to_owned(), random.some(&VALUES, 1, 2))).collect()
}

/// An HTTP route of attributes, at least one of them set.
pub fn http_route(random: &mut Random) -> RouteSpec {
    loop {
        let mut route = RouteSpec {
            id: id(random),
            protocols: match random.below(6) {
                0 => [Protocol::Http].into_iter().collect(),
                1 => [Protocol::Https].into_iter().collect(),
                2 => [Protocol::Grpc, Protocol::Grpcs].into_iter().collect(),
                _ => [Protocol::Http, Protocol::Https].into_iter().collect(),
            },
            created_at: random.below(4) as i64,
            ..RouteSpec::default()
        };
        if random.percent(50) {
            route.hosts = random.some(&HOSTS, 1, 3);
        }
        if random.percent(70) {
            route.paths = random.some(&PATHS, 1, 3);
            if random.percent(30) {
                route.paths.extend(random.some(&REGEXES, 1, 2));
            }
            if random.percent(20) {
                route.paths.reverse();
            }
            if random.percent(30) {
                route.regex_priority = random.below(4) as i64 - 1;
            }
        } else if random.percent(30) {
            route.paths = random.some(&REGEXES, 1, 3);
        }
        if random.percent(25) {
            route.methods = random.some(&METHODS, 1, 2);
        }
        if random.percent(25) {
            route.headers = headers(random);
        }
        if random.percent(15) {
            route.snis = random.some(&SNIS, 1, 2);
        }
        if random.percent(5) {
            route.sources = endpoints(random);
        }
        if random.percent(5) {
            route.destinations = endpoints(random);
        }
        let is_empty = route.hosts.is_empty() && route.paths.is_empty() && route.methods.is_empty();
        if !is_empty || !route.headers.is_empty() || !route.snis.is_empty() {
            return route;
        }
    }
}

pub fn stream_route(random: &mut Random) -> RouteSpec {
    let mut route = RouteSpec {
        id: id(random),
        protocols: match random.below(4) {
            0 => [Protocol::Tcp].into_iter().collect(),
            1 => [Protocol::TlsPassthrough].into_iter().collect(),
            2 => [Protocol::Tls].into_iter().collect(),
            _ => [Protocol::Tcp, Protocol::Tls, Protocol::Udp].into_iter().collect(),
        },
        created_at: random.below(4) as i64,
        ..RouteSpec::default()
    };
    let which = 1 + random.below(7);
    if which & 1 != 0 {
        route.snis = random.some(&SNIS, 1, 2);
    }
    if which & 2 != 0 {
        route.sources = endpoints(random);
    }
    if which & 4 != 0 {
        route.destinations = endpoints(random);
    }
    route
}

/// A route whose expression is drawn from a small grammar.
pub fn expression_route(random: &mut Random) -> RouteSpec {
    RouteSpec {
        id: id(random),
        protocols: match random.below(4) {
            0 => [Protocol::Http].into_iter().collect(),
            1 => [Protocol::Https].into_iter().collect(),
            _ => [Protocol::Http, Protocol::Https].into_iter().collect(),
        },
        expression: Some(expression(random, 3)),
        priority: random.below(3) as u64,
        ..RouteSpec::default()
    }
}

const TERMS: [&str; 36] = [
    r#"http.host == "a.t""#,
    r#"http.host =^ ".t""#,
    r#"http.host ^= "a.""#,
    r#"http.host != "b.t""#,
    r#"lower(http.host) == "a.t""#,
    r#"http.path ^= "/a""#,
    r#"http.path ^= "/a/""#,
    r#"http.path == "/a""#,
    r#"http.path == "/a/b""#,
    r#"http.path ^= "/""#,
    r#"http.path =^ "b""#,
    r#"http.path contains "b""#,
    r#"http.path != "/b""#,
    r##"http.path ~ r#"^/a/(?<id>\d+)"#"##,
    r#"http.path ~ "^/(a|b)""#,
    r#"http.path ~ "b(/c)?""#,
    r#"lower(http.path) ~ "^/a(b)?""#,
    r#"http.method == "GET""#,
    r#"http.method != "POST""#,
    r#"http.headers.x_a == "1""#,
    r#"any(http.headers.x_a) == "1""#,
    r#"any(lower(http.headers.x_a)) == "one""#,
    r#"any(http.headers.x_a) != "1""#,
    r#"http.headers.x_b != "2""#,
    r#"http.headers.x_b ~ "^v[0-9]$""#,
    r#"http.queries.q == "1""#,
    r#"any(http.queries.q) == "1""#,
    r#"http.queries.q == """#,
    r#"http.path.segments.0 == "a""#,
    r#"http.path.segments.0_1 == "a/b""#,
    r#"http.path.segments.len == 1"#,
    r#"http.path.segments.len >= 2"#,
    r#"net.dst.port == 8080"#,
    r#"net.src.ip in 10.0.0.0/31"#,
    r#"net.protocol == "https""#,
    r#"tls.sni == "a.t""#,
];

fn expression(random: &mut Random, depth: usize) -> String {
    if depth == 0 || random.percent(45) {
        return random.pick(&TERMS).to_owned();
    }
    let (one, other) = (expression(random, depth - 1), expression(random, depth - 1));
    match random.below(5) {
        0 | 1 => format!("{one} && {other}"),
        2 => format!("({one} || {other})"),
        3 => format!("{one} || {other}"),
        _ => format!("!({one}) && {other}"),
    }
}

/// A request or connection that owns what a query borrows.
pub struct Request {
    pub protocol: Protocol,
    pub method: &'static str,
    pub host: &'static str,
    pub path: &'static str,
    pub query: Option<&'static str>,
    pub headers: Headers,
    pub sni: Option<&'static str>,
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
}

impl Request {
    pub fn query(&self) -> Query<'_> {
        Query {
            protocol: self.protocol,
            method: self.method,
            host: self.host.as_bytes(),
            path: self.path.as_bytes(),
            raw_query: self.query.map(str::as_bytes),
            headers: &self.headers,
            sni: self.sni,
            source: self.source,
            destination: self.destination,
        }
    }
}

fn address(random: &mut Random) -> (IpAddr, u16) {
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1 + random.below(3) as u8)), PORTS[random.below(3)])
}

pub fn http_request(random: &mut Random) -> Request {
    let hosts = ["a.t", "a.t", "b.t", "x.a.t", "y.x.a.t", ".t", "A.T", "a.t:8080", "b.t:81", "a.q", "x.q:80", "q", ""];
    let paths = ["/", "/a", "/a/b/c", "/ab", "/b", "/a/12", "/a/12/b", "/x", "/c", "/d/b", "/A", "/a/b", "/é"];
    let mut headers = Headers::new();
    for name in ["x-a", "X-A", "x_b", "X-B"] {
        if random.percent(30) {
            headers.append(name, random.pick(&["1", "2", "One", "v1", "V2", "no", "É"]));
        }
    }
    let protocol = if random.percent(50) { Protocol::Http } else { Protocol::Https };
    let sni = (protocol == Protocol::Https).then(|| random.pick(&["a.t", "b.t", "x.a.t", "q"]));
    Request {
        protocol,
        method: random.pick(&["GET", "GET", "POST", "PURGE", "get"]),
        host: random.pick(&hosts),
        path: random.pick(&paths),
        query: [None, Some("q=1"), Some("q=1&q=2"), Some("q"), Some("p=1&q=%31")][random.below(5)],
        headers,
        sni: sni.filter(|_| random.percent(80)),
        source: address(random),
        destination: address(random),
    }
}

pub fn stream_request(random: &mut Random) -> Request {
    let protocol = [Protocol::Tcp, Protocol::Tls, Protocol::Tls, Protocol::Udp][random.below(4)];
    let sni = random.pick(&["a.t", "b.t", "x.a.t", "a.q", "q"]);
    Request {
        protocol,
        method: "",
        host: "",
        path: "",
        query: None,
        headers: Headers::new(),
        sni: (protocol == Protocol::Tls).then_some(sni),
        source: address(random),
        destination: address(random),
    }
}
