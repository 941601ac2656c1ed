//! HTTP on the wire: HTTP/1.1 of our own and HTTP/2 over the `h2` crate, server and client side
//! behind one face.
//!
//! Framing, limits, timeouts and everything hostile about bytes end here; what a request means, who
//! answers it and how, is left to the [`Service`] handed in. Nothing in here knows of routes, plugins
//! or TLS. Everything runs on one thread: no `Send` bounds, no locks.
//!
//! One [`Worker`] per thread holds what its connections share: buffers, deadlines, counters, the date.

mod body;
mod buffers;
pub mod client;
mod counters;
mod deadline;
mod drain;
mod error;
mod h1;
mod h2;
mod io;
pub mod parse;
mod responder;
mod service;
mod settings;
mod worker;

pub use body::{BodyLength, Gone, RequestBody};
pub use counters::Counters;
pub use deadline::{Deadline, Deadlines, Expired};
pub use drain::Drain;
pub use error::{BodyError, HeadError, SendError};
pub use io::Prefixed;
pub use responder::{Responder, Upgraded};
pub use service::{ConnInfo, ConnectionEnd, Protocol, Server, Service, serve};
pub use settings::{H2Settings, ServerSettings};
pub use worker::Worker;
