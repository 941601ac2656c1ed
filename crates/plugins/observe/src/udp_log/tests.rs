//! What a log server receives as datagrams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::DialTarget;
use serde_json::json;

use super::PART;
use crate::fixture::{exchange, sent};

#[test]
fn every_entry_is_a_datagram_without_line_feed() {
    let (targets, written) = sent(&PART, json!({"host": "log.test", "port": 5}), &mut [exchange(), exchange()]);
    assert_eq!(targets, [DialTarget::Udp { host: "log.test".into(), port: 5 }]);
    assert_eq!(written.len(), 2);
    assert!(written.iter().all(|entry| entry.ends_with('}')));
}
