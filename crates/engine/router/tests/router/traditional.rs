//! The traditional flavour against a naive reading of its rules: look at every path of every route, sort what matches.
//!
//! Regular expressions run in PCRE here, as they do in Kong.

use std::cmp::Reverse;

use gibbon_router::{Endpoint, Flavor, Protocol, RouteSpec, Router, Scratch, Subsystem};

use crate::cases::{self, Random, Request};

/// A route with one of its paths (or without any), and its place in the order.
#[derive(Clone)]
struct Candidate<'r> {
    index: usize,
    route: &'r RouteSpec,
    path: Option<&'r str>,
}

fn candidates(routes: &[RouteSpec]) -> Vec<Candidate<'_>> {
    let mut all = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        if route.paths.is_empty() {
            all.push(Candidate { index, route, path: None });
        }
        all.extend(route.paths.iter().map(|path| Candidate { index, route, path: Some(path) }));
    }
    all.sort_by_key(order);
    all
}

/// Number of kinds, then the kinds by precedence, then within them.
fn order(candidate: &Candidate<'_>) -> impl Ord + use<> {
    let Candidate { route, path, .. } = candidate;
    let kinds = [
        !route.hosts.is_empty(),
        !route.headers.is_empty(),
        path.is_some(),
        !route.methods.is_empty(),
        !route.snis.is_empty(),
        !route.sources.is_empty(),
        !route.destinations.is_empty(),
    ];
    let regex = path.is_some_and(|path| path.starts_with('~'));
    let wildcard_port = route.hosts.iter().any(|host| host.contains('*') && host.contains(':'));
    let plain_only = !route.hosts.is_empty() && route.hosts.iter().all(|host| !host.contains('*'));
    let both = |endpoints: &[Endpoint]| endpoints.iter().any(|e| e.address.is_some() && e.port.is_some());
    (
        (Reverse(kinds.iter().filter(|kind| **kind).count()), Reverse(kinds)),
        (Reverse(wildcard_port), Reverse(plain_only), Reverse(regex)),
        Reverse(route.headers.len()),
        Reverse(if regex { route.regex_priority } else { 0 }),
        Reverse(if regex { 0 } else { path.map_or(0, str::len) }),
        (Reverse(both(&route.sources)), Reverse(both(&route.destinations))),
        (route.created_at, Reverse(route.id)),
    )
}

/// Length of what matched of the path: `Some(None)` if the route has none.
fn matches(candidate: &Candidate<'_>, request: &Request) -> Option<Option<usize>> {
    let route = candidate.route;
    let all = host_matches(route, request)
        && headers_match(route, request)
        && (route.methods.is_empty() || route.methods.iter().any(|method| *method == request.method))
        && sni_matches(route, request)
        && nets_match(&route.sources, request.source, request.source.1.into())
        && nets_match(&route.destinations, request.destination, port(request));
    if !all {
        return None;
    }
    match candidate.path {
        None => Some(None),
        Some(path) => match path.strip_prefix('~') {
            Some(regex) => {
                let regex = pcre2::bytes::Regex::new(&format!(r"\A(?:{regex})")).unwrap();
                regex.find(request.path.as_bytes()).unwrap().map(|found| Some(found.end()))
            }
            None => request.path.starts_with(path).then_some(Some(path.len())),
        },
    }
}

fn port(request: &Request) -> u32 {
    request.host.split_once(':').map_or(request.destination.1.into(), |(_, port)| port.parse().unwrap())
}

fn host_matches(route: &RouteSpec, request: &Request) -> bool {
    if route.hosts.is_empty() {
        return true;
    }
    if request.host.is_empty() {
        return false;
    }
    let raw = request.host.to_lowercase();
    let name = raw.split(':').next().unwrap();
    let default = if request.protocol == Protocol::Https { 443 } else { 80 };
    let with_port = if raw.contains(':') { raw.clone() } else { format!("{name}:{default}") };
    route.hosts.iter().any(|host| {
        if host.contains('*') {
            let mut regex = format!("\\A{}", host.replace('.', "\\.").replace('*', ".+"));
            regex.push_str(if host.contains(':') { "\\z" } else { "(?::\\d+)?\\z" });
            pcre2::bytes::Regex::new(&regex).unwrap().is_match(with_port.as_bytes()).unwrap()
        } else {
            *host == raw || host == name
        }
    })
}

