//! Same routes, same request, same winner as Kong's own engine.
//!
//! What the engine is fed (expressions and priorities) is worded here once more from the rules, apart from the product.

use std::collections::BTreeMap;

use atc_router::ast::{Type, Value};
use atc_router::context::{Context, Match};
use atc_router::interpreter::Execute;
use atc_router::parser::parse;
use atc_router::router::Router as Engine;
use atc_router::schema::Schema;
use gibbon_message::uri;
use gibbon_router::{Address, Captures, Endpoint, Flavor, Protocol, RouteSpec, Router, Scratch, Subsystem};
use uuid::Uuid;

use crate::cases::{self, Random, Request};

/// One expression given to the engine.
struct Matcher {
    priority: u64,
    id: Uuid,
    text: String,
    route: usize,
}

fn schema() -> Schema {
    let mut schema = Schema::default();
    for name in ["net.protocol", "tls.sni", "http.method", "http.host", "http.path"] {
        schema.add_field(name, Type::String);
    }
    for name in ["http.path.segments.*", "http.headers.*", "http.queries.*"] {
        schema.add_field(name, Type::String);
    }
    for name in ["net.src.port", "net.dst.port", "http.path.segments.len"] {
        schema.add_field(name, Type::Int);
    }
    for name in ["net.src.ip", "net.dst.ip"] {
        schema.add_field(name, Type::IpAddr);
    }
    schema
}

// Wording

fn matchers(flavor: Flavor, routes: &[RouteSpec]) -> Vec<Matcher> {
    let mut all = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let protocols = protocol_term(flavor, route);
        if let Some(text) = &route.expression {
            let text = [Some(text.clone()), protocols].into_iter().flatten().collect::<Vec<_>>().join(" && ");
            all.push(Matcher { priority: 0xff << 56 | route.priority, id: route.id, text, route: index });
            continue;
        }
        for (id, paths) in path_groups(route) {
            let text = [Some(attributes(route, &paths)), protocols.clone()];
            let text = text.into_iter().flatten().collect::<Vec<_>>().join(" && ");
            all.push(Matcher { priority: priority(route, &paths), id, text, route: index });
        }
    }
    all
}

fn protocol_term(flavor: Flavor, route: &RouteSpec) -> Option<String> {
    let names: Vec<&str> = route.protocols.iter().map(Protocol::as_str).collect();
    if flavor == Flavor::TraditionalCompatible || matches!(names.as_slice(), ["https" | "tls" | "tls_passthrough"]) {
        return None;
    }
    let terms: Vec<String> = names
        .iter()
        .map(|name| match *name {
            "grpc" => "http",
            "grpcs" => "https",
            "tls_passthrough" => "tls",
            other => other,
        })
        .map(|name| format!("net.protocol == \"{name}\""))
        .collect();
    Some(format!("({})", terms.join(" || ")))
}

fn is_stream(route: &RouteSpec) -> bool {
    route.subsystem() == Subsystem::Stream
}

fn path_groups(route: &RouteSpec) -> Vec<(Uuid, Vec<String>)> {
    let mut kinds: Vec<usize> = Vec::new();
    let kind = |path: &String| if path.starts_with('~') { 0 } else { path.len() };
    for path in &route.paths {
        if !kinds.contains(&kind(path)) {
            kinds.push(kind(path));
        }
    }
    if kinds.len() < 2 {
        return vec![(route.id, route.paths.clone())];
    }
    let namespace = Uuid::parse_str("7f145bf9-0dce-4f91-98eb-debbce4b9f6b").unwrap();
    kinds
        .iter()
        .enumerate()
        .map(|(i, own)| {
            let id = Uuid::new_v5(&namespace, format!("{}#{}", route.id, i + 1).as_bytes());
            (id, route.paths.iter().filter(|path| kind(path) == *own).cloned().collect())
        })
        .collect()
}

fn raw(text: &str) -> String {
    format!("r#\"{text}\"#")
}

