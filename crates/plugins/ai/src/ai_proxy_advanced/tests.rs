//! Rules of ai-proxy-advanced: who is chosen. Whole calls are tested through a whole node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_pdk::{Exchange, Handler};
use gibbon_rig::{Rig, request, with_body};
use serde_json::{Value, json};

use super::PART;
use crate::call::Call;

fn targets(weights: &[u16]) -> Value {
    let target = |(n, weight): (usize, &u16)| json!({"route_type": "llm/v1/chat", "weight": weight, "model": {"provider": "openai", "name": format!("m{n}")}});
    weights.iter().enumerate().map(target).collect()
}

/// A call up to the choice of its target, which is left running in the exchange.
fn begin(rig: &Rig, handler: &Arc<dyn Handler>, headers: &[(&str, &str)]) -> (Exchange, String) {
    let mut x = with_body(request("POST /", headers), r#"{"messages": [{"role": "user", "content": "Hi"}]}"#);
    assert!(rig.access(&**handler, &mut x).is_next());
    let mut source = x.attempts.take().unwrap();
    let flow = match source.prepare(&mut x, &rig.host) {
        gibbon_pdk::Step::Now(flow) => flow,
        gibbon_pdk::Step::Later(future) => gibbon_rig::run(future),
    };
    assert!(matches!(flow, gibbon_pdk::Flow::Next), "{flow:?}");
    x.attempts = Some(source);
    let model = x.slots.get::<Call>().unwrap().model.clone();
    (x, model)
}

fn chosen(balancer: Value, weights: &[u16], calls: usize, headers: &[(&str, &str)]) -> Vec<String> {
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"targets": targets(weights), "balancer": balancer}));
    (0..calls).map(|_| begin(&rig, &handler, headers).1).collect()
}

#[test]
fn weights_are_the_shares_of_round_robin() {
    let names = chosen(json!({}), &[30, 10], 40, &[]);
    assert_eq!(names.iter().filter(|n| *n == "m0").count(), 30);
    // Nobody is asked many times in a row.
    assert!(!names.windows(4).any(|four| four.iter().all(|n| n == "m0")), "{names:?}");
}

#[test]
fn the_heaviest_group_goes_first() {
    assert!(chosen(json!({"algorithm": "priority"}), &[10, 20, 20], 8, &[]).iter().all(|n| n != "m0"));
}

#[test]
fn a_value_stays_with_its_target() {
    let balancer = json!({"algorithm": "consistent-hashing", "hash_on_header": "X-User"});
    let of = |user: &str| chosen(balancer.clone(), &[1, 1, 1], 5, &[("X-User", user)]);
    let users: Vec<Vec<String>> = (0..40).map(|n| of(&format!("u{n}"))).collect();
    assert!(users.iter().all(|names| names.iter().all(|n| *n == names[0])));
    assert!((0..3).all(|t| users.iter().any(|names| names[0] == format!("m{t}"))));
}

#[test]
fn running_calls_are_spread() {
    let rig = Rig::new();
    let handler =
        rig.handler(&PART, json!({"targets": targets(&[1, 1]), "balancer": {"algorithm": "least-connections"}}));
    let (first, a) = begin(&rig, &handler, &[]);
    let (_second, b) = begin(&rig, &handler, &[]);
    assert_ne!(a, b);
    // The one whose call is over is free again.
    drop(first);
    assert_eq!(begin(&rig, &handler, &[]).1, a);
}

#[test]
fn keys_go_to_their_own_target_and_to_no_log() {
    let rig = Rig::new();
    let mut list = targets(&[1]);
    list[0]["auth"] = json!({"header_name": "Authorization", "header_value": "Bearer s3cret", "param_name": "key", "param_value": "s3cret", "param_location": "query"});
    let handler = rig.handler(&PART, json!({"targets": list}));
    let (mut x, _) = begin(&rig, &handler, &[("Authorization", "Bearer client")]);
    assert_eq!(x.destination.headers.as_ref().unwrap().get_str("authorization"), Some("Bearer s3cret"));
    assert_eq!(x.request.headers.get_str("authorization"), Some("Bearer client"));
    assert_eq!(x.destination.query.as_deref(), Some(&b"key=s3cret"[..]));
    handler.log(&mut x, &rig.host);
    assert!(!gibbon_pdk::log_entry(&x).to_string().contains("s3cret"));
}
