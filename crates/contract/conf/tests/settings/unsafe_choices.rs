//! Which choices are told to be unsafe.

use super::*;

#[test]
fn an_admin_api_that_others_can_reach_is_told() {
    let told = notices("admin_listen = 0.0.0.0:8001", NoticeKind::Unsafe);
    assert!(told[0].starts_with("unsafe: the Admin API listens on 0.0.0.0:8001"), "{told:?}");
    assert!(!notices("", NoticeKind::Unsafe).iter().any(|text| text.contains("Admin API")));
}

#[test]
fn trusting_everybody_and_unlimited_bodies_are_told() {
    let told = notices("trusted_ips = 0.0.0.0/0,::/0", NoticeKind::Unsafe);
    assert!(told.iter().any(|text| text.contains("trusts every peer")));
    assert!(told.iter().any(|text| text.contains("request bodies are unlimited")));
}

#[test]
fn an_unencrypted_way_to_a_distant_database_is_told() {
    let told = |text| notices(text, NoticeKind::Unsafe).iter().any(|text| text.contains("PostgreSQL"));
    assert!(told("pg_host = db.test"));
    assert!(!told("pg_host = db.test\npg_ssl = on"));
    assert!(!told("pg_host = 127.0.0.1"));
}
