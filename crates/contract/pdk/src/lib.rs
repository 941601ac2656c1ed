//! The plugin development kit: everything a plugin sees, and all it may ask of the gateway.
//!
//! A plugin is a [`Part`] (what it is) and a [`Handler`] (what it does, a method per [`Phase`]).
//! A handler reads and changes the [`Exchange`]; what it cannot do itself (call a service, look a
//! credential up, write to a store, hand work to another thread) it asks of the [`Host`]'s ports.
//! Sockets, the plan and the order of plugins are the engine's business and are absent here.
//!
//! The common step is synchronous and allocates nothing; a boxed future is made only when a step
//! truly waits:
//!
//! ```
//! use gibbon_pdk::{Exchange, Handler, Host, Reply, Step};
//!
//! struct RequireHeader;
//!
//! impl Handler for RequireHeader {
//!     fn access<'a>(&'a self, x: &'a mut Exchange, _host: &'a Host) -> Step<'a> {
//!         if x.request.headers.contains("x-tenant") {
//!             return Step::NEXT;
//!         }
//!         Step::reply(Reply::error(401))
//!     }
//! }
//! ```

mod admin;
mod attempt;
mod body;
mod cloud;
mod directory;
mod entities;
mod entity;
mod exchange;
mod exposition;
mod fault;
mod handler;
mod host;
mod log_entry;
mod log_lines;
mod part;
mod phase;
mod queue;
mod reply;
mod scripting;
mod secrets;
mod timing;
mod trace;

pub mod redis;

pub use admin::{AdminAnswer, AdminCall, AdminPaths, AdminRoot};
pub use attempt::{AttemptSource, BodyTransformer, Piece, Resort, Turn, Turning};
pub use body::{RequestBody, SpooledBody};
pub use cloud::Clouds;
pub use directory::{Consumer, ConsumerGroup, Credential, CredentialKind, Directory};
pub use entities::{Asked, Entities, EntityFault, EntityKey, EntityPage, EntityShape};
pub use entity::{Document, PathHandling, Protocol, Protocols, Route, Service};
pub use exchange::{
    BodyLimit, Client, Destination, Exchange, HandshakeWishes, Latencies, Matched, RequestId, ResponseSource, Slots,
    Target, Timeouts, TlsFacts, Try, UpstreamTls,
};
pub use exposition::{Exporter, Exposition, FamilyKind, escape_label};
pub use fault::{Fault, FaultKind, Retry, Source};
pub use handler::{BodyChunk, CertificatePem, Flow, Handler, LocalFuture, SendFuture, Step};
pub use host::{
    Clock, Compute, Dial, DialTarget, Duplex, Host, HttpClient, Kv, KvError, KvSettings, KvValue, Metrics, NodeFacts,
    NodeState, OutcallError, OutcallRequest, OutcallResponse, OutcallTls, Random, Store, StoreError,
};
pub use log_entry::{LatencyFigures, log_entry, set_log_value, write_log_entry};
pub use log_lines::{LogInterest, LogLine, forget_log_lines, keep_log_line};
pub use part::{Build, BuildError, Builder, Built, Part, Plugin, Scopes};
pub use phase::{Phase, Phases};
pub use queue::{Deliver, Queue, QueueEntry, QueueSettings, Queues};
pub use reply::{Reply, ReplyBody};
pub use scripting::{Expression, NoScripting, Scripting, SharedValues};
pub use secrets::{NoVaults, SecretReader};
pub use timing::Timing;
pub use trace::{
    Attribute, Described, Instrumentations, OpenSpan, Outcall, PhaseTimes, ShownTraceId, Span, SpanEvent, SpanId,
    SpanKind, Trace, TraceContext, TraceId, TraceSettings,
};
