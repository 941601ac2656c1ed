//! Connections and HTTP requests of the gateway's own: to log collectors, identity providers, models.
//!
//! [`Reach`] turns a name into a connection (resolver, deadline, TLS); [`Client`] speaks HTTP/1.1 over
//! pooled ones; [`Line`] is a raw one. Who calls whom, and what about, is left to others.

mod client;
mod error;
mod line;
mod pool;
mod proxy;
mod reach;
mod request;

pub use client::Client;
pub use error::{CallError, ReachError};
pub use line::{Line, LineTarget};
pub use reach::{Identity, Reach, Tls};
pub use request::{Request, Response};
