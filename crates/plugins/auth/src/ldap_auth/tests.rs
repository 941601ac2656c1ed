//! What `ldap-auth` promises, with a directory that is a few lines of code; a real one is in the whole-gateway tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gibbon_pdk::{Dial, DialTarget, Duplex, Handler, OutcallTls, SendFuture};
use serde_json::{Value, json};

use super::PART;
use crate::rig::{Rig, request, shown, upstream};

/// What a directory was asked, and what it says.
#[derive(Default)]
struct Directory {
    log: Mutex<Vec<String>>,
    /// Answers given in place of the right ones.
    answers: Mutex<Vec<Vec<u8>>>,
    refuses_connections: Mutex<bool>,
    /// Bytes come together rather than one by one.
    at_once: Mutex<bool>,
}

struct Port(Arc<Directory>);
struct Line(Arc<Directory>, Option<Vec<u8>>);

fn answer(id: u8, tag: u8, code: u8) -> Vec<u8> {
    vec![0x30, 0x0c, 0x02, 0x01, id, tag, 0x07, 0x0a, 0x01, code, 0x04, 0x00, 0x04, 0x00]
}

impl Dial for Port {
    fn connect(
        &self,
        target: DialTarget,
        tls: Option<OutcallTls>,
        _: Duration,
    ) -> SendFuture<'_, io::Result<Box<dyn Duplex>>> {
        let DialTarget::Tcp { host, port } = target else { panic!("LDAP is spoken over TCP") };
        self.0.log.lock().unwrap().push(format!("connect {host}:{port} tls={}", shown_tls(tls.as_ref())));
        let down = *self.0.refuses_connections.lock().unwrap();
        let line: io::Result<Box<dyn Duplex>> =
            if down { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(Box::new(Line(self.0.clone(), None))) };
        Box::pin(std::future::ready(line))
    }
}

fn shown_tls(tls: Option<&OutcallTls>) -> String {
    tls.map_or("none".into(), |tls| format!("{}/{}", tls.server_name.as_deref().unwrap_or("-"), tls.verify))
}

impl Duplex for Line {
    fn read(&mut self, _: usize) -> SendFuture<'_, io::Result<Bytes>> {
        // Byte by byte, as the network may split it.
        let rest = self.1.take().unwrap_or_default();
        let at_once = *self.0.at_once.lock().unwrap();
        let (first, rest) = rest.split_at(if at_once { rest.len() } else { rest.len().min(1) });
        self.1 = (!rest.is_empty()).then(|| rest.to_vec());
        Box::pin(std::future::ready(Ok(Bytes::copy_from_slice(first))))
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> SendFuture<'a, io::Result<()>> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let given = self.0.answers.lock().unwrap().pop();
        match bytes.get(5) {
            Some(0x60) => {
                let (dn, password) = text[text.find("\u{4}").unwrap()..].split_once('\u{fffd}').unwrap();
                self.0.log.lock().unwrap().push(format!("bind {} {}", &dn[2..], &password[1..]));
                let is_right = &dn[2..] == "uid=bob,dc=a" && &password[1..] == "pw";
                self.1 = Some(given.unwrap_or_else(|| answer(bytes[4], 0x61, if is_right { 0 } else { 49 })));
            }
            Some(0x77) => {
                self.0.log.lock().unwrap().push("starttls".into());
                self.1 = Some(given.unwrap_or_else(|| answer(1, 0x78, 0)));
            }
            _ => self.0.log.lock().unwrap().push("unbind".into()),
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn close(&mut self) -> SendFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn start_tls(self: Box<Self>, tls: OutcallTls, _: Duration) -> SendFuture<'static, io::Result<Box<dyn Duplex>>> {
        assert!(self.1.is_none(), "bytes in plain are left");
        self.0.log.lock().unwrap().push(format!("tls {}", shown_tls(Some(&tls))));
        Box::pin(std::future::ready(Ok(self as Box<dyn Duplex>)))
    }
}

struct Given {
    rig: Rig,
    ldap: Arc<dyn Handler>,
    directory: Arc<Directory>,
}

fn given(config: Value) -> Given {
    let mut rig = Rig::default();
    let directory = Arc::new(Directory::default());
    rig.world.host.dial = Arc::new(Port(Arc::clone(&directory)));
    rig.consumer(2, "anon");
    let mut all = json!({"ldap_host": "ldap.test", "base_dn": "dc=a", "attribute": "uid", "keepalive": 0});
    all.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
    let ldap = rig.handler(&PART, all);
    Given { rig, ldap, directory }
}

