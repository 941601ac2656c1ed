//! The measuring stand's other half: upstreams that answer at once, and a load generator that counts honestly.
//!
//! Both live in one thread, pinned by whoever starts it to the core that the gateway does not have. One event loop
//! serves both sides, so no scheduler decides between them, and a fixed rate can be paced by polling instead of by
//! timers with a millisecond's grain. What is measured of the gateway (CPU, memory) is read elsewhere, from the
//! system, between the lines that mark the measuring window.

pub mod command;
pub mod drive;
pub mod histogram;
pub mod requests;
pub mod response;
pub mod tally;
pub mod upstream;
