//! Rules of ai-rate-limiting-advanced. Counts and whole calls are tested through a whole node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::{accepted, request};
use gibbon_schema::Schema;
use serde_json::{Value, json};

use super::PART;
use super::config::Config;
use super::rules::{Held, Rule, rules};
use crate::matching::Asked;

const DAY_MS: u64 = 86_400_000;

fn rules_of(policies: Value) -> Vec<Rule> {
    rules(&Config::from_value(&accepted(&PART, json!({"policies": policies}))).unwrap()).unwrap()
}

#[test]
fn a_months_window_is_the_calendars() {
    let rule = &rules_of(json!([{"limits": [{"limit": 1, "window_size": 1, "period": "month"}]}]))[0];
    let window = |now: u64| rule.time(now) / rule.limits[0].size_ms;
    // Years with and without a leap day: each day's window is that of its month, and of no other.
    let mut seen: Vec<(u64, u64)> = Vec::new();
    for day in 19_000..20_500 {
        let (start, last) = (day * DAY_MS, (day + 1) * DAY_MS - 1);
        assert_eq!(window(start), window(last), "day {day}");
        match seen.last_mut() {
            Some((number, days)) if *number == window(start) => *days += 1,
            _ => {
                assert!(seen.iter().all(|(number, _)| *number != window(start)), "day {day}");
                seen.push((window(start), 1));
            }
        }
    }
    let whole = &seen[1..seen.len() - 1];
    assert!(whole.iter().all(|(_, days)| (28..=31).contains(days)), "{whole:?}");
    // 2026-11-24T14:00:00Z: six days and ten hours are left.
    assert_eq!(rule.reset_seconds(1_795_528_800_000), Some(6 * 86_400 + 36_000));
}

#[test]
fn what_depends_on_the_provider_is_open_until_it_is_known() {
    let rule = |condition: Value| {
        rules_of(json!([{"match": [condition], "limits": [{"limit": 1, "window_size": 1}]}])).remove(0)
    };
    let x = request("POST /", &[("X-Team", "a")]);
    let before = Asked { x: &x, model: None, provider: None };
    let after = Asked { provider: Some("openai"), model: Some("m"), ..before };
    let by_provider = rule(json!({"type": "provider", "partition_by": true}));
    assert_eq!(by_provider.held(&before), Held::Open);
    assert!(matches!(by_provider.held(&after), Held::Yes(key) if key.ends_with("openai")));
    let other = rule(json!({"type": "provider", "values": ["anthropic"]}));
    assert_eq!((other.held(&before), other.held(&after)), (Held::Open, Held::No));
    let by_team = rule(json!({"type": "header", "key": "x-team", "partition_by": true}));
    assert!(matches!(by_team.held(&before), Held::Yes(key) if key.ends_with('a')));
}
