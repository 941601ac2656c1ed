//! Prints what a look-up, a build and a change cost with 1, 1,000, 100,000 and 1,000,000 routes.
//!
//! `cargo run --release -p gibbon-router --example lookup [most routes] [look-ups]`
//!
//! Of the routes 90 % have a host and a prefix, 9 % a method or header besides, 1 % a regular expression with a
//! literal start; all paths differ. Requests are drawn at random, so that caches help as little as in real life.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::indexing_slicing)]

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use gibbon_message::Headers;
use gibbon_router::{Change, Flavor, Protocol, Query, RouteSpec, Router, Scratch, Subsystem};
use uuid::Uuid;

const CHANGES: usize = 200;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Twenty routes share a host.
fn host_of(number: usize) -> String {
    format!("team-{}.api.example.com", number / 20)
}

fn route(number: usize) -> RouteSpec {
    let mut spec = RouteSpec {
        id: Uuid::from_u128(u128::from(Random(number as u64).next()) << 64 | number as u128),
        protocols: [Protocol::Http, Protocol::Https].into_iter().collect(),
        hosts: vec![host_of(number)],
        paths: vec![format!("/service-{number}/v1")],
        ..RouteSpec::default()
    };
    match number % 100 {
        0..5 => spec.methods = vec!["GET".into(), "POST".into()],
        5..9 => spec.headers = vec![("x-version".into(), vec!["2".into()])],
        9 => spec.paths = vec![format!(r"~/service-{number}/v1/(?<id>\d+)$")],
        _ => {}
    }
    spec
}

/// Writes the host and path of a request for a route.
fn write_request(number: usize, host: &mut String, path: &mut String) {
    host.clear();
    path.clear();
    let _ = write!(host, "team-{}.api.example.com", number / 20);
    let _ = write!(path, "/service-{number}/v1/4711");
}

/// CPU time of this thread: what other work takes meanwhile does not count.
fn cpu_nanoseconds() -> usize {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    statistics.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0)
}

fn resident_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0) / 1024
}

fn measure(flavor: Flavor, count: usize, lookups: usize) {
    let before = resident_mib();
    let start = Instant::now();
    let routes = (0..count).map(|number| (route(number), Arc::new(number)));
    let router = Router::build(flavor, Subsystem::Http, routes).unwrap();
    let build = start.elapsed();
    let memory = resident_mib().saturating_sub(before);

    let mut random = Random(7);
    let numbers: Vec<usize> = (0..lookups).map(|_| random.below(count)).collect();
    let mut headers = Headers::new();
    headers.append("user-agent", "bench");
    headers.append("x-version", "2");
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut scratch = Scratch::default();
    let (mut host, mut path) = (String::new(), String::new());
    let mut hits = 0;
    // Requests are written while the clock runs, as a server finds them in its buffer; what that takes alone is
    // measured too.
    let start = cpu_nanoseconds();
    for number in &numbers {
        write_request(*number, &mut host, &mut path);
        black_box((&host, &path));
    }
    let without = cpu_nanoseconds() - start;
    let start = cpu_nanoseconds();
    for number in &numbers {
        write_request(*number, &mut host, &mut path);
        let query = Query {
            protocol: Protocol::Http,
            method: "GET",
            host: host.as_bytes(),
            path: path.as_bytes(),
            raw_query: None,
            headers: &headers,
            sni: None,
            source: (local, 1),
            destination: (local, 80),
        };
        let found = black_box(&router).find(&query, &mut scratch);
        hits += found.map_or(0, |found| usize::from(**found.value == *number));
    }
    let with = cpu_nanoseconds() - start;
    let lookup = with.saturating_sub(without) / lookups;

    let start = Instant::now();
    let mut current = router.clone();
    for _ in 0..CHANGES {
        let number = random.below(count);
        current = current.updated([Change::Put(route(number), Arc::new(number))]).unwrap();
    }
    let change = start.elapsed().as_micros() as usize / CHANGES;
    println!(
        "{flavor:?} {count:>8} routes: {lookup:>5} ns per look-up ({} % hits), built in {:>5} ms, {memory:>4} MiB, {change:>4} us per change",
        hits * 100 / lookups,
        build.as_millis()
    );
}

fn main() {
    let argument = |index: usize| std::env::args().nth(index).and_then(|number| number.parse().ok());
    let (most, lookups) = (argument(1).unwrap_or(1_000_000), argument(2).unwrap_or(1_000_000));
    for flavor in [Flavor::TraditionalCompatible, Flavor::Traditional] {
        for count in [1, 1_000, 100_000, 1_000_000].into_iter().filter(|count| *count <= most) {
            measure(flavor, count, lookups);
        }
    }
}
