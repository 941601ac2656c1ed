//! The line that Loggly receives, and which answers are grave enough to be sent.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::json;

use super::PART;
use crate::fixture::{exchange, sent};

#[test]
fn the_line_is_syslog_with_key_and_tags() {
    let (_, written) = sent(&PART, json!({"key": "kk", "tags": ["t1", "t2"]}), &mut [exchange()]);
    let (head, entry) = written[0].split_once(" {").unwrap();
    assert!(head.starts_with("<14>1 ") && head.ends_with(" kong - - [kk@41058 tag=\"t1\" tag=\"t2\"]"), "{head}");
    let time = head.split(' ').nth(1).unwrap();
    assert!(time.ends_with('Z') && !time.contains('.'), "{time}");
    assert!(entry.contains("\"client_ip\""));
}

#[test]
fn answers_less_grave_than_the_level_are_not_sent() {
    let mut failed = exchange();
    failed.response.status = 503;
    let config = json!({"key": "k", "log_level": "warning", "server_errors_severity": "crit"});
    let (_, written) = sent(&PART, config, &mut [exchange(), failed]);
    assert_eq!(written.len(), 1);
    assert!(written[0].starts_with("<10>1 "));
}
