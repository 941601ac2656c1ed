//! The floors of the house: which crate may depend on which, and who may name a library that owns sockets.
//!
//! A crate depends on lower floors only. Arrows within a floor are the exception and stand here one by one, each with
//! its reason. Dependencies of tests are free, except that product code never depends on `testing`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_tidy::{Crate, crates};

/// Floor, and the floors that its crates may depend on.
const FLOORS: &[(&str, &[&str])] = &[
    ("ground", &[]),
    ("contract", &["ground"]),
    ("wires", &["ground"]),
    ("extensions", &["ground", "contract"]),
    ("hosts", &["ground", "contract"]),
    ("plugins", &["ground", "contract"]),
    // Not plugins: the engine knows none by name.
    ("engine", &["ground", "contract", "wires", "extensions", "hosts"]),
    ("surfaces", &["ground", "contract", "wires", "extensions", "engine"]),
    ("bin", &["ground", "contract", "wires", "extensions", "hosts", "plugins", "engine", "surfaces"]),
    ("testing", &["ground", "contract", "wires", "extensions", "hosts", "plugins", "engine", "surfaces", "testing"]),
];

/// Arrows that the table above does not allow, and why they are right all the same.
const ARROWS: &[(&str, &str, &str)] = &[
    ("ground/schema", "ground/schema-derive", "a derive macro must be a crate of its own"),
    ("ground/expr", "ground/message", "expressions read requests"),
    ("contract/pdk", "contract/model", "a handler sees the consumer, route and service it runs for"),
    ("contract/conf", "contract/model", "settings name entities' enumerations"),
    ("wires/net", "wires/tls", "a connection is plain or over TLS; tls itself works over any transport"),
    ("wires/http", "wires/net", "HTTP/1 and 2 run on net's streams"),
    ("wires/http", "wires/tls", "ALPN decides the protocol"),
    ("wires/dns", "wires/net", "queries leave through net's sockets"),
    ("wires/outcall", "wires/dns", "peers are called by name"),
    ("wires/outcall", "wires/net", "calls run on net's streams"),
    ("wires/outcall", "wires/tls", "peers are verified"),
    ("wires/kv", "wires/outcall", "a Redis server is reached like every other peer"),
    ("extensions/mcp", "extensions/llm", "tools are described to models in the models' dialects"),
    ("plugins/ai", "extensions/llm", "the plugins convert, count and stream with it"),
    ("plugins/ai", "extensions/mcp", "ai-mcp-proxy is a plugin in front of it"),
    ("engine/plan", "engine/router", "a plan holds the compiled router"),
    ("engine/ports", "engine/store", "plugins keep rows of their own in the datastore"),
    ("engine/store", "engine/plan", "what is stored is what plans are compiled from"),
    ("engine/ports", "engine/store", "sessions, codes and tokens of plugins are rows like others"),
    ("engine/ports", "engine/plan", "what plugins ask for depends on what the plan names"),
    ("engine/vaults", "engine/store", "it is what the store asks for secrets"),
    ("engine/proxy", "engine/plan", "a request runs on a plan"),
    ("engine/proxy", "engine/journal", "a finished request is written down"),
    ("engine/proxy", "engine/router", "a request is matched"),
    ("engine/stream", "engine/plan", "a session runs on a plan"),
    ("engine/stream", "engine/router", "a session is matched"),
    ("engine/stream", "engine/proxy", "balancing and health are one for both"),
    ("engine/mesh", "engine/plan", "mesh policy is compiled into the plan"),
    ("bin/gibbon", "bin/assembly", "the command line starts what assembly put together"),
    ("surfaces/admin", "surfaces/declare", "POST /config takes declarative documents"),
    ("surfaces/cluster", "surfaces/declare", "a control plane sends declarative documents"),
    ("surfaces/kube", "surfaces/declare", "resources become declarative documents"),
];

/// Arrows that the floors would allow and a rule forbids.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("surfaces", "engine/proxy", "surfaces never touch a request in flight"),
    ("surfaces", "engine/stream", "surfaces never touch a session in flight"),
];

/// Libraries that own sockets, or speak TLS, HTTP or a peer's protocol over them.
const SOCKET_LIBRARIES: &[&str] = &[
    "axum",
    "h2",
    "h3",
    "hickory-proto",
    "hickory-resolver",
    "httparse",
    "hyper",
    "hyper-rustls",
    "hyper-util",
    "instant-acme",
    "ldap3",
    "native-tls",
    "openssl",
    "quinn",
    "rdkafka",
    "redis",
    "reqwest",
    "rustls",
    "rustls-native-certs",
    "rustls-webpki",
    "socket2",
    "tokio-postgres",
    "tokio-rustls",
    "tokio-tungstenite",
    "tonic",
    "tungstenite",
    "ureq",
];