impl Given {
    fn log(&self) -> Vec<String> {
        std::mem::take(&mut *self.directory.log.lock().unwrap())
    }

    fn ask(&self, header: &str) -> String {
        self.rig.access(&*self.ldap, &mut request(&format!("GET /\n{header}"))).map_or("passes".into(), |r| shown(&r))
    }
}

fn ldap(pair: &str) -> String {
    format!("Authorization: ldap {}", STANDARD.encode(pair))
}

const REFUSED: &str = "401 Unauthorized [LDAP]";

#[test]
fn a_password_that_the_directory_accepts_lets_pass_without_a_consumer() {
    let given = given(json!({}));
    let text = format!("GET /\n{}\nX-Consumer-ID: forged\nX-Consumer-Username: forged", ldap("bob:pw"));
    let mut x = request(&text);
    given.rig.passes(&*given.ldap, &mut x);
    assert_eq!(upstream(&x, "x-credential-identifier"), Some("bob"));
    assert_eq!((upstream(&x, "x-consumer-id"), upstream(&x, "x-consumer-username")), (None, None));
    assert!(x.consumer.is_none() && x.credential.is_some());
    assert_eq!(given.log(), ["connect ldap.test:389 tls=none", "bind uid=bob,dc=a pw", "unbind"]);
}

#[test]
fn everything_else_is_refused_in_the_same_words() {
    let given = given(json!({}));
    for header in [
        "X-None: 1".to_owned(),
        ldap("bob:wrong"),
        ldap("nobody:pw"),
        ldap("bob"),
        "Authorization: ldap !!!".to_owned(),
        "Authorization: Basic Ym9iOnB3".to_owned(),
        "Authorization: ldapYm9iOnB3".to_owned(),
    ] {
        assert_eq!(given.ask(&header), REFUSED, "{header}");
    }
}

#[test]
fn an_empty_password_is_never_sent_since_directories_say_yes_to_it() {
    let given = given(json!({}));
    assert_eq!(given.ask(&ldap("bob:")), REFUSED);
    assert!(given.log().is_empty());
}

#[test]
fn a_user_name_cannot_point_elsewhere_in_the_directory() {
    let given = given(json!({}));
    assert_eq!(given.ask(&ldap("bob,dc=a:pw")), REFUSED);
    assert_eq!(given.log()[1], "bind uid=bob\\,dc\\=a,dc=a pw");
}

#[test]
fn both_headers_are_tried() {
    let given = given(json!({}));
    let proxy = |pair: &str| format!("Proxy-{}", ldap(pair));
    assert_eq!(given.ask(&format!("{}\n{}", proxy("bob:wrong"), ldap("bob:pw"))), "passes");
    assert_eq!(given.ask(&proxy("bob:pw")), "passes");
}

#[test]
fn a_connection_waits_for_the_next_bind_as_long_as_it_may() {
    let connects = |g: &Given| g.log().iter().filter(|line| line.starts_with("connect")).count();
    let given = given(json!({"keepalive": 1000}));
    given.ask(&ldap("bob:a"));
    given.ask(&ldap("bob:b"));
    assert_eq!(connects(&given), 1);
    given.rig.clock.advance(Duration::from_secs(2));
    given.ask(&ldap("bob:c"));
    assert_eq!(connects(&given), 1, "the first one waited for too long");
    // One that the directory closed, or that says something else, is replaced.
    given.directory.answers.lock().unwrap().push(Vec::new());
    assert_eq!(given.ask(&ldap("bob:pw")), "passes");
    assert_eq!(connects(&given), 1);
}

#[test]
fn a_verdict_is_remembered_for_a_while() {
    let given = given(json!({"cache_ttl": 10}));
    for pair in ["bob:pw", "bob:wrong"] {
        let first = given.ask(&ldap(pair));
        assert_eq!(given.log().len(), 3);
        assert_eq!(given.ask(&ldap(pair)), first);
        assert!(given.log().is_empty());
    }
    assert!(given.rig.answers_at_once(&*given.ldap, &mut request(&format!("GET /\n{}", ldap("bob:pw")))));
    given.rig.clock.advance(Duration::from_secs(10));
    given.ask(&ldap("bob:pw"));
    assert_eq!(given.log().len(), 3);
}

#[test]
fn a_verdict_is_not_taken_for_another_directorys() {
    let given = given(json!({}));
    given.ask(&ldap("bob:pw"));
    let other = given.rig.handler(&PART, json!({"ldap_host": "ldap.test", "base_dn": "dc=b", "attribute": "uid"}));
    given.rig.refuses(&*other, &mut request(&format!("GET /\n{}", ldap("bob:pw"))));
}