fn headers_match(route: &RouteSpec, request: &Request) -> bool {
    route.headers.iter().all(|(name, values)| {
        let own = |other: &[u8]| String::from_utf8_lossy(other).replace('_', "-").eq_ignore_ascii_case(name);
        request.headers.iter().filter(|(other, _)| own(other)).any(|(_, value)| {
            let value = value.to_ascii_lowercase();
            let plain = values.iter().any(|own| own.to_ascii_lowercase().as_bytes() == value);
            let regex = match values.as_slice() {
                [only] => only.strip_prefix("~*"),
                _ => None,
            };
            plain || regex.is_some_and(|regex| pcre2::bytes::Regex::new(regex).unwrap().is_match(&value).unwrap())
        })
    })
}

fn sni_matches(route: &RouteSpec, request: &Request) -> bool {
    let same = |sni: &String| Some(sni.strip_suffix('.').unwrap_or(sni)) == request.sni;
    route.snis.is_empty() || request.protocol == Protocol::Http || route.snis.iter().any(same)
}

fn nets_match(endpoints: &[Endpoint], end: (std::net::IpAddr, u16), port: u32) -> bool {
    endpoints.is_empty()
        || endpoints.iter().any(|endpoint| {
            endpoint.address.is_none_or(|address| address.contains(end.0))
                && endpoint.port.is_none_or(|own| u32::from(own) == port)
        })
}

fn compare(
    name: &str,
    subsystem: Subsystem,
    rounds: usize,
    route: fn(&mut Random) -> RouteSpec,
    request: fn(&mut Random) -> Request,
) {
    let base = cases::seed(name);
    let mut scratch = Scratch::default();
    let (mut cases_run, mut matched, mut contested) = (0, 0, 0);
    for round in 0..rounds {
        let seed = base.wrapping_add(round as u64);
        let mut random = Random::new(seed);
        let routes: Vec<RouteSpec> = (0..3 + random.below(18)).map(|_| route(&mut random)).collect();
        let values = routes.iter().cloned().enumerate().map(|(index, route)| (route, index));
        let router = Router::build(Flavor::Traditional, subsystem, values).unwrap();
        let candidates = candidates(&routes);
        for _ in 0..20 {
            let request = request(&mut random);
            let all: Vec<_> =
                candidates.iter().filter_map(|one| matches(one, &request).map(|length| (one.index, length))).collect();
            let query = request.query();
            let actual =
                router.find(&query, &mut scratch).map(|found| (*found.value, found.matched_path.map(<[u8]>::len)));
            cases_run += 1;
            matched += usize::from(!all.is_empty());
            contested += usize::from(all.len() > 1);
            assert_eq!(actual, all.first().copied(), "ROUTER_SEED={seed} (round 0)\n{query:?}\n{routes:#?}");
        }
    }
    let percent = |part: usize| part * 100 / cases_run;
    println!("{name}: {cases_run} cases, {} % matched, {} % with two candidates", percent(matched), percent(contested));
    assert!(percent(matched) >= 60 && percent(contested) >= 30, "the cases tell too little");
}

/// There are no wildcards in the SNIs of this flavour.
fn without_sni_wildcards(mut route: RouteSpec) -> RouteSpec {
    route.snis.retain(|sni| !sni.contains('*'));
    if route.subsystem() == Subsystem::Http && route.hosts.is_empty() && route.paths.is_empty() {
        route.methods.push("GET".into());
    }
    route
}

#[test]
fn http_routes_agree_with_the_naive_reading() {
    let route = |random: &mut Random| without_sni_wildcards(cases::http_route(random));
    compare("traditional", Subsystem::Http, 500, route, cases::http_request);
}

#[test]
fn stream_routes_agree_with_the_naive_reading() {
    let route = |random: &mut Random| loop {
        let route = without_sni_wildcards(cases::stream_route(random));
        if !route.snis.is_empty() || !route.sources.is_empty() || !route.destinations.is_empty() {
            return route;
        }
    };
    compare("traditional, stream", Subsystem::Stream, 500, route, cases::stream_request);
}
