//! Health as workers, configurations and the Admin API see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::balancer::tests_support::{balancer, literal};
use crate::{Algorithm, Attempt, Balancer, BalancerSpec, NoPeer, Resolution, TargetSpec, WorkerState, expand};

const A: AddressIndex = AddressIndex(0);
const B: AddressIndex = AddressIndex(1);

fn passive(tcp_failures: u8) -> HealthChecks {
    let mut checks = HealthChecks::default();
    checks.passive.limits.tcp_failures = tcp_failures;
    checks.passive.limits.http_failures = 2;
    checks.passive.healthy_statuses = [200].into_iter().collect();
    checks.passive.unhealthy_statuses = [429, 500, 503].into_iter().collect();
    checks
}

fn active() -> HealthChecks {
    let mut checks = HealthChecks::default();
    checks.active.healthy_interval = 2.0;
    checks.active.unhealthy_interval = 0.5;
    checks.active.limits = Limits { successes: 1, http_failures: 1, tcp_failures: 1, timeouts: 1 };
    checks.active.healthy_statuses = [200, 302].into_iter().collect();
    checks.active.unhealthy_statuses = [503].into_iter().collect();
    checks
}

fn pair() -> Balancer {
    balancer(Algorithm::RoundRobin, &[literal("127.0.0.1:8001", 100), literal("127.0.0.1:8002", 100)])
}

fn picked(balancer: &Balancer, view: &HealthView) -> Vec<u32> {
    let mut worker = WorkerState::new(0);
    let mut picks: Vec<_> = (0..6)
        .map(|_| balancer.pick(&mut worker, view, &Attempt::default()).map_or(u32::MAX, |pick| pick.address.0))
        .collect();
    picks.sort_unstable();
    picks
}

#[test]
fn passive_failures_take_one_of_two_targets_out_and_the_other_gets_everything() {
    let balancer = pair();
    let view = HealthRegistry::new().attach("u", &balancer, passive(1), 0);
    assert_eq!(picked(&balancer, &view), [0, 0, 0, 1, 1, 1]);
    let transition = view.report(A, Source::Passive, Outcome::TcpFailure, 1);
    assert_eq!(transition, Some(Transition { address: A, healthy: false }));
    assert_eq!(picked(&balancer, &view), [1; 6]);
    let report = UpstreamReport::of(&balancer, &view);
    assert_eq!(report.health, Health::Healthy);
    assert_eq!(report.weight, WeightReport { total: 200, available: 100, unavailable: 100 });
    assert_eq!(report.targets[0].health, Health::Unhealthy);
    assert_eq!(report.targets[0].addresses[0].health, Health::Unhealthy);
    assert_eq!(report.targets[1].health, Health::Healthy);
}

#[test]
fn statuses_in_neither_list_are_ignored() {
    let balancer = pair();
    let view = HealthRegistry::new().attach("u", &balancer, passive(2), 0);
    for _ in 0..5 {
        assert_eq!(view.report(A, Source::Passive, Outcome::Status(502), 1), None);
    }
    assert!(view.is_available(A));
    assert_eq!(view.report(A, Source::Passive, Outcome::Status(503), 1), None);
    assert!(view.report(A, Source::Passive, Outcome::Status(429), 1).is_some());
}

#[test]
fn passive_checks_cannot_bring_an_address_back_but_the_admin_api_can() {
    let balancer = pair();
    let view = HealthRegistry::new().attach("u", &balancer, passive(1), 0);
    view.report(A, Source::Passive, Outcome::TcpFailure, 1);
    for _ in 0..300 {
        view.report(A, Source::Passive, Outcome::Status(200), 1);
    }
    assert!(!view.is_available(A));
    assert_eq!(view.force("u", [A], true, 2).unwrap(), [Transition { address: A, healthy: true }]);
    assert!(view.is_available(A));
    assert_eq!(view.force("u", [A], true, 2).unwrap(), []);
}

