//! What reaches the logger of the system, and under which name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_pdk::DialTarget;
use serde_json::json;

use super::PART;
use crate::fixture::{exchange, sent};

#[test]
fn lines_go_to_the_systems_logger_under_the_name_kong() {
    let (targets, written) = sent(&PART, json!({"facility": "local3"}), &mut [exchange()]);
    assert_eq!(targets, [DialTarget::UnixDatagram { path: "/dev/log".into() }]);
    assert!(written[0].starts_with("<158>") && written[0].contains(" kong: {"), "{}", written[0]);
}
