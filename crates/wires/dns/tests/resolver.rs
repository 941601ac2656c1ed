//! The client against a real server: types and search, life times, truncation, failover, many workers at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod responder;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gibbon_dns::{Answer, Clock, DnsError, Hosts, RecordKind, Resolver, Settings};
use hickory_proto::op::ResponseCode;
use responder::{Responder, silent};

#[derive(Default)]
struct HandClock(AtomicU64);

impl HandClock {
    fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn settings(servers: &[SocketAddr]) -> Settings {
    Settings { servers: servers.to_vec(), attempts: 2, ..Settings::default() }
}

fn resolver(settings: Settings) -> (Resolver, Arc<HandClock>) {
    let clock = Arc::new(HandClock::default());
    clock.advance(1_000);
    (Resolver::new(settings, clock.clone()), clock)
}

fn ips(answer: &Answer) -> Vec<String> {
    answer.records.iter().map(|record| record.ip.to_string()).collect()
}

/// Lets tasks run until the condition holds; the network is loopback, so this is a matter of microseconds.
async fn until(mut condition: impl FnMut() -> bool) {
    tokio::time::timeout(Duration::from_secs(10), async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the condition should hold soon");
}

#[tokio::test]
async fn types_are_tried_in_order_and_the_last_success_comes_first_the_next_time() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1", "10.0.0.2"]);
    let (resolver, clock) = resolver(settings(&[server.address]));
    let answer = resolver.lookup("Web.Test").await.unwrap();
    assert_eq!((answer.kind, ips(&answer)), (RecordKind::A, vec!["10.0.0.1".to_owned(), "10.0.0.2".to_owned()]));
    assert_eq!(answer.expires_at, clock.now_ms() + 10_000);
    assert_eq!(server.asked(), ["web.test SRV udp", "web.test A udp"]);
    clock.advance(10 + 3_600);
    resolver.lookup("web.test").await.unwrap();
    assert_eq!(server.asked(), ["web.test A udp"]);
}

#[tokio::test]
async fn answers_are_remembered_for_their_life_time() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1"]);
    let (resolver, clock) = resolver(Settings { stale_ttl: Duration::ZERO, ..settings(&[server.address]) });
    assert!(resolver.cached("web.test").is_none());
    resolver.lookup("web.test").await.unwrap();
    server.asked();
    clock.advance(9);
    assert!(resolver.cached("WEB.test").unwrap().is_ok());
    resolver.lookup("web.test").await.unwrap();
    assert!(server.asked().is_empty());
    clock.advance(1);
    assert!(resolver.cached("web.test").is_none());
}

#[tokio::test]
async fn a_configured_life_time_overrides_the_servers() {
    let server = Responder::start().await;
    server.a("web.test", 1, &["10.0.0.1"]);
    let (resolver, clock) =
        resolver(Settings { valid_ttl: Some(Duration::from_secs(60)), ..settings(&[server.address]) });
    let answer = resolver.lookup("web.test").await.unwrap();
    assert_eq!(answer.expires_at, clock.now_ms() + 60_000);
}

#[tokio::test]
async fn a_stale_answer_serves_while_it_is_renewed() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1"]);
    let (resolver, clock) = resolver(settings(&[server.address]));
    resolver.lookup("web.test").await.unwrap();
    server.a("web.test", 10, &["10.0.0.2"]);
    clock.advance(11);
    let stale = resolver.cached("web.test").unwrap().unwrap();
    assert_eq!(ips(&stale), ["10.0.0.1"]);
    assert!(stale.expires_at < resolver.now_ms());
    until(|| resolver.cached("web.test").is_some_and(|known| ips(&known.unwrap()) == ["10.0.0.2"])).await;
}

#[tokio::test]
async fn a_stale_answer_outlives_a_failing_server_but_not_the_name() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1"]);
    let (resolver, clock) = resolver(settings(&[server.address]));
    resolver.lookup("web.test").await.unwrap();
    server.asked();
    server.code("web.test", ResponseCode::ServFail);
    clock.advance(11);
    assert!(resolver.cached("web.test").unwrap().is_ok());
    until(|| !server.asked().is_empty()).await;
    // Renewing failed; after the life time of errors it is tried again, and by now the name is gone.
    server.remove("web.test");
    until(|| {
        clock.advance(2);
        resolver.cached("web.test").is_some_and(|known| known.err() == Some(DnsError::Server { code: 3 }))
    })
    .await;
}

