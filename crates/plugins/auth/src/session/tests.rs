//! What `session` promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use gibbon_pdk::{Exchange, Handler};
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, id, request, shown, upstream};

/// A browser that goes through `session` and then `key-auth` with an anonymous consumer.
struct Browser {
    rig: Rig,
    session: Arc<dyn Handler>,
    key_auth: Arc<dyn Handler>,
    jar: Vec<(String, String)>,
    /// What came with the last answer.
    set_cookies: Vec<String>,
    answer: Vec<(String, String)>,
}

fn given(config: Value) -> Browser {
    let rig = Rig::default();
    let alice = rig.consumer(1, "alice");
    rig.credential("keyauth_credentials", 11, alice, "k-alice", &[]);
    let carl = rig.consumer(3, "carl");
    rig.credential("keyauth_credentials", 13, carl, "k-carl", &[]);
    rig.consumer(2, "anon");
    let mut config = config;
    config["secret"] = json!("fixed-secret");
    let session = rig.handler(&PART, config);
    let key_auth = rig.handler(&crate::key_auth::PART, json!({"anonymous": "anon"}));
    Browser { rig, session, key_auth, jar: Vec::new(), set_cookies: Vec::new(), answer: Vec::new() }
}

impl Browser {
    /// Sends a request with the cookies it has, and keeps those of the answer; the exchange, or the gateway's answer.
    fn ask(&mut self, text: &str) -> Result<Exchange, String> {
        let (head, body) = text.split_once("\n\n").map_or((text, String::new()), |(h, b)| (h, format!("\n\n{b}")));
        let cookies: Vec<String> = self.jar.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let cookie = if cookies.is_empty() { String::new() } else { format!("\nCookie: {}", cookies.join("; ")) };
        let mut x = request(&format!("{head}{cookie}{body}"));
        let mut reply = self.rig.access(&*self.session, &mut x);
        if reply.is_none() {
            reply = self.rig.access(&*self.key_auth, &mut x);
        }
        self.rig.answer(&*self.session, &mut x, 200, &[("Set-Cookie", "other=1")]);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.answer = x.response.headers.iter().map(|(n, v)| (text(n), text(v))).collect();
        self.set_cookies = x.response.headers.get_all("set-cookie").map(text).filter(|c| c != "other=1").collect();
        for cookie in &self.set_cookies {
            let (pair, rest) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.jar.retain(|(n, _)| n != name);
            if !rest.contains("Max-Age=0") {
                self.jar.push((name.to_owned(), value.to_owned()));
            }
        }
        match reply {
            None => Ok(x),
            Some(reply) => Err(shown(&reply)),
        }
    }

    fn who(&mut self, text: &str) -> String {
        let x = self.ask(text).unwrap();
        upstream(&x, "x-consumer-username").unwrap().to_owned()
    }

    fn wait(&self, seconds: u64) {
        self.rig.clock.advance(Duration::from_secs(seconds));
    }

