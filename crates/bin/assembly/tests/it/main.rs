//! Whole nodes, put together from settings, with real peers on every side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod examples;
mod host;
mod hostile;
mod hostile_values;
mod http;
mod lifetimes;
mod plugins;
mod redis;
mod rig;
mod stream;
mod transform;