fn any(terms: Vec<String>) -> Option<String> {
    (!terms.is_empty()).then(|| format!("({})", terms.join(" || ")))
}

fn wildcard(field: &str, name: &str) -> String {
    if let Some(end) = name.strip_prefix('*') {
        format!("{field} =^ {}", raw(end))
    } else if let Some(start) = name.strip_suffix('*') {
        format!("{field} ^= {}", raw(start))
    } else {
        format!("{field} == {}", raw(name))
    }
}

fn nets(side: &str, endpoints: &[Endpoint]) -> Option<String> {
    any(endpoints
        .iter()
        .map(|endpoint| {
            let address = match endpoint.address {
                Some(Address::Ip(ip)) => Some(format!("net.{side}.ip == {ip}")),
                Some(Address::Network(net)) => Some(format!("net.{side}.ip in {net}")),
                None => None,
            };
            let port = endpoint.port.map(|port| format!("net.{side}.port == {port}"));
            format!("({})", [address, port].into_iter().flatten().collect::<Vec<_>>().join(" && "))
        })
        .collect())
}

fn attributes(route: &RouteSpec, paths: &[String]) -> String {
    let mut terms = Vec::new();
    let snis = route.snis.iter().map(|sni| wildcard("tls.sni", sni.strip_suffix('.').unwrap_or(sni))).collect();
    if let Some(snis) = any(snis) {
        let name = if is_stream(route) { "tls" } else { "https" };
        terms.push(format!("(net.protocol != \"{name}\" || {snis})"));
    }
    terms.extend(nets("src", &route.sources));
    terms.extend(nets("dst", &route.destinations));
    terms.extend(any(route.methods.iter().map(|method| format!("http.method == \"{method}\"")).collect()));
    terms.extend(any(route
        .hosts
        .iter()
        .map(|host| match host.split_once(':') {
            Some((name, port)) => format!("({} && net.dst.port == {port})", wildcard("http.host", name)),
            None => wildcard("http.host", host),
        })
        .collect()));
    terms.extend(any(paths
        .iter()
        .map(|path| match path.strip_prefix('~') {
            Some(regex) => format!("http.path ~ {}", raw(&format!("^{}", regex.replace("?<", "?P<")))),
            None => format!("http.path ^= {}", raw(path)),
        })
        .collect()));
    for (name, values) in &route.headers {
        let field = format!("any(lower(http.headers.{}))", name.to_lowercase().replace('-', "_"));
        let values = values.iter().map(|value| match value.strip_prefix("~*") {
            Some(regex) => format!("{field} ~ {}", raw(&regex.to_ascii_lowercase())),
            None => format!("{field} == {}", raw(&value.to_ascii_lowercase())),
        });
        terms.extend(any(values.collect()));
    }
    terms.join(" && ")
}

/// The layout of the bits as published, each number shifted as LuaJIT shifts it.
fn priority(route: &RouteSpec, paths: &[String]) -> u64 {
    if is_stream(route) {
        let bits = |endpoints: &[Endpoint]| {
            endpoints.iter().fold(0u64, |bits, endpoint| {
                let address = match endpoint.address {
                    Some(Address::Ip(_)) => 8,
                    Some(Address::Network(_)) => 1,
                    None => 0,
                };
                bits | address | (u64::from(endpoint.port.is_some()) * 4)
            })
        };
        let strong = !route.snis.is_empty() || !route.sources.is_empty() && !route.destinations.is_empty();
        return u64::from(strong) << 61 | bits(&route.sources) << 4 | bits(&route.destinations);
    }
    let mut kinds = 0;
    kinds += i32::from(!route.sources.is_empty()) + i32::from(!route.destinations.is_empty());
    kinds += i32::from(!route.methods.is_empty()) + i32::from(!route.hosts.is_empty());
    kinds += i32::from(!route.headers.is_empty()) + i32::from(!route.snis.is_empty()) + i32::from(!paths.is_empty());
    let wide = |number: i32| i64::from(number) as u64;
    let mut priority = wide(kinds.wrapping_shl(61)) | wide((route.headers.len() as i32).wrapping_shl(52));
    if !route.hosts.is_empty() && route.hosts.iter().all(|host| !host.contains('*')) {
        priority |= 1 << 60;
    }
    match paths.first() {
        Some(path) if path.starts_with('~') => {
            priority |= 1 << 51 | wide((route.regex_priority as i32).wrapping_shl(19));
        }
        Some(path) => priority |= path.len() as u64,
        None => {}
    }
    priority
}

