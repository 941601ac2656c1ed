//! The founding property: compiling changes one list after the other gives the same plan as compiling the final state
//! from scratch, and a refused list leaves everything as it was.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use gibbon_message::Headers;
use gibbon_pdk::{BuildError, CredentialKind, Handler, Phase, Phases, Plugin, Protocol, Protocols, Scopes};
use gibbon_plan::{BuildScope, Builder, Change, Compiler, Place, Plan, Plugins, in_order_of_reference};
use gibbon_router::{Flavor, Protocol as RouterProtocol, Query, Scratch, Subsystem};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

struct Nothing;
impl Handler for Nothing {}

/// Builds handlers that do nothing; one configuration cannot be built.
struct Build;

impl Builder for Build {
    fn build(&self, plugin: &Plugin, config: &Value, _: &BuildScope) -> Result<Arc<dyn Handler>, BuildError> {
        if config.get("broken").is_some() {
            return Err(BuildError { plugin: plugin.name.to_string(), cause: "on purpose".into() });
        }
        Ok(Arc::new(Nothing))
    }
}

fn plugins() -> Arc<Plugins> {
    let plugin = |name: &str, priority| Plugin {
        name: name.into(),
        priority,
        version: "1".into(),
        phases: Phases::of(&[Phase::Access]),
        protocols: Protocols::of(&[Protocol::Http, Protocol::Https]),
        scopes: Scopes::ALL,
        schema: Arc::new(gibbon_schema::Record::new()),
        build: Arc::new(|_, _| Ok(Arc::new(Nothing) as Arc<dyn Handler>)),
    };
    Arc::new([plugin("one", 10), plugin("two", 20)].into_iter().map(|p| (Arc::clone(&p.name), p)).collect())
}