#[test]
fn probes_take_a_target_out_and_bring_it_back() {
    let balancer = pair();
    let view = HealthRegistry::new().attach("u", &balancer, active(), 0);
    view.report(A, Source::Active, Outcome::Status(503), 1);
    assert_eq!(picked(&balancer, &view), [1; 6]);
    view.report(A, Source::Active, Outcome::Status(200), 2);
    assert_eq!(picked(&balancer, &view), [0, 0, 0, 1, 1, 1]);
    assert!(view.report(B, Source::Active, Outcome::NotHttp, 3).is_some());
    assert!(view.report(B, Source::Active, Outcome::Connected, 3).is_some());
}

#[test]
fn without_checks_nothing_counts_and_nothing_can_be_set() {
    let balancer = pair();
    let view = HealthRegistry::new().attach("u", &balancer, HealthChecks::default(), 0);
    assert_eq!(view.report(A, Source::Passive, Outcome::TcpFailure, 1), None);
    let refused = view.force("my-upstream", [A], false, 1).unwrap_err();
    assert_eq!(refused.to_string(), "no healthchecker found for my-upstream");
    let report = UpstreamReport::of(&balancer, &view);
    assert_eq!((report.health, report.balancer_healthy), (Health::ChecksOff, true));
    assert_eq!(report.targets[0].health, Health::ChecksOff);
    assert_eq!(report.targets[0].addresses[0].health.as_str(), "HEALTHCHECKS_OFF");
    assert!(report.targets[0].addresses[0].healthy);
}

#[test]
fn a_target_of_weight_zero_is_not_checked() {
    let balancer = balancer(Algorithm::RoundRobin, &[literal("127.0.0.1:8001", 100), literal("127.0.0.1:8002", 0)]);
    let view = HealthRegistry::new().attach("u", &balancer, active(), 0);
    let report = UpstreamReport::of(&balancer, &view);
    assert_eq!(report.targets[1].health, Health::ChecksOff);
    let mut due = Vec::new();
    let mut schedule = ProbeSchedule::new();
    schedule.due(&balancer, &view, 0, &mut due);
    schedule.due(&balancer, &view, 2_000, &mut due);
    assert_eq!(due, [A]);
}

#[test]
fn a_name_that_does_not_resolve_is_a_dns_error() {
    let specs = [TargetSpec::parse("id", "nope.invalid:80", 100, false).unwrap()];
    let (targets, addresses) = expand(&specs, &[Resolution::Failed("dns server error: 3 name error".into())], false);
    let balancer = Balancer::new(BalancerSpec { algorithm: Algorithm::RoundRobin, slots: 10, targets, addresses });
    let view = HealthRegistry::new().attach("u", &balancer, HealthChecks::default(), 0);
    let report = UpstreamReport::of(&balancer, &view);
    assert_eq!(report.targets[0].health.as_str(), "DNS_ERROR");
    assert_eq!(report.targets[0].dns, "dns server error: 3 name error");
    assert_eq!(report.targets[0].node_weight, 100);
    assert_eq!(report.weight, WeightReport::default());
    assert!(!report.balancer_healthy);
}

#[test]
fn below_the_threshold_nobody_gets_traffic() {
    let balancer = pair();
    let registry = HealthRegistry::new();
    let checks = HealthChecks { threshold: 50.0, ..passive(1) };
    let view = registry.attach("u", &balancer, checks, 0);
    assert_eq!(picked(&balancer, &view), [0, 0, 0, 1, 1, 1]);
    view.report(A, Source::Passive, Outcome::TcpFailure, 1);
    let mut worker = WorkerState::new(0);
    // 50 % is available; the threshold must be exceeded.
    let refused = balancer.pick(&mut worker, &view, &Attempt::default()).unwrap_err();
    assert_eq!(refused, NoPeer::Unhealthy);
    assert_eq!(UpstreamReport::of(&balancer, &view).health, Health::Unhealthy);
    let lenient = registry.attach("u", &balancer, HealthChecks { threshold: 49.0, ..passive(1) }, 0);
    assert_eq!(picked(&balancer, &lenient), [1; 6]);
}

