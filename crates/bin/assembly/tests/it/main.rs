//! Whole nodes, put together from settings, with real peers on every side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod examples;
mod host;
mod hostile;
mod http;
mod plugins;
mod rig;
mod stream;
mod transform;
