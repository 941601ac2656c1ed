//! What the crate promises from outside, in one test binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod fixtures;
mod kong;
mod mutations;
mod openai_anthropic;
mod roundtrip;
mod strategies;
