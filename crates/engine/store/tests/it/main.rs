//! The store behind its face: the same rules for every backend, and what survives what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod changes;
mod declarative;
mod durability;
mod keyring;
mod postgres;
mod reading;
mod rig;
mod rules;
