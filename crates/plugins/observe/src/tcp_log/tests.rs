//! What a log server on the other end of a connection reads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::DialTarget;
use serde_json::json;

use super::PART;
use crate::fixture::{exchange, sent};

#[test]
fn entries_are_lines_over_one_connection() {
    let (targets, written) = sent(&PART, json!({"host": "log.test", "port": 5}), &mut [exchange(), exchange()]);
    assert_eq!(targets, [DialTarget::Tcp { host: "log.test".into(), port: 5 }]);
    let text = written.concat();
    assert_eq!((text.lines().count(), text.ends_with("}\n")), (2, true));
}