    fn write_back(&self) {
        self.rig.queues.get("01010101").deliver().unwrap();
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.answer.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

#[test]
fn a_caller_recognised_once_is_known_by_its_cookie() {
    let mut browser = given(json!({}));
    assert_eq!(browser.who("GET /\napikey: k-alice"), "alice");
    assert!(
        browser.set_cookies[0].ends_with("; Path=/; SameSite=Strict; Secure; HttpOnly"),
        "{:?}",
        browser.set_cookies
    );
    let x = browser.ask("GET /\nX-Anonymous-Consumer: true\nX-Consumer-Custom-ID: forged").unwrap();
    assert_eq!(upstream(&x, "x-consumer-username"), Some("alice"));
    assert_eq!(upstream(&x, "x-credential-identifier"), Some(id(11).to_string().as_str()));
    assert_eq!(upstream(&x, "x-anonymous-consumer"), None);
    assert_eq!(upstream(&x, "x-consumer-custom-id"), None);
    // Nothing changed, so no cookie is set; the upstream's own cookies are left alone.
    assert!(browser.set_cookies.is_empty());
    assert_eq!(browser.header("set-cookie"), Some("other=1"));
}

#[test]
fn an_anonymous_caller_gets_no_session() {
    let mut browser = given(json!({}));
    assert_eq!(browser.who("GET /"), "anon");
    assert!(browser.set_cookies.is_empty());
}

#[test]
fn a_forged_or_foreign_cookie_is_nothing() {
    let mut browser = given(json!({}));
    browser.who("GET /\napikey: k-alice");
    let good = browser.jar[0].1.clone();
    let mut changed = good.clone().into_bytes();
    changed[120] ^= 1;
    for value in [String::from_utf8(changed).unwrap(), good[..109].to_owned(), String::new(), "x".repeat(5000)] {
        browser.jar = vec![("session".into(), value)];
        assert_eq!(browser.who("GET /"), "anon");
    }
}

#[test]
fn a_session_ends_when_it_lies_idle_or_is_too_old() {
    let mut browser = given(json!({"idling_timeout": 100, "rolling_timeout": 1000, "absolute_timeout": 2000}));
    browser.who("GET /\napikey: k-alice");
    let stale = browser.jar.clone();
    browser.wait(101);
    assert_eq!(browser.who("GET /"), "anon");
    browser.jar.clear();
    browser.who("GET /\napikey: k-alice");
    for _ in 0..20 {
        browser.wait(99);
        assert_eq!(browser.who("GET /"), "alice");
    }
    browser.wait(99);
    assert_eq!(browser.who("GET /"), "anon", "2000 seconds are over");
    browser.jar = stale;
    assert_eq!(browser.who("GET /"), "anon");
}

#[test]
fn a_used_session_is_touched_after_a_minute_and_rolls_in_its_last_quarter() {
    let mut browser = given(json!({"rolling_timeout": 400}));
    browser.who("GET /\napikey: k-alice");
    let id_of = |browser: &Browser| browser.jar[0].1[4..46].to_owned();
    let first = id_of(&browser);
    browser.wait(60);
    browser.who("GET /");
    assert!(browser.set_cookies.is_empty());
    browser.wait(1);
    assert_eq!(browser.who("GET /"), "alice");
    assert_eq!(browser.set_cookies.len(), 1);
    assert_eq!(id_of(&browser), first, "touched, not replaced");
    browser.wait(240);
    assert_eq!(browser.who("GET /"), "alice");
    assert_ne!(id_of(&browser), first, "replaced");
    browser.wait(399);
    assert_eq!(browser.who("GET /"), "alice");
}

#[test]
fn logging_out_ends_the_session() {
    let mut browser = given(json!({"cookie_secure": false, "cookie_same_site": "Lax"}));
    browser.who("GET /\napikey: k-alice");
    assert_eq!(browser.who("GET /?session_logout=1"), "alice", "GET is no logout method");
    assert_eq!(browser.ask("DELETE /?session_logout=1").unwrap_err(), "200 ");
    let expired = "session=; Path=/; SameSite=Lax; HttpOnly; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0";
    assert_eq!(browser.set_cookies, [expired]);
    assert_eq!(browser.who("GET /"), "anon");
}

#[test]
fn a_body_field_logs_out_only_if_bodies_are_read() {
    let post = "POST /\nContent-Type: application/x-www-form-urlencoded\n\na=1&session_logout=1";
    let mut browser = given(json!({}));
    browser.who("GET /\napikey: k-alice");
    let x = browser.ask(post).unwrap();
    assert!(x.body.is_unread());
    let mut browser = given(json!({"read_body_for_logout": true}));
    browser.who("GET /\napikey: k-alice");
    browser.ask(post).unwrap_err();
    // Without a session there is nothing to end, and no reason to read the body.
    assert!(browser.ask(post).unwrap().body.is_unread());
}

#[test]
fn a_session_of_a_consumer_that_is_gone_is_ended() {
    let mut browser = given(json!({}));
    browser.who("GET /\napikey: k-alice");
    browser.rig.forget(id(1));
    assert_eq!(browser.who("GET /"), "anon");
    assert!(browser.set_cookies[0].contains("Max-Age=0"));
}

#[test]
fn another_caller_takes_the_session_over() {
    let mut browser = given(json!({}));
    browser.who("GET /\napikey: k-alice");
    browser.key_auth = browser.rig.handler(&crate::key_auth::PART, json!({}));
    assert_eq!(browser.who("GET /\napikey: k-carl"), "carl");
    assert_eq!(browser.set_cookies.len(), 1);
    browser.key_auth = browser.rig.handler(&crate::key_auth::PART, json!({"anonymous": "anon"}));
    assert_eq!(browser.who("GET /"), "carl");
}

#[test]
fn groups_vouched_for_are_kept() {
    let browser = given(json!({}));
    let mut x = request("GET /\napikey: k-alice");
    browser.rig.passes(&*browser.key_auth, &mut x);
    x.authenticated_groups = Some(vec!["g1".into(), "g2".into()]);
    browser.rig.answer(&*browser.session, &mut x, 200, &[]);
    let cookie = x.response.headers.get_str("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut x = request(&format!("GET /\nCookie: {cookie}"));
    browser.rig.passes(&*browser.session, &mut x);
    assert_eq!(upstream(&x, "x-authenticated-groups"), Some("g1, g2"));
    assert_eq!(x.authenticated_groups.unwrap(), ["g1", "g2"]);
}

#[test]
fn a_session_too_large_for_a_cookie_takes_several() {
    let mut browser = given(json!({}));
    let groups: Vec<String> = (0..300u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    let mut x = request("GET /\napikey: k-alice");
    browser.rig.passes(&*browser.key_auth, &mut x);
    x.authenticated_groups = Some(groups.clone());
    browser.rig.answer(&*browser.session, &mut x, 200, &[]);
    let cookies: Vec<_> =
        x.response.headers.get_all("set-cookie").map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
    assert!(cookies.len() > 1 && cookies[1].starts_with("session2="), "{}", cookies.len());
    for cookie in cookies {
        let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
        browser.jar.push((name.into(), value.into()));
    }
    let x = browser.ask("GET /").unwrap();
    assert_eq!(x.authenticated_groups.unwrap(), groups);
    browser.ask("DELETE /?session_logout").unwrap_err();
    assert!(browser.jar.is_empty(), "every cookie is taken back");
    browser.jar.push(("session".into(), "x".into()));
    assert_eq!(browser.who("GET /"), "anon");
}

#[test]
fn applications_share_a_cookie_and_each_logs_out_of_its_own() {
    let mut browser = given(json!({"audience": "one"}));
    let one = Arc::clone(&browser.session);
    let two = browser.rig.handler(&PART, json!({"audience": "two", "secret": "fixed-secret"}));
    browser.who("GET /\napikey: k-alice");
    browser.session = two;
    assert_eq!(browser.who("GET /"), "anon");
    browser.who("GET /\napikey: k-carl");
    assert_eq!(browser.who("GET /"), "carl");
    browser.ask("DELETE /?session_logout").unwrap_err();
    assert_eq!(browser.who("GET /"), "anon");
    browser.session = one;
    assert_eq!(browser.who("GET /"), "alice");
}

#[test]
fn headers_tell_what_is_asked_for() {
    let all = json!(["id", "audience", "subject", "timeout", "idling-timeout", "rolling-timeout", "absolute-timeout"]);
    let mut browser = given(json!({"response_headers": all, "request_headers": ["subject", "timeout"]}));
    browser.who("GET /\napikey: k-alice");
    assert_eq!(browser.header("session-subject"), Some("alice"));
    assert_eq!(browser.header("session-id").unwrap().len(), 43);
    browser.wait(30);
    let x = browser.ask("GET /\nSession-Subject: forged").unwrap();
    assert_eq!((upstream(&x, "session-subject"), upstream(&x, "session-timeout")), (Some("alice"), Some("870")));
    let told = [
        "session-audience",
        "session-timeout",
        "session-idling-timeout",
        "session-rolling-timeout",
        "session-absolute-timeout",
    ];
    assert_eq!(told.map(|n| browser.header(n).unwrap()), ["default", "870", "870", "3570", "86370"]);
    browser.jar.clear();
    let x = browser.ask("GET /\nSession-Subject: forged").unwrap();
    assert_eq!(upstream(&x, "session-subject"), None);
}

#[test]
fn a_second_cookie_opens_a_new_session_once_the_first_has_ended() {
    let mut browser = given(json!({"remember": true}));
    browser.who("GET /\napikey: k-alice");
    assert_eq!(browser.set_cookies.len(), 2);
    assert!(browser.set_cookies[1].starts_with("remember=") && browser.set_cookies[1].ends_with("; Max-Age=604800"));
    browser.wait(100_000);
    assert_eq!(browser.who("GET /"), "alice");
    assert_eq!(browser.set_cookies.len(), 2, "both are renewed");
    browser.wait(10);
    assert_eq!(browser.who("GET /"), "alice");
    assert!(browser.set_cookies.is_empty());
    browser.ask("DELETE /?session_logout").unwrap_err();
    assert!(browser.jar.is_empty());
}

#[test]
fn a_session_in_the_store_leaves_an_id_in_the_cookie() {
    let mut browser = given(json!({"storage": "kong"}));
    browser.who("GET /\napikey: k-alice");
    assert_eq!(browser.jar[0].1.len(), 110);
    // The very next request finds it, though it is not written yet.
    assert_eq!(browser.who("GET /"), "alice");
    browser.write_back();
    assert_eq!(browser.who("GET /"), "alice");
    browser.ask("DELETE /?session_logout").unwrap_err();
    let before = browser.jar.clone();
    assert_eq!(browser.who("GET /"), "anon");
    assert!(before.is_empty());
}

#[test]
fn a_stored_session_that_was_logged_out_cannot_be_replayed() {
    let mut browser = given(json!({"storage": "kong"}));
    browser.who("GET /\napikey: k-alice");
    browser.write_back();
    let stolen = browser.jar.clone();
    browser.ask("DELETE /?session_logout").unwrap_err();
    browser.jar = stolen;
    assert_eq!(browser.who("GET /"), "anon");
}

#[test]
fn a_stored_session_that_rolled_stays_for_requests_under_way() {
    let mut browser = given(json!({"storage": "kong", "rolling_timeout": 100, "stale_ttl": 10}));
    browser.who("GET /\napikey: k-alice");
    browser.write_back();
    let old = browser.jar.clone();
    browser.wait(80);
    assert_eq!(browser.who("GET /"), "alice");
    let new = std::mem::replace(&mut browser.jar, old.clone());
    assert_ne!(new, old);
    browser.wait(9);
    assert_eq!(browser.who("GET /"), "alice", "the old one still counts");
    browser.jar = old;
    browser.wait(11);
    assert_eq!(browser.who("GET /"), "anon");
    browser.jar = new;
    assert_eq!(browser.who("GET /"), "alice");
}

#[test]
fn a_store_that_is_down_makes_callers_unknown_and_breaks_nothing() {
    use std::sync::atomic::Ordering;
    let mut browser = given(json!({"storage": "kong"}));
    browser.who("GET /\napikey: k-alice");
    browser.write_back();
    browser.rig.store.down.store(true, Ordering::SeqCst);
    assert_eq!(browser.who("GET /"), "anon");
}

#[test]
fn a_cookie_session_is_not_taken_for_a_stored_one() {
    let mut browser = given(json!({}));
    browser.who("GET /\napikey: k-alice");
    browser.session = browser.rig.handler(&PART, json!({"storage": "kong", "secret": "fixed-secret"}));
    assert_eq!(browser.who("GET /"), "anon");
}

#[test]
fn a_session_can_be_tied_to_the_clients_address() {
    let mut browser = given(json!({"bind": ["ip", "user-agent"]}));
    browser.who("GET /\nUser-Agent: one\napikey: k-alice");
    assert_eq!(browser.who("GET /\nUser-Agent: one"), "alice");
    assert_eq!(browser.who("GET /\nUser-Agent: two"), "anon");
}

#[test]
fn old_names_are_still_understood() {
    let old = json!({"cookie_lifetime": 7, "cookie_idletime": null, "cookie_renew": 600, "cookie_discard": 3,
        "cookie_samesite": "off", "cookie_httponly": false, "cookie_persistent": true});
    let config = gibbon_rig::accepted(&PART, old);
    let read = |name: &str| config[name].clone();
    assert_eq!(read("rolling_timeout"), 7);
    assert_eq!(read("idling_timeout"), 0);
    assert_eq!(read("stale_ttl"), 3);
    assert_eq!(read("cookie_same_site"), "Lax");
    assert_eq!(read("cookie_http_only"), false);
    assert_eq!(read("remember"), true);
    assert_eq!(config.get("cookie_renew"), None);
}

#[test]
fn a_secret_is_made_up_if_none_is_given() {
    let config = gibbon_rig::accepted(&PART, json!({}));
    assert!(config["secret"].as_str().unwrap().len() >= 32);
}
