//! Tools for tests that run the real gateway: start it on free ports, talk to it byte for byte, and put upstreams
//! behind it that misbehave on purpose.
//!
//! Everything here is blocking and built on plain threads: a test reads straight down, and no runtime of the test
//! can hide a delay of the gateway. It knows the gateway only from outside (settings, sockets, signals, log files),
//! so it depends on no crate of the product and can test any build of it.

pub mod certificates;
pub mod client;
pub mod gateway;
pub mod moto;
pub mod ports;
mod reader;
pub mod servers;
pub mod upstream;

pub use client::{Client, Response};
pub use gateway::{Addresses, Gateway, Settings, binary_path};
pub use nix::sys::signal::Signal;
pub use reader::Fields;
pub use upstream::Upstream;
