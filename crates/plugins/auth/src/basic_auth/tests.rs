//! What `basic-auth` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use gibbon_pdk::Handler;
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, id, request, shown, upstream};

/// SHA-1 of `pa:ss` followed by the id of consumer 1.
fn stored() -> String {
    let salted = format!("pa:ss{}", id(1));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, salted.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn given(config: Value) -> (Rig, Arc<dyn Handler>) {
    let rig = Rig::default();
    let bob = rig.consumer(1, "bob");
    rig.credential("basicauth_credentials", 11, bob, "bob", &[("password", &stored())]);
    rig.consumer(2, "anon");
    let handler = rig.handler(&PART, config);
    (rig, handler)
}

fn basic(pair: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
}

#[test]
fn the_right_password_names_the_consumer() {
    let (rig, handler) = given(json!({}));
    for header in [
        "Authorization: Basic Ym9iOnBhOnNz",
        "authorization: basic Ym9iOnBhOnNz",
        "Authorization: BasicYm9iOnBhOnNz",
        "Proxy-Authorization: Basic Ym9iOnBhOnNz",
        "Proxy-Authorization: Basic bm9ib2R5Ong=\nAuthorization: Basic Ym9iOnBhOnNz",
        "Proxy-Authorization: Digest x\nAuthorization: Basic Ym9iOnBhOnNz",
    ] {
        let mut x = request(&format!("GET /\n{header}"));
        rig.passes(&*handler, &mut x);
        assert_eq!(upstream(&x, "x-consumer-username"), Some("bob"), "{header}");
        assert_eq!(upstream(&x, "x-credential-identifier"), Some("bob"));
        assert!(upstream(&x, "authorization").or(upstream(&x, "proxy-authorization")).is_some());
    }
}

#[test]
fn everything_else_is_refused_in_the_same_words() {
    let (rig, handler) = given(json!({}));
    for header in [
        "X-None: 1",
        "Authorization: Basic Ym9iOndyb25n",
        "Authorization: Basic bm9ib2R5Ong=",
        "Authorization: Basic !!!",
        "Authorization: Basic Ym9i",
        "Authorization: Bearer Ym9iOnBhOnNz",
        "Authorization: Basic",
        "Proxy-Authorization: Basic Ym9iOndyb25n\nAuthorization: Basic Ym9iOnBhOnNz",
    ] {
        let reply = rig.refuses(&*handler, &mut request(&format!("GET /\n{header}")));
        assert_eq!(shown(&reply), "401 Unauthorized [Basic realm=\"service\"]", "{header}");
    }
}

#[test]
fn the_stored_hash_is_not_a_password() {
    let (rig, handler) = given(json!({}));
    let mut x = request(&format!("GET /\nAuthorization: {}", basic(&format!("bob:{}", stored()))));
    rig.refuses(&*handler, &mut x);
}

#[test]
fn the_realm_stands_in_the_challenge() {
    let (rig, handler) = given(json!({"realm": "r2"}));
    assert_eq!(shown(&rig.refuses(&*handler, &mut request("GET /"))), "401 Unauthorized [Basic realm=\"r2\"]");
}

#[test]
fn hidden_credentials_do_not_reach_the_upstream_even_if_they_are_wrong() {
    let (rig, handler) = given(json!({"hide_credentials": true, "anonymous": "anon"}));
    for pair in ["bob:pa:ss", "bob:wrong", "nobody:x"] {
        let mut x = request(&format!("GET /\nAuthorization: {}", basic(pair)));
        rig.passes(&*handler, &mut x);
        assert_eq!(upstream(&x, "authorization"), None, "{pair}");
    }
}

#[test]
fn a_consumer_with_a_custom_id_only_is_shown_by_it() {
    let (rig, handler) = given(json!({}));
    let c9 = rig.add_consumer(3, None, Some("c9"));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("pw{c9}").as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    rig.credential("basicauth_credentials", 12, c9, "carol", &[("password", &hash)]);
    let mut x = request(&format!("GET /\nX-Consumer-Username: forged\nAuthorization: {}", basic("carol:pw")));
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "x-consumer-custom-id"), Some("c9"));
    assert_eq!(upstream(&x, "x-consumer-username"), None);
}

