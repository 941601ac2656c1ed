//! Which user agents come in, and which patterns are refused or given up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::{Ended, Rig, refused, request};
use serde_json::{Value, json};

use super::PART;

/// Status of a refusal, `None` for who passes.
fn visit(config: Value, headers: &[(&str, &str)]) -> Option<u16> {
    let rig = Rig::new();
    let handler = rig.handler(&PART, config);
    match rig.access(&*handler, &mut request("GET /", headers)) {
        Ended::Next => None,
        Ended::Reply(reply) => Some(reply.status),
        Ended::Fault(fault) => panic!("{fault:?}"),
    }
}

fn agent(name: &str) -> [(&str, &str); 1] {
    [("User-Agent", name)]
}

#[test]
fn known_robots_stay_out_and_people_come_in() {
    assert_eq!(visit(json!({}), &agent(" Googlebot/2.1 ")), Some(403));
    assert_eq!(visit(json!({}), &agent("Mozilla/5.0 (X11; Linux x86_64) Firefox/119.0")), None);
    assert_eq!(visit(json!({}), &[]), None, "nothing is said");
}

#[test]
fn own_lists_come_first() {
    let config = json!({"allow": ["Googlebot/2", "^good"], "deny": ["^good-but-bad", "curl"]});
    assert_eq!(visit(config.clone(), &agent("Googlebot/2.1")), None);
    assert_eq!(visit(config.clone(), &agent("good-but-bad")), None, "allowed before it is denied");
    assert_eq!(visit(config.clone(), &agent("curl/8")), Some(403));
    assert_eq!(visit(config, &agent("CURL/8")), None, "case matters");
}

#[test]
fn two_names_are_refused() {
    assert_eq!(visit(json!({}), &[("User-Agent", "a"), ("user-agent", "b")]), Some(400));
}

#[test]
fn a_pattern_that_takes_forever_is_given_up() {
    let config = json!({"deny": ["^(?!x)(a+)+$"]});
    assert_eq!(visit(config, &agent(&format!("{}b", "a".repeat(200)))), None);
}

#[test]
fn a_broken_pattern_is_refused() {
    assert_eq!(refused(&PART, json!({"allow": ["("]}))["config"]["allow"], json!(["not a valid regex: ("]));
}
