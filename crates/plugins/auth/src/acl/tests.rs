//! What `acl` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use gibbon_pdk::{Exchange, Handler};
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, id, request, shown, upstream};

/// A gateway with key-auth before the plugin under test, and three consumers whose keys are their names.
struct Given {
    rig: Rig,
    key_auth: Arc<dyn Handler>,
    acl: Arc<dyn Handler>,
}

fn given(config: Value) -> Given {
    let rig = Rig::default();
    for (n, name, groups) in [(1, "gold", &["gold", "alpha"][..]), (2, "banned", &["banned"]), (3, "none", &[])] {
        let consumer = rig.consumer(n, name);
        rig.credential("keyauth_credentials", 10 + n, consumer, name, &[]);
        for (at, group) in groups.iter().enumerate() {
            rig.credential("acls", 20 + 2 * n + at as u8, consumer, "", &[("group", group)]);
        }
    }
    let key_auth = rig.handler(&crate::key_auth::PART, json!({"anonymous": "none"}));
    let acl = rig.handler(&PART, config);
    Given { rig, key_auth, acl }
}

impl Given {
    fn ask(&self, key: &str) -> (String, Exchange) {
        let mut x =
            request(&format!("GET /\napikey: {key}\nX-Consumer-Groups: forged\nX-Authenticated-Groups: forged"));
        self.rig.passes(&*self.key_auth, &mut x);
        (self.decide(&mut x), x)
    }

    fn decide(&self, x: &mut Exchange) -> String {
        self.rig.access(&*self.acl, x).map_or("passes".to_owned(), |reply| shown(&reply))
    }
}

const REFUSED: &str = "403 You cannot consume this service";

#[test]
fn only_allowed_groups_pass_and_the_upstream_learns_all_groups() {
    let given = given(json!({"allow": ["gold", "silver"]}));
    let (verdict, x) = given.ask("gold");
    assert_eq!(verdict, "passes");
    assert_eq!(upstream(&x, "x-consumer-groups"), Some("alpha, gold"));
    assert_eq!(upstream(&x, "x-authenticated-groups"), None);
    assert_eq!(given.ask("banned").0, REFUSED);
    assert_eq!(given.ask("none").0, REFUSED);
}

#[test]
fn denied_groups_are_kept_out_and_nobody_else() {
    let given = given(json!({"deny": ["banned"], "hide_groups_header": true}));
    let (verdict, x) = given.ask("gold");
    assert_eq!((verdict.as_str(), upstream(&x, "x-consumer-groups")), ("passes", None));
    assert_eq!(given.ask("none").0, "passes");
    assert_eq!(given.ask("banned").0, REFUSED);
}

#[test]
fn a_caller_that_nobody_recognised_gets_401() {
    let given = given(json!({"allow": ["gold"]}));
    assert_eq!(given.decide(&mut request("GET /")), "401 -");
    // The anonymous consumer without groups is as unknown as nobody.
    assert_eq!(given.ask("wrong").0, "401 -");
}

#[test]
fn groups_vouched_for_count_where_there_is_no_consumer() {
    let given = given(json!({"allow": ["gold"]}));
    let mut x = request("GET /");
    x.authenticated_groups = Some(vec!["gold".into(), "b".into()]);
    assert_eq!(given.decide(&mut x), "passes");
    assert_eq!(upstream(&x, "x-authenticated-groups"), Some("gold, b"));
    x.authenticated_groups = Some(vec!["b".into()]);
    assert_eq!(given.decide(&mut x), REFUSED);
}

#[test]
fn groups_vouched_for_replace_the_consumers_only_if_asked_to() {
    let own = given(json!({"allow": ["gold"]}));
    let vouched = given(json!({"allow": ["gold"], "always_use_authenticated_groups": true}));
    for (given, expected) in [(&own, "passes"), (&vouched, REFUSED)] {
        let mut x = request("GET /\napikey: gold");
        given.rig.passes(&*given.key_auth, &mut x);
        x.authenticated_groups = Some(vec!["other".into()]);
        assert_eq!(given.decide(&mut x), expected);
    }
}

#[test]
fn groups_that_plugins_are_bound_to_count_only_if_asked_to() {
    let with = given(json!({"allow": ["tier1"], "include_consumer_groups": true}));
    with.rig.group(40, id(3), "tier1");
    assert_eq!(with.ask("none").0, "passes");
    let without = given(json!({"allow": ["tier1"]}));
    without.rig.group(40, id(3), "tier1");
    assert_eq!(without.ask("none").0, REFUSED);
}

#[test]
fn exactly_one_of_the_lists_must_be_given() {
    for config in [json!({}), json!({"allow": ["a"], "deny": ["b"]})] {
        let faults = gibbon_rig::refused(&PART, config);
        assert_eq!(
            faults["@entity"][0],
            "exactly one of these fields must be non-empty: 'config.allow', 'config.deny'"
        );
    }
}