/// Who outside wires, bin and testing may name one of them. A place that ends in `/` means the floor.
const MAY_NAME: &[(&str, &str, &str)] = &[
    ("surfaces/", "axum", "control surfaces are ordinary web servers on the control runtime"),
    ("surfaces/", "hyper", "as axum"),
    ("surfaces/", "hyper-util", "as axum"),
    ("engine/store", "tokio-postgres", "the datastore's own protocol, on the control runtime"),
];

/// What ground may not have: it is handed clock and seed, and waits for nothing.
const NOT_ON_THE_GROUND: &[&str] =
    &["async-std", "fastrand", "futures-timer", "getrandom", "mio", "nix", "parking_lot", "rand", "smol", "tokio"];

fn broken(rule: impl Fn(&Crate) -> Vec<String>) -> Vec<String> {
    crates().unwrap().iter().flat_map(rule).collect()
}

#[test]
fn every_crate_stands_on_a_known_floor() {
    let lost = broken(|krate| match FLOORS.iter().find(|(floor, _)| *floor == krate.floor) {
        Some(_) => vec![],
        None => vec![format!("{}: no floor of that name", krate.place)],
    });
    assert!(lost.is_empty(), "{lost:#?}");
}

#[test]
fn arrows_point_down_or_are_listed_with_a_reason() {
    let wrong = broken(|krate| {
        let below = FLOORS.iter().find(|(floor, _)| *floor == krate.floor).map_or(&[][..], |(_, below)| below);
        let allowed = |to: &str| {
            let floor = to.split('/').next().unwrap();
            below.contains(&floor) || ARROWS.iter().any(|(a, b, _)| *a == krate.place && *b == to)
        };
        krate.arrows.iter().filter(|to| !allowed(to)).map(|to| format!("{} -> {to}", krate.place)).collect()
    });
    assert!(wrong.is_empty(), "arrows that no rule allows: {wrong:#?}");
}

#[test]
fn no_forbidden_arrow_exists() {
    let wrong = broken(|krate| {
        let hits = FORBIDDEN.iter().filter(|(from, to, _)| *from == krate.floor && krate.arrows.contains(*to));
        hits.map(|(_, to, why)| format!("{} -> {to}: {why}", krate.place)).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_wires_and_bin_name_libraries_that_own_sockets() {
    let wrong = broken(|krate| {
        if ["wires", "bin", "testing"].contains(&krate.floor.as_str()) {
            return vec![];
        }
        let may = |package: &str| {
            MAY_NAME.iter().any(|(place, name, _)| {
                *name == package && (*place == krate.place || place.strip_suffix('/') == Some(&krate.floor))
            })
        };
        let named = krate.packages.iter().filter(|package| SOCKET_LIBRARIES.contains(&package.as_str()));
        named.filter(|package| !may(package)).map(|package| format!("{} names {package}", krate.place)).collect()
    });
    assert!(wrong.is_empty(), "ask through a port of the pdk, or list it with a reason: {wrong:#?}");
}

#[test]
fn ground_has_no_runtime_no_randomness_and_no_clock() {
    let mut wrong = broken(|krate| {
        if krate.floor != "ground" {
            return vec![];
        }
        let named = krate.packages.iter().filter(|package| NOT_ON_THE_GROUND.contains(&package.as_str()));
        named.map(|package| format!("{} names {package}", krate.place)).collect()
    });
    for file in gibbon_tidy::files().unwrap() {
        let path = file.display().to_string();
        if !path.starts_with("crates/ground/") || !path.contains("/src/") || !path.ends_with(".rs") {
            continue;
        }
        let source = gibbon_tidy::read(&file).unwrap().unwrap_or_default();
        for clock in ["Instant::now", "SystemTime::now", "thread::sleep"] {
            let code = gibbon_tidy::product_part(&source).lines().filter(|line| !line.trim_start().starts_with("//"));
            if code.into_iter().any(|line| line.contains(clock)) {
                wrong.push(format!("{path} calls {clock}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn product_code_never_depends_on_testing() {
    let wrong = broken(|krate| {
        if krate.floor == "testing" {
            return vec![];
        }
        let to_tests = krate.arrows.iter().filter(|to| to.starts_with("testing/"));
        to_tests.map(|to| format!("{} -> {to}: make it a dev-dependency", krate.place)).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_binary_has_cargo_features() {
    let wrong = broken(|krate| {
        let has = krate.floor != "bin" && krate.features.iter().any(|feature| feature != "default");
        if has { vec![format!("{}: {:?}", krate.place, krate.features)] } else { vec![] }
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}
