//! What stands in the file afterwards, and what happens when the file is renamed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use gibbon_rig::Rig;
use serde_json::{Value, json};

use super::PART;
use crate::fixture::exchange;

/// Waits until the file has so many lines: the writer is a thread of its own.
fn lines(path: &std::path::Path, count: usize) -> Vec<Value> {
    loop {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.ends_with('\n') && text.lines().count() >= count {
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        std::thread::yield_now();
    }
}

#[test]
fn every_exchange_is_a_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"path": path}));
    rig.log(&*handler, &mut exchange());
    rig.log(&*handler, &mut gibbon_rig::request("GET /nothing", &[]));
    let lines = lines(&path, 2);
    assert_eq!((&lines[0]["route"]["name"], lines[1].get("route")), (&json!("r"), None));
}

#[test]
fn with_reopen_a_renamed_file_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let rig = Rig::new();
    let handler = rig.handler(&PART, json!({"path": path, "reopen": true}));
    rig.log(&*handler, &mut exchange());
    lines(&path, 1);
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    rig.log(&*handler, &mut exchange());
    assert_eq!(lines(&path, 1).len(), 1);
}