#[test]
fn a_user_name_with_line_breaks_ends_no_header() {
    let (rig, handler) = given(json!({}));
    let evil = "bob\r\n\r\nGET /admin";
    rig.credential("basicauth_credentials", 13, id(1), evil, &[("password", &stored())]);
    let mut x = request(&format!("GET /\nAuthorization: {}", basic(&format!("{evil}:pa:ss"))));
    rig.passes(&*handler, &mut x);
    assert_eq!(upstream(&x, "x-credential-identifier"), Some("bob%0D%0A%0D%0AGET /admin"));
}

#[test]
fn oversized_credentials_are_merely_wrong() {
    let (rig, handler) = given(json!({}));
    for pair in [format!("{}:x", "u".repeat(1 << 20)), format!("bob:{}", "p".repeat(1 << 20))] {
        rig.refuses(&*handler, &mut request(&format!("GET /\nAuthorization: {}", basic(&pair))));
    }
}

/// Guesses of passwords, and what is made of them.
mod guessing {
    use super::*;

    const LOCKED_OUT: &str = "429 Too many failed logins";
    const WRONG: &str = "401 Unauthorized [Basic realm=\"service\"]";

    fn protected(strategy: &str) -> (Rig, Arc<dyn Handler>) {
        let protection = json!({"strategy": strategy, "redis": {"host": "redis.test"}});
        let (rig, handler) = given(json!({"brute_force_protection": protection}));
        rig.clock.set_ms(1_800_000_000_000); // the full hour
        (rig, handler)
    }

    fn login(rig: &Rig, handler: &dyn Handler, address: &str, pair: &str) -> String {
        let mut x = request(&format!("GET /\nAuthorization: {}", basic(pair)));
        x.client.ip = address.parse().unwrap();
        rig.access(handler, &mut x).map_or("passed".to_owned(), |reply| {
            let wait = reply.headers.get_str("retry-after").is_some_and(|wait| wait.parse::<u32>().unwrap() <= 3600);
            assert_eq!(wait, reply.status == 429);
            shown(&reply)
        })
    }

    #[test]
    fn after_three_failures_even_the_right_password_has_to_wait() {
        for strategy in ["memory", "cluster", "redis"] {
            let (rig, handler) = protected(strategy);
            let login = |pair: &str| login(&rig, &*handler, "10.0.0.1", pair);
            for _ in 0..5 {
                assert_eq!(login("bob:pa:ss"), "passed", "{strategy}: logins that succeed are not counted");
            }
            for _ in 0..3 {
                assert_eq!(login("bob:wrong"), WRONG, "{strategy}");
            }
            assert_eq!((login("bob:wrong"), login("bob:pa:ss")), (LOCKED_OUT.to_owned(), LOCKED_OUT.to_owned()));
            rig.clock.advance(Duration::from_mins(1));
            assert_eq!(login("bob:pa:ss"), "passed", "{strategy}");
        }
    }

    #[test]
    fn whoever_goes_on_guessing_waits_for_an_hour() {
        for strategy in ["memory", "cluster", "redis"] {
            let (rig, handler) = protected(strategy);
            for minute in 0..60 {
                for _ in 0..3 {
                    let expected = if minute < 10 { WRONG } else { LOCKED_OUT };
                    assert_eq!(login(&rig, &*handler, "10.0.0.1", "bob:wrong"), expected, "{strategy} {minute}");
                }
                rig.clock.advance(Duration::from_mins(1));
            }
            assert_eq!(login(&rig, &*handler, "10.0.0.1", "bob:pa:ss"), "passed", "{strategy}");
        }
    }