#[test]
fn health_survives_a_new_configuration_for_addresses_that_stay() {
    let registry = HealthRegistry::new();
    let old = pair();
    registry.attach("u", &old, passive(1), 0).report(B, Source::Passive, Outcome::TcpFailure, 1);
    let new = balancer(
        Algorithm::RoundRobin,
        &[literal("127.0.0.1:8000", 1), literal("127.0.0.1:8001", 1), literal("127.0.0.1:8002", 1)],
    );
    let view = registry.attach("u", &new, passive(1), 2);
    assert_eq!([0, 1, 2].map(|n| view.is_available(AddressIndex(n))), [true, true, false]);
    let other = registry.attach("another upstream", &new, passive(1), 2);
    assert!(other.is_available(AddressIndex(2)));
}

#[test]
fn two_views_of_one_upstream_see_each_others_reports() {
    let registry = HealthRegistry::new();
    let balancer = pair();
    let old = registry.attach("u", &balancer, passive(1), 0);
    let new = registry.attach("u", &balancer, passive(1), 1);
    assert!(new.is_healthy(Tier::Ordinary));
    let before = new.generation();
    old.report(A, Source::Passive, Outcome::TcpFailure, 2);
    assert!(!new.is_available(A));
    assert_ne!(new.generation(), before);
}

#[test]
fn health_of_addresses_that_went_away_is_kept_for_five_minutes() {
    let registry = HealthRegistry::new();
    let both = pair();
    let only_a = balancer(Algorithm::RoundRobin, &[literal("127.0.0.1:8001", 1)]);
    registry.attach("u", &both, passive(1), 0).report(B, Source::Passive, Outcome::TcpFailure, 1);
    let _kept = registry.attach("u", &only_a, passive(1), 10);
    registry.sweep(1_000);
    registry.sweep(300_000);
    assert!(!registry.attach("u", &both, passive(1), 300_001).is_available(B));
    registry.sweep(400_000);
    registry.sweep(700_000);
    assert!(registry.attach("u", &both, passive(1), 700_001).is_available(B));
}

#[test]
fn a_recovered_address_warms_up_and_so_does_one_that_was_added() {
    let registry = HealthRegistry::new();
    let balancer = pair();
    let checks = HealthChecks { slow_start_ms: 10_000, ..active() };
    let view = registry.attach("u", &balancer, checks.clone(), 1_000);
    assert!((view.share(A, 1_000) - 1.0).abs() < f32::EPSILON, "nothing to warm up at the start");
    view.report(A, Source::Active, Outcome::Timeout, 2_000);
    view.report(A, Source::Active, Outcome::Status(200), 5_000);
    let shares = [5_000, 10_000, 15_000, 20_000].map(|now| view.share(A, now));
    assert_eq!(shares, [0.1, 0.5, 1.0, 1.0]);
    let more = crate::balancer::tests_support::balancer(
        Algorithm::RoundRobin,
        &[literal("127.0.0.1:8001", 1), literal("127.0.0.1:8002", 1), literal("127.0.0.1:8003", 1)],
    );
    let view = registry.attach("u", &more, checks, 30_000);
    assert_eq!([0, 1, 2].map(|n| view.share(AddressIndex(n), 32_000)), [1.0, 1.0, 0.2]);
}

#[test]
fn healthy_and_unhealthy_addresses_have_their_own_rhythm() {
    let balancer = pair();
    let view = HealthRegistry::new().attach("u", &balancer, active(), 0);
    view.report(B, Source::Active, Outcome::Timeout, 0);
    let mut schedule = ProbeSchedule::new();
    let mut due_at = |now| {
        let mut due = Vec::new();
        let next = schedule.due(&balancer, &view, now, &mut due);
        (due, next)
    };
    assert_eq!(due_at(0), (vec![], Some(500)));
    assert_eq!(due_at(499), (vec![], Some(500)));
    assert_eq!(due_at(500), (vec![B], Some(1_000)));
    assert_eq!(due_at(2_000), (vec![A, B], Some(2_500)));
    // A late call does not make up for the beats it missed.
    assert_eq!(due_at(60_000), (vec![A, B], Some(60_500)));
}

#[test]
fn without_active_checks_nothing_is_ever_due() {
    let balancer = pair();
    let view = HealthRegistry::new().attach("u", &balancer, passive(1), 0);
    let mut due = Vec::new();
    assert_eq!(ProbeSchedule::new().due(&balancer, &view, 5, &mut due), None);
    assert!(due.is_empty());
}
