//! A client of key-value servers that speak Redis' protocol: one server, a set watched by sentinels, or
//! a cluster.
//!
//! One connection per server carries everybody's commands, pipelined; it is made on first use and again
//! after it broke. What the commands mean is left to others.

mod cluster;
mod error;
mod link;
mod sentinel;
mod slot;
mod store;

pub use error::Error;
pub use store::{Settings, Store, Value};