#[tokio::test]
async fn no_answer_is_served_beyond_the_stale_time() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1"]);
    let (resolver, clock) = resolver(Settings { stale_ttl: Duration::from_secs(60), ..settings(&[server.address]) });
    resolver.lookup("web.test").await.unwrap();
    server.code("web.test", ResponseCode::ServFail);
    clock.advance(70);
    assert!(resolver.cached("web.test").is_none());
    let error = resolver.lookup("web.test").await.unwrap_err();
    assert_eq!(error.to_string(), "dns server error: 2 server failure");
}

#[tokio::test]
async fn failures_are_remembered_each_for_its_own_time() {
    let server = Responder::start().await;
    server.code("broken.test", ResponseCode::ServFail);
    server.aaaa("empty.test", 10, "fe80::1");
    let (resolver, clock) = resolver(settings(&[server.address]));
    let text = |name: &'static str| {
        let resolver = resolver.clone();
        async move { resolver.lookup(name).await.unwrap_err().to_string() }
    };
    assert_eq!(text("nope.invalid").await, "dns server error: 3 name error");
    assert_eq!(text("empty.test").await, "dns client error: 101 empty record received");
    assert_eq!(text("broken.test").await, "dns server error: 2 server failure");
    assert!(["nope.invalid", "empty.test", "broken.test"].iter().all(|name| resolver.cached(name).is_some()));
    clock.advance(1);
    assert!(resolver.cached("broken.test").is_none());
    clock.advance(28);
    assert!(resolver.cached("nope.invalid").is_some() && resolver.cached("empty.test").is_some());
    clock.advance(1);
    assert!(resolver.cached("nope.invalid").is_none() && resolver.cached("empty.test").is_none());
}

#[tokio::test]
async fn services_bring_ports_weights_and_the_addresses_of_their_targets() {
    let server = Responder::start().await;
    server.srv("api.test", 30, &[(2, 1, 9, "backup.test"), (1, 20, 8001, "one.test"), (1, 10, 8002, "two.test")]);
    server.a("one.test", 5, &["10.0.0.1"]);
    server.a("two.test", 60, &["10.0.0.2", "10.0.0.3"]);
    let (resolver, clock) = resolver(settings(&[server.address]));
    let answer = resolver.lookup("api.test").await.unwrap();
    assert_eq!(answer.kind, RecordKind::Srv);
    let got: Vec<_> = answer
        .records
        .iter()
        .map(|r| (r.ip.to_string(), r.port, r.weight, r.priority, r.name.as_deref().unwrap().to_owned()))
        .collect();
    assert_eq!(
        got,
        [
            ("10.0.0.1".into(), 8001, 20, 1, "one.test".to_owned()),
            ("10.0.0.2".into(), 8002, 10, 1, "two.test".to_owned()),
            ("10.0.0.3".into(), 8002, 10, 1, "two.test".to_owned()),
        ]
    );
    assert_eq!(answer.expires_at, clock.now_ms() + 5_000, "the shortest life time counts");
}

#[tokio::test]
async fn addresses_that_come_along_with_services_save_a_question() {
    let server = Responder::start().await;
    server.srv("api.test", 30, &[(1, 1, 8001, "one.test")]);
    server.glue("one.test", "10.0.0.7");
    let (resolver, _) = resolver(settings(&[server.address]));
    assert_eq!(ips(&resolver.lookup("api.test").await.unwrap()), ["10.0.0.7"]);
    assert_eq!(server.asked(), ["api.test SRV udp"]);
}

