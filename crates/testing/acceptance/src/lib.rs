//! What the acceptance tests share: backends behind the gateway, examples with the requests that prove them, and raw
//! HTTP/2 frames.
//!
//! The tests themselves are under `tests/acceptance/`, one file per question. They need the built binary
//! (`cargo build -p gibbon`, or `GIBBON_BIN`) and what `tests/install` installs.

pub mod backends;
pub mod example;
pub mod frames;
