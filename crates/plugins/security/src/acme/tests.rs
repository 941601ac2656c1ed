//! acme, without a gateway around it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gibbon_message::Method;
use gibbon_pdk::{AdminAnswer, AdminCall, Clock, Handler, OutcallRequest, OutcallResponse, ReplyBody};
use gibbon_rig::{Ended, MemoryKv, Rig, refused, request};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use super::PART;

/// An authority that issues at once, if the answer to its challenge is in the storage that it looks into.
#[derive(Clone, Default)]
struct Authority {
    orders: Arc<AtomicUsize>,
    refuses: Arc<AtomicBool>,
    proven: Arc<AtomicBool>,
    /// Days that certificates last.
    days: Arc<AtomicUsize>,
    payloads: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Authority {
    fn answer(&self, request: &OutcallRequest, storage: &MemoryKv, now: i64) -> OutcallResponse {
        let path = request.url.strip_prefix("https://ca.test").expect("the authority's address").to_owned();
        let payload = payload(&request.body);
        self.payloads.lock().unwrap().push((path.clone(), payload.clone()));
        let mut answer = OutcallResponse { status: 200, headers: Default::default(), body: Default::default() };
        answer.headers.append("Replay-Nonce", format!("n{}", self.payloads.lock().unwrap().len()));
        let at = |path: &str| format!("https://ca.test{path}");
        let body = match path.as_str() {
            "/directory" => json!({"newNonce": at("/nonce"), "newAccount": at("/account"), "newOrder": at("/order")}),
            "/nonce" => Value::Null,
            "/account" => {
                answer.headers.append("Location", at("/account/1"));
                json!({"status": "valid"})
            }
            "/order" if self.refuses.load(Ordering::SeqCst) => {
                answer.status = 429;
                json!({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many"})
            }
            "/order" => {
                self.orders.fetch_add(1, Ordering::SeqCst);
                self.proven.store(false, Ordering::SeqCst);
                answer.headers.append("Location", at("/order/1"));
                json!({"status": "pending", "authorizations": [at("/authz")], "finalize": at("/finalize")})
            }
            "/authz" => {
                let status = if self.proven.load(Ordering::SeqCst) { "valid" } else { "pending" };
                let challenge = json!({"type": "http-01", "token": "tok-1", "url": at("/challenge")});
                json!({"status": status, "challenges": [{"type": "dns-01"}, challenge]})
            }
            "/challenge" => {
                let entries = storage.entries();
                let (answer, _) = entries.get("ns:tok-1#http-01").expect("the answer to the challenge");
                assert!(answer.starts_with("tok-1.") && answer.len() == 6 + 43, "{answer}");
                self.proven.store(true, Ordering::SeqCst);
                json!({"status": "processing"})
            }
            "/finalize" | "/order/1" => {
                json!({"status": "valid", "certificate": at("/cert"), "finalize": at("/finalize")})
            }
            "/cert" => {
                answer.body = certificate(now + 86_400 * self.days.load(Ordering::SeqCst) as i64).into();
                return answer;
            }
            other => panic!("{other}"),
        };
        answer.body = body.to_string().into();
        answer
    }

    fn payload_of(&self, path: &str) -> Value {
        let payloads = self.payloads.lock().unwrap();
        payloads.iter().rev().find(|(p, _)| p == path).map(|(_, payload)| payload.clone()).unwrap()
    }
}

/// What a signed request says.
fn payload(body: &[u8]) -> Value {
    let jws: Value = serde_json::from_slice(body).unwrap_or_default();
    let payload = jws["payload"].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or_default()
}

fn certificate(not_after: i64) -> String {
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    let day = jiff::Timestamp::from_second(not_after).unwrap().to_zoned(jiff::tz::TimeZone::UTC).date();
    params.not_after = rcgen::date_time_ymd(day.year().into(), day.month() as u8, day.day() as u8);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
}

struct Node {
    rig: Rig,
    handler: Arc<dyn Handler>,
    authority: Authority,
}

fn config() -> Value {
    json!({
        "account_email": "ops@a.test", "api_uri": "https://ca.test", "tos_accepted": true, "cert_type": "ecc",
        "domains": ["a.test", "*.b.test"], "storage": "redis",
        "storage_config": {"redis": {"host": "r.test", "namespace": "ns:"}},
    })
}

impl Node {
    /// A node without a datastore, whose storage has an account's key already: making one takes seconds.
    fn new() -> Self {
        Self::with_account(false)
    }

    fn with_account(has_datastore: bool) -> Self {
        let kv = Arc::new(MemoryKv::new(Arc::new(Default::default())));
        let node = Self::made(kv, Authority::default(), has_datastore);
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
        let place = "ns:kong_acme:account:https://ca.test/directory:b3BzQGEudGVzdA==";
        node.store(place, &json!({"key": key.serialize_pem()}).to_string());
        node.authority.days.store(90, Ordering::SeqCst);
        node
    }

    fn beside(kv: Arc<MemoryKv>, authority: Authority) -> Self {
        Self::made(kv, authority, false)
    }

    fn made(kv: Arc<MemoryKv>, authority: Authority, has_datastore: bool) -> Self {
        let mut rig = Rig::new();
        rig.store.absent.store(!has_datastore, Ordering::SeqCst);
        rig.kv = Arc::clone(&kv);
        let (script, clock) = (authority.clone(), Arc::clone(&rig.clock));
        rig.http.answer(move |request| Ok(script.answer(&request, &kv, clock.wall())));
        let handler = rig.handler(&PART, config());
        Node { rig, handler, authority }
    }

    fn store(&self, key: &str, value: &str) {
        let words = ["SET", key, value].map(|word| bytes::Bytes::copy_from_slice(word.as_bytes()));
        gibbon_rig::run(gibbon_pdk::Kv::command(&*self.rig.kv, words.to_vec())).unwrap();
    }

    /// What a handshake for that name is shown.
    fn greet(&self, name: &str) -> bool {
        self.handler.certificate_for(name).is_some()
    }

    /// Works off what is on the list.
    fn work(&self) {
        self.rig.queues.get("acme/list").deliver().unwrap();
    }

    fn orders(&self) -> usize {
        self.authority.orders.load(Ordering::SeqCst)
    }

    fn challenge(&self, host: &str, token: &str) -> Option<(u16, String)> {
        let mut x = request(&format!("GET /.well-known/acme-challenge/{token}"), &[]);
        x.request.headers.set("Host", host);
        match self.rig.rewrite(&*self.handler, &mut x) {
            Ended::Next => None,
            Ended::Reply(reply) => match reply.body {
                ReplyBody::Bytes(body) => Some((reply.status, String::from_utf8(body.to_vec()).unwrap())),
                other => panic!("{other:?}"),
            },
            Ended::Fault(fault) => panic!("{fault:?}"),
        }
    }

    fn admin(&self, method: Method, path: &str, body: Value) -> AdminAnswer {
        let (root, paths) = super::admin_paths(&self.rig.state);
        assert_eq!(root, "acme");
        let path = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        gibbon_rig::run(paths.answer(AdminCall { method, path, query: vec![], body })).unwrap()
    }
}

#[test]
fn the_first_handshake_goes_on_without_and_the_next_has_a_certificate() {
    let node = Node::new();
    node.work();
    assert!(!node.greet("A.test") && !node.greet("a.test"), "it is on the list now, once");
    node.work();
    assert_eq!(node.orders(), 1);
    assert!(node.greet("a.test"));
    assert_eq!(node.authority.payload_of("/order"), json!({"identifiers": [{"type": "dns", "value": "a.test"}]}));
    let account = node.authority.payload_of("/account");
    assert_eq!(account, json!({"contact": ["mailto:ops@a.test"], "termsOfServiceAgreed": true}));

    let entries = node.rig.kv.entries();
    let stored: Value = serde_json::from_str(&entries["ns:kong_acme:cert_key:a.test"].0).unwrap();
    assert!(stored["cert"].as_str().unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(stored["key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let renewal: Value = serde_json::from_str(&entries["ns:kong_acme:renew_config:a.test"].0).unwrap();
    assert_eq!(renewal["host"], "a.test");
    let gone = ["ns:kong_acme:update_lock:a.test", "ns:tok-1#http-01"];
    assert!(gone.iter().all(|key| !entries.contains_key(*key)), "{entries:?}");
}

#[test]
fn with_a_datastore_a_certificate_and_its_name_are_entities() {
    let node = Node::with_account(true);
    node.authority.days.store(10, Ordering::SeqCst);
    node.greet("a.test");
    node.work();
    let rows = |kind: &str| node.rig.store.rows(kind);
    let (first, name) = (rows("certificates").remove(0), rows("snis").remove(0));
    assert_eq!((&name["name"], &name["certificate"]["id"]), (&json!("a.test"), &first["id"]));
    assert_eq!((&first["tags"], &name["tags"]), (&json!(["managed-by-acme"]), &json!(["managed-by-acme"])));
    assert!(!node.rig.kv.entries().contains_key("ns:kong_acme:cert_key:a.test"));

    // When it is renewed, the name stays and leads to the new certificate; the old one is gone.
    node.authority.days.store(90, Ordering::SeqCst);
    node.rig.clock.advance(Duration::from_secs(3600));
    node.rig.queues.get("acme/daily").deliver().unwrap();
    node.work();
    let renewed = rows("certificates");
    assert_eq!((renewed.len(), renewed[0]["id"] == first["id"]), (1, false));
    assert_eq!((&rows("snis")[0]["id"], &rows("snis")[0]["certificate"]["id"]), (&name["id"], &renewed[0]["id"]));
    let list = node.admin(Method::Get, "certificates", Value::Null).body.unwrap();
    assert_eq!(list["data"][0]["host"], "a.test");
}

#[test]
fn a_name_with_somebody_elses_certificate_is_left_alone() {
    let node = Node::with_account(true);
    let row = json!({"id": "7a1f0000-0000-4000-8000-000000000001", "name": "a.test", "certificate": {"id": "c"}, "tags": null});
    gibbon_rig::run(gibbon_pdk::Store::put(&*node.rig.store, "snis", row.clone(), None)).unwrap();
    node.greet("a.test");
    node.work();
    assert_eq!(node.rig.store.rows("snis"), [row]);
    assert!(node.rig.store.rows("certificates").is_empty() && !node.greet("a.test"));
}

#[test]
fn names_that_are_not_configured_are_nobodys_business() {
    let node = Node::new();
    node.work();
    assert!(!node.greet("evil.test") && !node.greet("b.test"));
    assert!(node.rig.queues.get("acme/list").is_empty());
    assert!(!node.greet("x.b.test"));
    assert_eq!(node.rig.queues.get("acme/list").len(), 1);
}

#[test]
fn a_node_that_starts_takes_in_what_the_storage_has() {
    let first = Node::new();
    first.greet("a.test");
    first.work();
    let second = Node::beside(Arc::clone(&first.rig.kv), first.authority.clone());
    assert!(!second.greet("a.test"));
    second.work();
    assert!(second.greet("a.test"));
    assert_eq!(first.orders(), 1, "nothing was ordered again");
}

#[test]
fn a_certificate_near_its_end_is_renewed_while_it_is_still_shown() {
    let node = Node::new();
    node.authority.days.store(10, Ordering::SeqCst);
    node.greet("a.test");
    node.work();
    node.authority.days.store(90, Ordering::SeqCst);
    assert!(node.greet("a.test"));
    node.rig.clock.advance(Duration::from_secs(3600));
    node.rig.queues.get("acme/daily").deliver().unwrap();
    node.work();
    assert_eq!(node.orders(), 2);
    assert_eq!(node.rig.queues.get("acme/daily").len(), 1, "the clock is wound up again");
    node.rig.queues.get("acme/daily").deliver().unwrap();
    node.work();
    assert_eq!(node.orders(), 2);
}

#[test]
fn a_failure_is_not_repeated_for_a_while() {
    let node = Node::new();
    node.authority.refuses.store(true, Ordering::SeqCst);
    node.greet("a.test");
    node.work();
    node.authority.refuses.store(false, Ordering::SeqCst);
    let try_again = |after: u64| {
        node.rig.clock.advance(Duration::from_secs(after));
        node.greet("a.test");
        node.work();
        node.orders()
    };
    assert_eq!(try_again(120), 0);
    // The storage of the test has a clock of its own, which stands still.
    let words = ["DEL", "ns:kong_acme:fail_backoff:a.test"].map(bytes::Bytes::from);
    gibbon_rig::run(gibbon_pdk::Kv::command(&*node.rig.kv, words.to_vec())).unwrap();
    assert_eq!(try_again(120), 1);
}

#[test]
fn only_one_node_at_a_time_obtains_a_certificate() {
    let node = Node::new();
    node.store("ns:kong_acme:update_lock:a.test", "placeholder");
    node.greet("a.test");
    node.work();
    assert_eq!(node.orders(), 0);
}

#[test]
fn challenges_are_answered_for_names_that_are_ours() {
    let node = Node::new();
    node.store("ns:tok#http-01", "tok.print");
    assert_eq!(node.challenge("a.test", "tok"), Some((200, "tok.print\n".to_owned())));
    assert_eq!(node.challenge("x.b.test:80", "tok"), Some((200, "tok.print\n".to_owned())));
    let unknown = Some((404, "Not found\n".to_owned()));
    assert_eq!(node.challenge("a.test", "other"), unknown);
    assert_eq!(node.challenge("a.test", "../secret"), unknown);
    assert_eq!(node.challenge("evil.test", "x"), unknown, "whoever asks whether challenges come through");
    assert_eq!(node.challenge("evil.test", "tok"), None, "somebody else's");
}

#[test]
fn the_admin_api_obtains_renews_and_lists() {
    let node = Node::new();
    let created = node.admin(Method::Post, "", json!({"host": "a.test"}));
    assert_eq!(created, AdminAnswer::message(201, "certificate for host a.test is created"));
    assert_eq!(node.admin(Method::Post, "", json!({"host": "evil.test"})).status, 400);
    assert_eq!(node.admin(Method::Post, "", Value::Null), AdminAnswer::message(400, "host must be provided"));
    assert_eq!(node.admin(Method::Patch, "", Value::Null).status, 202);
    let list = node.admin(Method::Get, "certificates", Value::Null).body.unwrap();
    assert_eq!((&list["data"][0]["host"], &list["data"][0]["valid"]), (&json!("a.test"), &json!(true)));
    assert_eq!(list["data"][0]["pubkey_type"], "id-ecPublicKey");
    assert_eq!(node.admin(Method::Get, "certificates/a.test", Value::Null).body.unwrap()["data"], list["data"][0]);
    assert_eq!(node.admin(Method::Get, "certificates/none.test", Value::Null).status, 404);
    assert_eq!(node.admin(Method::Delete, "", Value::Null).status, 405);
}

#[test]
fn the_nodes_own_memory_and_the_datastore_are_storages_too() {
    for storage in ["shm", "kong"] {
        let rig = Rig::new();
        let mut config = config();
        config["storage"] = storage.into();
        let handler = rig.handler(&PART, config);
        let mut x = request("GET /.well-known/acme-challenge/tok", &[("Host", "a.test")]);
        x.request.headers.set("Host", "a.test");
        assert_eq!(rig.rewrite(&*handler, &mut x).reply().status, 404, "{storage}");
        rig.queues.get("acme/list").deliver().unwrap();
    }
}

#[test]
fn wrong_settings_are_refused_in_kongs_words() {
    let terms = "terms of service must be accepted, see https://letsencrypt.org/repository/";
    let faults = refused(&PART, json!({"account_email": "a@b.c", "api_uri": "https://acme-v02.api.letsencrypt.org"}));
    assert_eq!(faults["@entity"], json!([terms]));
    let faults = refused(&PART, json!({"account_email": "a@b.c", "storage": "redis"}));
    assert_eq!(faults["config"]["storage_config"]["redis"]["host"], "required field missing");
    let faults = refused(&PART, json!({"account_email": "a@b.c", "domains": ["*.a.*"]}));
    assert!(faults["config"]["domains"][0].is_string(), "{faults}");
    let reserved = json!({"host": "a", "namespace": "kong_acme:cert_key:x"});
    let faults = refused(&PART, json!({"account_email": "a@b.c", "storage_config": {"redis": reserved}}));
    assert!(faults.to_string().contains("namespace can't be prefixed with reserved word: kong_acme:cert_key:"));
}