    #[test]
    fn a_user_is_not_locked_out_by_guesses_from_elsewhere() {
        let (rig, handler) = protected("memory");
        for guess in 0..10 {
            login(&rig, &*handler, "10.0.0.1", &format!("bob:{guess}"));
            login(&rig, &*handler, "2001:db8:1:2::1", &format!("bob:{guess}"));
        }
        assert_eq!(login(&rig, &*handler, "10.0.0.2", "bob:pa:ss"), "passed");
        assert_eq!(login(&rig, &*handler, "2001:db8:1:3::1", "bob:pa:ss"), "passed");
        assert_eq!(login(&rig, &*handler, "2001:db8:1:2:ffff::9", "bob:pa:ss"), LOCKED_OUT, "the same network");
        assert_eq!(login(&rig, &*handler, "::ffff:10.0.0.1", "bob:pa:ss"), LOCKED_OUT, "the same address");
    }

    #[test]
    fn names_that_do_not_exist_are_locked_out_alike() {
        let (rig, handler) = protected("memory");
        let answers = || login(&rig, &*handler, "10.0.0.1", "nobody:guess");
        assert_eq!([answers(), answers(), answers(), answers()], [WRONG, WRONG, WRONG, LOCKED_OUT]);
    }

    #[test]
    fn requests_without_a_login_are_not_counted() {
        let (rig, handler) = protected("memory");
        for _ in 0..5 {
            assert_eq!(shown(&rig.refuses(&*handler, &mut request("GET /"))), WRONG);
            assert_eq!(shown(&rig.refuses(&*handler, &mut request("GET /\nAuthorization: Bearer x"))), WRONG);
        }
    }

    #[test]
    fn with_the_server_away_a_node_counts_by_itself() {
        for strategy in ["cluster", "redis"] {
            let (rig, handler) = protected(strategy);
            rig.store.down.store(true, Ordering::SeqCst);
            rig.kv.down.store(true, Ordering::SeqCst);
            let login = |pair: &str| login(&rig, &*handler, "10.0.0.1", pair);
            assert_eq!(login("bob:pa:ss"), "passed", "{strategy}");
            assert_eq!(
                [login("bob:1"), login("bob:2"), login("bob:3"), login("bob:pa:ss")],
                [WRONG, WRONG, WRONG, LOCKED_OUT]
            );
        }
    }

    #[test]
    fn what_is_kept_elsewhere_names_no_one_and_ends() {
        let (rig, handler) = protected("redis");
        login(&rig, &*handler, "10.0.0.1", "bob:wrong");
        let entries = rig.kv.entries();
        assert_eq!(
            entries.values().map(|(count, ttl)| (count.as_str(), *ttl)).collect::<Vec<_>>(),
            [("1", Some(3600)), ("1", Some(60))]
        );
        for key in entries.keys() {
            assert!(
                key.starts_with("basic-auth:attempts:") && !key.contains("bob") && !key.contains("10.0.0.1"),
                "{key}"
            );
        }
    }

    #[test]
    fn the_anonymous_consumer_takes_the_place_of_who_is_locked_out() {
        let (rig, handler) = given(json!({"anonymous": "anon", "brute_force_protection": {"strategy": "memory"}}));
        for pair in ["bob:1", "bob:2", "bob:3", "bob:4", "bob:pa:ss"] {
            let mut x = request(&format!("GET /\nAuthorization: {}", basic(pair)));
            rig.passes(&*handler, &mut x);
            assert_eq!(upstream(&x, "x-consumer-username"), Some("anon"), "{pair}");
        }
    }

    #[test]
    fn settings_that_cannot_be_followed_are_refused() {
        let refused = |config| gibbon_rig::refused(&PART, config).to_string();
        let without_host = refused(json!({"brute_force_protection": {"strategy": "redis"}}));
        assert!(without_host.contains("strategy 'redis' needs 'redis.host'"), "{without_host}");
        let principals = refused(json!({"principals": {"enabled": true}}));
        assert!(principals.contains("principals are kept by Konnect"), "{principals}");
        for fine in [
            json!({"principals": {}}),
            json!({"principals": null, "brute_force_protection": null}),
            json!({"brute_force_protection": {}}),
        ] {
            let _ = gibbon_rig::accepted(&PART, fine);
        }
        let written = gibbon_rig::accepted(&PART, json!({}));
        assert_eq!((written.get("principals"), written.get("brute_force_protection")), (None, None));
    }
}
