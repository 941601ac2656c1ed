//! Where references to secrets are looked up: `{vault://hcv/team/password}` names a vault, a resource in it and a key.
//!
//! [`Vaults`] remembers every secret that is in use and reads it again when its time is over; a strategy ([`strategy`])
//! knows how to read one. Which fields may hold references, and what happens when a secret changes, is left to `store`.

mod config;
mod entry;
pub mod strategy;
mod vaults;

pub use config::{Config, ConfigError};
pub use strategy::{ReadError, Strategy};
pub use vaults::Vaults;