#[test]
fn a_directory_that_cannot_answer_now_is_asked_again() {
    let given = given(json!({}));
    given.directory.answers.lock().unwrap().push(answer(2, 0x61, 51));
    assert_eq!(given.ask(&ldap("bob:pw")), REFUSED);
    assert_eq!(given.ask(&ldap("bob:pw")), "passes");
}

#[test]
fn a_directory_that_cannot_be_reached_or_understood_is_our_fault_and_makes_nobody_anonymous() {
    let given = given(json!({"anonymous": "anon"}));
    let broken: [(&[u8], &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no LDAP message"),
        (&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], "an answer above 65536 bytes"),
        (&answer(9, 0x61, 0), "an answer to another request"),
        (&answer(2, 0x61, 0)[..8], "it closed the connection"),
    ];
    for (bytes, expected) in broken {
        given.directory.answers.lock().unwrap().push(bytes.to_vec());
        let verdict = given.ask(&ldap("bob:pw"));
        assert!(verdict.starts_with("500 ") && verdict.contains(expected), "{verdict}");
    }
    *given.directory.refuses_connections.lock().unwrap() = true;
    let verdict = given.ask(&ldap("bob:pw"));
    assert!(verdict.starts_with("500 ") && verdict.contains("cannot connect"), "{verdict}");
    assert!(!verdict.contains("pw"));
}

#[test]
fn tls_is_spoken_from_the_start_or_after_a_change() {
    let ldaps = given(json!({"ldaps": true, "ldap_port": 636, "verify_ldap_host": true}));
    assert_eq!(ldaps.ask(&ldap("bob:pw")), "passes");
    assert_eq!(ldaps.log()[0], "connect ldap.test:636 tls=ldap.test/true");
    let changed = given(json!({"start_tls": true}));
    assert_eq!(changed.ask(&ldap("bob:pw")), "passes");
    let expected =
        ["connect ldap.test:389 tls=none", "starttls", "tls ldap.test/false", "bind uid=bob,dc=a pw", "unbind"];
    assert_eq!(changed.log(), expected);
}

#[test]
fn the_password_stays_here_if_tls_does_not_come_about() {
    let given = given(json!({"start_tls": true}));
    // Refused, and with bytes in plain behind the answer, as an attacker in between would put them.
    let injected = [answer(1, 0x78, 0), answer(2, 0x61, 0)].concat();
    *given.directory.at_once.lock().unwrap() = true;
    for bytes in [answer(1, 0x78, 2), injected] {
        given.directory.answers.lock().unwrap().push(bytes);
        let verdict = given.ask(&ldap("bob:pw"));
        assert!(verdict.starts_with("500 "), "{verdict}");
        assert_eq!(given.log(), ["connect ldap.test:389 tls=none", "starttls"]);
    }
}

#[test]
fn the_scheme_can_be_another_one() {
    let given = given(json!({"header_type": "Basic", "realm": "r"}));
    let pair = STANDARD.encode("bob:pw");
    assert_eq!(given.ask(&format!("Authorization: bAsIc {pair}")), "passes");
    assert_eq!(given.ask(&ldap("bob:pw")), "401 Unauthorized [Basic realm=\"r\"]");
}

#[test]
fn credentials_are_hidden_from_the_upstream() {
    let given = given(json!({"hide_credentials": true, "anonymous": "anon"}));
    for pair in ["bob:pw", "bob:wrong"] {
        let mut x = request(&format!("GET /\n{}\nProxy-Authorization: other", ldap(pair)));
        given.rig.passes(&*given.ldap, &mut x);
        assert_eq!((upstream(&x, "authorization"), upstream(&x, "proxy-authorization")), (None, None));
    }
}

#[test]
fn many_wrong_passwords_do_not_fill_the_memory() {
    let given = given(json!({}));
    given.ask(&ldap("bob:pw"));
    for n in 0..10_100 {
        given.ask(&ldap(&format!("bob:{n}")));
    }
    given.log();
    assert_eq!(given.ask(&ldap("bob:pw")), "passes");
    assert!(given.log().is_empty(), "who is known stays known");
}

#[test]
fn both_kinds_of_tls_at_once_are_refused() {
    let config = json!({"ldap_host": "a", "base_dn": "b", "attribute": "c", "ldaps": true, "start_tls": true});
    let faults = gibbon_rig::refused(&PART, config);
    assert_eq!(faults["config"]["@entity"][0], "'ldaps' and 'start_tls' cannot be enabled simultaneously");
}