#[tokio::test]
async fn a_service_without_addresses_is_left_out_unless_it_is_the_only_one() {
    let server = Responder::start().await;
    server.srv("api.test", 30, &[(1, 1, 80, "gone.test"), (1, 1, 81, "one.test")]);
    server.srv("lost.test", 30, &[(1, 1, 80, "gone.test")]);
    server.a("one.test", 5, &["10.0.0.1"]);
    let (resolver, _) = resolver(settings(&[server.address]));
    assert_eq!(ips(&resolver.lookup("api.test").await.unwrap()), ["10.0.0.1"]);
    assert!(resolver.lookup("lost.test").await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_service_that_points_at_itself_gives_way_to_addresses() {
    let server = Responder::start().await;
    server.srv("pod.test", 30, &[(1, 1, 80, "pod.test")]);
    server.a("pod.test", 5, &["10.0.0.1"]);
    let (resolver, _) = resolver(settings(&[server.address]));
    assert_eq!(resolver.lookup("pod.test").await.unwrap().kind, RecordKind::A);
}

#[tokio::test]
async fn aliases_are_followed_within_an_answer_and_beyond() {
    let server = Responder::start().await;
    server.cname("www.test", 3, "web.test");
    server.a("web.test", 10, &["10.0.0.1"]);
    let (resolver, clock) = resolver(settings(&[server.address]));
    let answer = resolver.lookup("www.test").await.unwrap();
    assert_eq!(ips(&answer), ["10.0.0.1"]);
    assert_eq!(answer.expires_at, clock.now_ms() + 3_000, "the alias expires first");
}

#[tokio::test]
async fn aliases_in_a_circle_end() {
    let server = Responder::start().await;
    let (resolver, _) =
        resolver(Settings { order: Settings::parse_order(["CNAME"]).unwrap(), ..settings(&[server.address]) });
    server.cname("a.test", 3, "b.test");
    server.cname("b.test", 3, "a.test");
    assert_eq!(resolver.lookup("a.test").await.unwrap_err(), DnsError::Recursion);
}

#[tokio::test]
async fn short_names_are_searched_in_the_domains_of_resolv_conf() {
    let server = Responder::start().await;
    server.a("db.prod.test", 10, &["10.0.0.1"]);
    let mut settings = Settings { order: Settings::parse_order(["A"]).unwrap(), ..settings(&[server.address]) };
    settings.apply_resolv_conf("search dev.test prod.test");
    let (resolver, _) = resolver(settings);
    assert_eq!(ips(&resolver.lookup("db").await.unwrap()), ["10.0.0.1"]);
    assert_eq!(server.asked(), ["db.dev.test A udp", "db.prod.test A udp"]);
    // A final dot means that the name is complete.
    assert!(resolver.lookup("db.").await.unwrap_err().is_not_found());
    assert_eq!(server.asked(), ["db A udp"]);
}

#[tokio::test]
async fn literals_and_the_hosts_file_need_no_server() {
    let hosts = Hosts::parse("10.0.0.9 my-host\nfe80::9 my-host six-only");
    let (resolver, _) = resolver(Settings { hosts, ..settings(&[]) });
    let known = |name: &str| resolver.cached(name).unwrap().map(|answer| (answer.kind, ips(&answer).remove(0)));
    assert_eq!(known("192.0.2.1").unwrap(), (RecordKind::A, "192.0.2.1".into()));
    assert_eq!(known("[fe80::1]").unwrap(), (RecordKind::Aaaa, "fe80::1".into()));
    assert_eq!(known("MY-HOST").unwrap(), (RecordKind::A, "10.0.0.9".into()));
    assert_eq!(known("localhost").unwrap(), (RecordKind::A, "127.0.0.1".into()));
    assert_eq!(known("bad..name").unwrap_err(), DnsError::BadName);
    // IPv6 is used only if the order says so.
    assert!(resolver.cached("six-only").is_none());
    let error = resolver.lookup("six-only").await.unwrap_err();
    assert_eq!(error, DnsError::NoServers);
}

#[tokio::test]
async fn an_answer_too_long_for_udp_is_fetched_over_tcp() {
    let server = Responder::start().await;
    let many: Vec<String> = (0..200).map(|n| format!("10.0.1.{n}")).collect();
    server.a("big.test", 10, &many.iter().map(String::as_str).collect::<Vec<_>>());
    server.truncate("big.test");
    let (resolver, _) =
        resolver(Settings { order: Settings::parse_order(["A"]).unwrap(), ..settings(&[server.address]) });
    assert_eq!(resolver.lookup("big.test").await.unwrap().records.len(), 200);
    assert_eq!(server.asked(), ["big.test A udp", "big.test A tcp"]);
}

#[tokio::test]
async fn forged_answers_are_not_believed() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1"]);
    server.lie();
    let (resolver, _) =
        resolver(Settings { order: Settings::parse_order(["A"]).unwrap(), ..settings(&[server.address]) });
    assert_eq!(ips(&resolver.lookup("web.test").await.unwrap()), ["10.0.0.1"]);
}

#[tokio::test]
async fn a_dead_first_server_costs_one_timeout_and_is_then_asked_last() {
    let (socket, dead) = silent();
    socket.set_nonblocking(true).unwrap();
    let question_arrived = || socket.recv_from(&mut [0; 512]).is_ok();
    let server = Responder::start().await;
    server.a("one.test", 10, &["10.0.0.1"]);
    server.a("two.test", 10, &["10.0.0.2"]);
    let impatient = Settings { timeout: Duration::from_millis(300), ..settings(&[dead, server.address]) };
    let (resolver, _) = resolver(Settings { order: Settings::parse_order(["A"]).unwrap(), ..impatient });
    assert_eq!(ips(&resolver.lookup("one.test").await.unwrap()), ["10.0.0.1"]);
    assert!(question_arrived(), "it comes first in the list");
    assert_eq!(ips(&resolver.lookup("two.test").await.unwrap()), ["10.0.0.2"]);
    assert!(!question_arrived(), "it is not waited for again");
}

#[tokio::test]
async fn a_server_that_cannot_help_is_followed_by_one_that_can() {
    let (broken, server) = (Responder::start().await, Responder::start().await);
    broken.code("web.test", ResponseCode::ServFail);
    server.a("web.test", 10, &["10.0.0.1"]);
    let order = Settings::parse_order(["A"]).unwrap();
    let (resolver, _) = resolver(Settings { order, ..settings(&[broken.address, server.address]) });
    assert_eq!(ips(&resolver.lookup("web.test").await.unwrap()), ["10.0.0.1"]);
}

#[tokio::test]
async fn when_no_server_answers_the_error_names_the_last_one() {
    let (_socket, dead) = silent();
    let (resolver, _) = resolver(Settings { timeout: Duration::from_millis(50), ..settings(&[dead]) });
    let error = resolver.lookup("web.test").await.unwrap_err();
    assert_eq!(error.to_string(), format!("failed to receive reply from UDP server {dead}: timeout"));
    assert!(!error.is_not_found());
}

#[tokio::test]
async fn statistics_tell_hits_from_misses_and_questions_by_type() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1"]);
    let (resolver, _) = resolver(settings(&[server.address]));
    resolver.lookup("web.test").await.unwrap();
    resolver.lookup("web.test").await.unwrap();
    let statistics = resolver.statistics();
    let all = &statistics["web.test:all"];
    assert_eq!((all["runs"], all["miss"], all["hit_lru"]), (2, 1, 1));
    assert_eq!(statistics["web.test:A"]["query_succ"], 1);
    assert_eq!(statistics["web.test:SRV"]["query_fail:empty record received"], 1);
}

