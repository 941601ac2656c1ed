//! The request path: one file per station, [`run`] is the table of contents.
//!
//! Below it, wires know nothing of Kong; beside it, `plan` knows nothing of sockets. Surfaces (files,
//! Admin API) change the plan and never touch a request in flight.

mod access_line;
mod alongside;
mod answer;
mod attempts;
mod balance;
mod begin;
mod body_source;
mod caught;
mod certificates;
pub mod error_body;
mod finish;
mod forward;
mod handshake;
mod link;
mod names;
mod node;
mod outcalls;
mod probe;
mod random;
mod real_ip;
mod request_debug;
mod request_headers;
mod response_headers;
mod route;
mod run;
mod serve;
mod settings;
mod stream;
mod transform;
mod upgrade;
mod upstream_tls;
mod upstreams;
mod walk;
mod worker;
mod workers;

pub use access_line::AccessLine;
pub use caught::log_panics;
pub use certificates::PlanCertificates;
pub use names::Names;
pub use node::{Node, WorkerCounters};
pub use real_ip::{RealIp, RealIpSource};
pub use request_headers::RequestHeaderRules;
pub use response_headers::ResponseHeaderRules;
pub use run::Gateway;
pub use serve::{Kind, Mode};
pub use settings::{ConnectionFacts, ProxySettings, Secret, UpstreamSettings};
pub use upstreams::{Live, Upstreams, live_of};
pub use worker::Worker;
pub use workers::{Listening, Remote, Stage, Start, WorkerParts, Workers};
