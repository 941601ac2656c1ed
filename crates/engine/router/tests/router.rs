//! The router against other tellings of the same rules: Kong's own engine (the `atc-router` crate), a naive reading of
//! the traditional flavour, itself built another way, and facts recorded from a real gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "router/cases.rs"]
mod cases;
#[path = "router/incremental.rs"]
mod incremental;
#[path = "router/oracle.rs"]
mod oracle;
#[path = "router/recorded.rs"]
mod recorded;
#[path = "router/traditional.rs"]
mod traditional;