// Facts of a request, field by field

fn fill(context: &mut Context<'_>, fields: &[String], request: &Request) {
    let (host, port) = match request.host.split_once(':') {
        Some((host, port)) => (host, port.parse().unwrap()),
        None => (request.host, i64::from(request.destination.1)),
    };
    let text = |value: &str| Value::String(value.to_owned());
    for field in fields {
        match field.as_str() {
            "net.protocol" => context.add_value(field, text(request.protocol.as_str())),
            "tls.sni" => request.sni.iter().for_each(|sni| context.add_value(field, text(sni))),
            "http.method" => context.add_value(field, text(request.method)),
            "http.host" if host.is_empty() => {}
            "http.host" => context.add_value(field, text(host)),
            "http.path" => context.add_value(field, text(request.path)),
            "net.src.ip" => context.add_value(field, Value::IpAddr(request.source.0)),
            "net.src.port" => context.add_value(field, Value::Int(request.source.1.into())),
            "net.dst.ip" => context.add_value(field, Value::IpAddr(request.destination.0)),
            "net.dst.port" => context.add_value(field, Value::Int(port)),
            other => {
                for value in dynamic(other, request) {
                    context.add_value(other, value);
                }
            }
        }
    }
}

fn dynamic(field: &str, request: &Request) -> Vec<Value> {
    let mut segments: Vec<&str> = request.path[1..].split('/').collect();
    while segments.last() == Some(&"") {
        segments.pop();
    }
    if field == "http.path.segments.len" {
        return vec![Value::Int(segments.len() as i64)];
    }
    if let Some(range) = field.strip_prefix("http.path.segments.") {
        let (first, last) = range.split_once('_').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
        return segments.get(first..=last).map(|part| Value::String(part.join("/"))).into_iter().collect();
    }
    let text = |bytes: &[u8]| Value::String(String::from_utf8(bytes.to_vec()).unwrap());
    if let Some(name) = field.strip_prefix("http.headers.") {
        let same = |own: &[u8]| String::from_utf8_lossy(own).to_lowercase().replace('-', "_") == name;
        return request.headers.iter().filter(|(own, _)| same(own)).map(|(_, value)| text(value)).collect();
    }
    let name = field.strip_prefix("http.queries.").unwrap().as_bytes();
    let query = request.query.unwrap_or_default().as_bytes();
    uri::arguments(query).filter(|(own, _)| **own == *name).map(|(_, value)| text(&value.unwrap_or_default())).collect()
}

// The comparison

#[derive(Default)]
struct Shares {
    cases: usize,
    matched: usize,
    contested: usize,
}

impl Shares {
    fn print_and_check(&self, name: &str) {
        let percent = |part: usize| part * 100 / self.cases;
        println!(
            "{name}: {} cases, {} % matched, {} % with two candidates or more",
            self.cases,
            percent(self.matched),
            percent(self.contested)
        );
        assert!(percent(self.matched) >= 60 && percent(self.contested) >= 30, "the cases tell too little");
    }
}

/// The groups by number and name; of the numbers only those of groups, as header expressions add their whole match.
fn captures_of_engine(found: &Match) -> BTreeMap<String, String> {
    let groups = found.captures.iter().filter(|(name, _)| *name != "0");
    let groups: BTreeMap<String, String> = groups.map(|(name, value)| (name.clone(), value.to_lowercase())).collect();
    if groups.contains_key("1") { groups } else { BTreeMap::new() }
}