/// What is done to one entity.
#[derive(Clone, Debug)]
enum Act {
    Put(&'static str, u8, u8),
    Remove(&'static str, u8),
}

const KINDS: [&str; 14] = [
    "services",
    "routes",
    "plugins",
    "upstreams",
    "targets",
    "certificates",
    "snis",
    "ca_certificates",
    "consumers",
    "consumer_groups",
    "consumer_group_consumers",
    "keyauth_credentials",
    "basicauth_credentials",
    "acls",
];

fn act() -> impl Strategy<Value = Act> {
    let kind = prop::sample::select(&KINDS[..]);
    prop_oneof![
        4 => (kind.clone(), 0..4u8, 0..8u8).prop_map(|(kind, id, variant)| Act::Put(kind, id, variant)),
        1 => (kind, 0..4u8).prop_map(|(kind, id)| Act::Remove(kind, id)),
    ]
}

fn id(kind: &str, n: u8) -> Uuid {
    let place = KINDS.iter().position(|k| *k == kind).unwrap() as u8;
    Uuid::from_bytes([place + 1, n, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, n + 1])
}

/// A document of a kind; the variant changes what matters.
fn document(kind: &str, n: u8, variant: u8) -> Value {
    let own = id(kind, n).to_string();
    let link = |kind: &str, on: bool, n: u8| if on { json!({"id": id(kind, n).to_string()}) } else { Value::Null };
    match kind {
        "services" => {
            json!({"id": own, "name": format!("s{n}"), "host": format!("h{}", variant % 2), "enabled": !variant.is_multiple_of(3)})
        }
        "routes" => {
            let paths = match variant {
                0..4 => json!([format!("/{}", variant % 4)]),
                4 | 5 => json!(["/", format!("/{}/deep", variant % 4)]),
                6 => json!([r"~/\d$"]),
                _ => Value::Null,
            };
            json!({
                "id": own, "protocols": ["http"], "paths": paths, "service": link("services", variant.is_multiple_of(2), variant % 4),
                "hosts": if variant.is_multiple_of(3) { json!([format!("h{}.test", variant % 2), "*.test"]) } else { Value::Null },
                "methods": if variant == 7 { json!(["PUT"]) } else { Value::Null }, "created_at": u32::from(variant) % 3,
            })
        }
        "plugins" => json!({
            "id": own, "name": if variant.is_multiple_of(2) { "one" } else { "two" }, "enabled": variant != 7, "config": {"v": variant},
            "route": link("routes", variant.is_multiple_of(3), n), "service": link("services", variant % 3 == 1, n),
            "consumer": link("consumers", variant.is_multiple_of(4), n),
            "consumer_group": link("consumer_groups", variant == 5, n),
        }),
        "upstreams" => json!({"id": own, "name": format!("h{n}"), "slots": 100 + u32::from(variant)}),
        "targets" => {
            json!({"id": own, "target": format!("10.0.0.{variant}:80"), "upstream": link("upstreams", true, variant % 4), "created_at": 1.5})
        }
        "certificates" => json!({"id": own, "cert": format!("c{variant}"), "key": "k"}),
        "ca_certificates" => json!({"id": own, "cert": format!("c{variant}")}),
        "snis" => {
            let name = if variant.is_multiple_of(2) { format!("h{n}.test") } else { format!("*.h{n}.test") };
            json!({"id": own, "name": name, "certificate": link("certificates", true, variant % 4)})
        }
        "consumers" => {
            json!({"id": own, "username": format!("u{n}-{variant}"), "custom_id": (variant > 4).then(|| format!("c{n}"))})
        }
        "consumer_groups" => json!({"id": own, "name": format!("g{}", (n + variant) % 4 + 4 * n)}),
        "consumer_group_consumers" => json!({
            "id": own, "consumer": link("consumers", true, n), "consumer_group": link("consumer_groups", true, variant % 4),
        }),
        "basicauth_credentials" => {
            json!({"id": own, "username": format!("b{n}"), "password": variant, "consumer": link("consumers", true, n)})
        }
        "acls" => json!({"id": own, "group": format!("a{variant}"), "consumer": link("consumers", true, n)}),
        _ => json!({"id": own, "key": format!("k{n}-{variant}"), "consumer": link("consumers", true, variant % 4)}),
    }
}

type State = BTreeMap<(&'static str, u8), Value>;

fn change(state: &mut State, act: &Act) -> Change {
    let (kind, n) = match act {
        Act::Put(kind, n, _) | Act::Remove(kind, n) => (*kind, *n),
    };
    let before = state.remove(&(kind, n)).map(Arc::new);
    let after = match act {
        Act::Put(kind, n, variant) => {
            let document = document(kind, *n, *variant);
            state.insert((kind, *n), document.clone());
            Some(Arc::new(document))
        }
        Act::Remove(..) => None,
    };
    Change { entity: kind.into(), id: id(kind, n), workspace: Uuid::nil(), before, after }
}

fn from_scratch(state: &State) -> Arc<Plan> {
    let inserts =
        state.iter().map(|((kind, n), d)| Change::insert(kind, id(kind, *n), Uuid::nil(), d.clone())).collect();
    let mut compiler = Compiler::new(Flavor::TraditionalCompatible, plugins());
    compiler.apply(&in_order_of_reference(inserts), &Build).unwrap()
}

/// What a plan does: with requests of many kinds (which route, and its chain), and with every name that is looked up.
fn behaviour(plan: &Plan) -> Vec<String> {
    let mut seen = chains(plan);
    seen.extend(routes(plan));
    seen.extend(directories(plan));
    for n in 0..4 {
        let upstream = plan.upstream(Uuid::nil(), &format!("h{n}"));
        let targets = upstream.map(|u| u.targets.iter().map(|t| t.id).collect::<Vec<_>>());
        seen.push(format!("{:?} {targets:?}", upstream.map(|u| (u.id, u.content))));
        for name in [format!("h{n}.test"), format!("a.h{n}.test")] {
            seen.push(format!("{name}: {:?}", plan.certificate_for(&name).map(|c| (c.id, c.cert.clone()))));
        }
        seen.push(format!("{:?}", plan.authority(id("ca_certificates", n)).map(|c| c.cert.clone())));
    }
    seen
}

fn chains(plan: &Plan) -> Vec<String> {
    let mut seen = Vec::new();
    let place = Place { subsystem: Subsystem::Http, workspace: Uuid::nil() };
    for route in (0..4).map(|n| Some(id("routes", n))).chain([None]) {
        for service in (0..4).map(|n| Some(id("services", n))).chain([None]) {
            let chain = plan.compile_chain(place, route, service);
            let steps: Vec<String> =
                chain.steps.iter().map(|s| format!("{}:{:?}", s.name, s.plain().map(|i| i.id))).collect();
            seen.push(format!("{route:?} {service:?} {steps:?}"));
        }
    }
    seen
}

fn routes(plan: &Plan) -> Vec<String> {
    let (headers, mut scratch, mut seen) = (Headers::default(), Scratch::default(), Vec::new());
    for host in ["h0.test", "h1.test", "other.test", "none"] {
        for path in ["/", "/0", "/1/deep/x", "/2", "/3/4", "/x/7"] {
            for method in ["GET", "PUT"] {
                let query = Query {
                    protocol: RouterProtocol::Http,
                    method,
                    host: host.as_bytes(),
                    path: path.as_bytes(),
                    raw_query: None,
                    headers: &headers,
                    sni: None,
                    source: (Ipv4Addr::LOCALHOST.into(), 1),
                    destination: (Ipv4Addr::LOCALHOST.into(), 80),
                };
                let found = plan.http.find(&query, &mut scratch);
                let led = found.as_ref().map(|f| (f.value.id, f.matched_path.map(<[u8]>::len)));
                let service = found.and_then(|f| f.value.service).and_then(|id| plan.service(id));
                seen.push(format!("{method} {host}{path}: {led:?} {:?}", service.map(|s| s.host.clone())));
            }
        }
    }
    seen
}

fn directories(plan: &Plan) -> Vec<String> {
    let all = &plan.directories;
    let mut seen = vec![all.consumer_count().to_string()];
    for n in 0..4 {
        let consumer = id("consumers", n);
        seen.push(format!("{:?}", all.consumer(consumer).map(|c| c.username.clone())));
        seen.push(format!("{:?}", all.consumer_by_custom_id(Uuid::nil(), &format!("c{n}")).map(|c| c.id)));
        let groups = all.groups_of(consumer);
        seen.push(format!("{:?}", groups.map(|groups| groups.iter().map(|g| g.name.clone()).collect::<Vec<_>>())));
        for kind in ["keyauth_credentials", "basicauth_credentials", "acls"] {
            let own = all.credentials_of(CredentialKind(kind), consumer, 0);
            let mut own: Vec<Uuid> = own.iter().map(|c| c.id).collect();
            own.sort_unstable();
            let by_id = all.credential_by_id(CredentialKind(kind), id(kind, n), 0).is_some();
            seen.push(format!("{kind} {own:?} {by_id}"));
        }
        for variant in 0..8 {
            let named = all.consumer_by_username(Uuid::nil(), &format!("u{n}-{variant}")).map(|c| c.id);
            let kind = CredentialKind("keyauth_credentials");
            let key = all.credential(Uuid::nil(), kind, &format!("k{n}-{variant}"), 0).map(|c| c.consumer);
            seen.push(format!("{named:?} {key:?}"));
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn incremental_equals_from_scratch(lists in prop::collection::vec(prop::collection::vec(act(), 1..8), 1..10)) {
        let mut compiler = Compiler::new(Flavor::TraditionalCompatible, plugins());
        let mut state = State::new();
        let mut plan = None;
        for list in &lists {
            let changes: Vec<Change> = list.iter().map(|a| change(&mut state, a)).collect();
            plan = Some(compiler.apply(&changes, &Build).unwrap());
        }
        let (incremental, whole) = (plan.unwrap(), from_scratch(&state));
        prop_assert_eq!(incremental.fingerprint(), whole.fingerprint());
        prop_assert_eq!(behaviour(&incremental), behaviour(&whole));
    }

    #[test]
    fn a_refused_list_changes_nothing(first in prop::collection::vec(act(), 1..10), second in prop::collection::vec(act(), 0..6)) {
        let mut compiler = Compiler::new(Flavor::TraditionalCompatible, plugins());
        let mut state = State::new();
        let changes: Vec<Change> = first.iter().map(|a| change(&mut state, a)).collect();
        let before = compiler.apply(&changes, &Build).unwrap();
        let kept = state.clone();
        let mut refused: Vec<Change> = second.iter().map(|a| change(&mut state, a)).collect();
        let broken = json!({"id": Uuid::max().to_string(), "name": "one", "config": {"broken": true}});
        refused.push(Change::insert("plugins", Uuid::max(), Uuid::nil(), broken));
        prop_assert!(compiler.apply(&refused, &Build).is_err());
        // When the next list comes, then it builds on what stood before.
        let after = compiler.apply(&[], &Build).unwrap();
        prop_assert_eq!(after.fingerprint(), before.fingerprint());
        prop_assert_eq!(behaviour(&after), behaviour(&from_scratch(&kept)));
    }
}
