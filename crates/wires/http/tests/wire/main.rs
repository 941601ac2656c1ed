//! The wire against real byte streams: what goes in, what comes out, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod differential;
mod h2;
mod rig;
mod server;
mod sockets;
mod splits;
