//! Language-model traffic, the pure half: what the bytes of each provider look like, how one form
//! turns into another, where a request goes and how it is signed, and what it costs.
//!
//! A *dialect* is a format on the wire (OpenAI chat, Anthropic messages, ...). A *provider* is an
//! address with a way to prove who calls. Every dialect converts to and from the [`canonical`]
//! form; between equal dialects bytes pass through and are only tapped for model and usage.
//!
//! There is no socket, clock or random number here, and no secret beyond what is passed in: bytes
//! in, bytes and events out. Choosing targets, retrying, limiting and logging live elsewhere.

pub mod canonical;
pub mod convert;
pub mod dialect;
mod error;
pub mod estimate;
pub mod json;
pub mod origin;
pub mod pass;
pub mod passing;
pub mod price;
pub mod provider;
pub mod seen;
pub mod tap;
pub use gibbon_cloud::time;

pub use error::{Error, Result};