#[test]
fn four_workers_that_ask_at_once_ask_once() {
    let server_runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = server_runtime.block_on(Responder::start());
    server.a("web.test", 10, &["10.0.0.1"]);
    let order = Settings::parse_order(["A"]).unwrap();
    let (resolver, _) = resolver(Settings { order, ..settings(&[server.address]) });
    let barrier = std::sync::Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let worker = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                barrier.wait();
                worker.block_on(async {
                    let lookups: Vec<_> = (0..25)
                        .map(|_| {
                            let resolver = resolver.clone();
                            tokio::spawn(async move { resolver.lookup("web.test").await })
                        })
                        .collect();
                    for lookup in lookups {
                        assert_eq!(ips(&lookup.await.unwrap().unwrap()), ["10.0.0.1"]);
                    }
                    // Nobody leaves before everybody has an answer: whoever asked takes the look-up along.
                });
                barrier.wait();
            });
        }
    });
    assert_eq!(server.asked(), ["web.test A udp"]);
}

#[test]
fn a_worker_that_dies_in_the_middle_of_a_look_up_leaves_nobody_waiting() {
    let (socket, dead) = silent();
    socket.set_nonblocking(true).unwrap();
    let question_arrived = || socket.recv_from(&mut [0; 512]).is_ok();
    let patient = Settings { timeout: Duration::from_secs(60), attempts: 1, ..settings(&[dead]) };
    let (resolver, _) = resolver(patient);
    let current_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lookup = |runtime: &tokio::runtime::Runtime| {
        let resolver = resolver.clone();
        runtime.spawn(async move { resolver.lookup("web.test").await })
    };
    let (first, second) = (current_thread(), current_thread());
    lookup(&first);
    first.block_on(until(question_arrived));
    let waiting = lookup(&second);
    second.block_on(tokio::task::yield_now());
    assert!(!question_arrived(), "it waits for the other's look-up");
    drop(first);
    second.block_on(until(question_arrived));
    assert!(!waiting.is_finished(), "it took the look-up over");
}

#[tokio::test]
async fn dropping_a_look_up_does_not_stop_it_for_the_others() {
    let server = Responder::start().await;
    server.a("web.test", 10, &["10.0.0.1"]);
    let (resolver, _) = resolver(settings(&[server.address]));
    let impatient = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.lookup("web.test").await }
    });
    tokio::task::yield_now().await;
    impatient.abort();
    until(|| resolver.cached("web.test").is_some()).await;
}
