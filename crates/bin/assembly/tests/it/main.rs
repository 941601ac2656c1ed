//! Whole nodes, put together from settings, with real peers on every side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod examples;
mod http;
mod lifetimes;
mod rig;
mod stream;