fn flat(captures: Captures) -> BTreeMap<String, String> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().to_lowercase();
    let numbered = captures.numbered.into_iter().enumerate().skip(1);
    let numbered = numbered.filter_map(|(number, group)| Some((number.to_string(), text(group?))));
    numbered.chain(captures.named.into_iter().map(|(name, value)| (name, text(value)))).collect()
}

fn compare(
    name: &str,
    flavor: Flavor,
    subsystem: Subsystem,
    rounds: usize,
    route: fn(&mut Random) -> RouteSpec,
    request: fn(&mut Random) -> Request,
) {
    const REQUESTS: usize = 50;
    let base = cases::seed(name);
    let schema = schema();
    let mut shares = Shares::default();
    let mut scratch = Scratch::default();
    for round in 0..rounds {
        let seed = base.wrapping_add(round as u64);
        let mut random = Random::new(seed);
        let routes: Vec<RouteSpec> = (0..1 + random.below(12)).map(|_| route(&mut random)).collect();
        let router = Router::build(flavor, subsystem, routes.iter().cloned().enumerate().map(|(i, r)| (r, i))).unwrap();
        let matchers = matchers(flavor, &routes);
        let mut engine = Engine::new(&schema);
        for matcher in &matchers {
            engine
                .add_matcher(matcher.priority as usize, matcher.id, &matcher.text)
                .unwrap_or_else(|e| panic!("{e}\n{}", matcher.text));
        }
        let fields: Vec<String> = engine.fields.keys().cloned().collect();
        let trees: Vec<_> = matchers.iter().map(|matcher| (matcher.route, parse(&matcher.text).unwrap())).collect();
        for _ in 0..REQUESTS {
            let request = request(&mut random);
            let mut context = Context::new(&schema);
            fill(&mut context, &fields, &request);
            engine.execute(&mut context);
            let mut candidates: Vec<usize> = trees
                .iter()
                .filter(|(_, tree)| tree.execute(&mut context, &mut Match::new()))
                .map(|(route, _)| *route)
                .collect();
            candidates.dedup();
            let expected = context.result.as_ref().map(|found| {
                let matcher = matchers.iter().find(|matcher| matcher.id == found.uuid).unwrap();
                let path = found.matches.get("http.path").map(|value| match value {
                    Value::String(text) => text.to_lowercase(),
                    _ => unreachable!(),
                });
                (matcher.route, path, captures_of_engine(found))
            });
            let query = request.query();
            let actual = router.find(&query, &mut scratch).map(|found| {
                let path = found.matched_path.map(|path| String::from_utf8(path.to_vec()).unwrap().to_lowercase());
                (*found.value, path, found.captures().map(flat).unwrap_or_default())
            });
            shares.cases += 1;
            shares.matched += usize::from(expected.is_some());
            shares.contested += usize::from(candidates.len() > 1);
            assert_eq!(
                actual,
                expected,
                "ROUTER_SEED={seed} (round 0)\nrequest {query:#?}\nroutes {:#?}",
                matchers.iter().map(|m| (m.route, m.priority, m.id, &m.text)).collect::<Vec<_>>()
            );
        }
    }
    shares.print_and_check(name);
}

#[test]
fn compatible_flavour_agrees_with_the_engine() {
    let (route, request) = (cases::http_route, cases::http_request);
    compare("compatible", Flavor::TraditionalCompatible, Subsystem::Http, 1000, route, request);
}

#[test]
fn expressions_flavour_agrees_with_the_engine() {
    let route = |random: &mut Random| {
        if random.percent(20) { cases::http_route(random) } else { cases::expression_route(random) }
    };
    compare("expressions", Flavor::Expressions, Subsystem::Http, 700, route, cases::http_request);
}

#[test]
fn streams_agree_with_the_engine() {
    let (route, request) = (cases::stream_route, cases::stream_request);
    compare("stream, compatible", Flavor::TraditionalCompatible, Subsystem::Stream, 200, route, request);
    compare("stream, expressions", Flavor::Expressions, Subsystem::Stream, 100, route, request);
}
