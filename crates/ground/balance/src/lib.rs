//! Which address of an upstream gets the next try, and how healthy each address is.
//!
//! A [`Balancer`] is immutable and shared by all workers; each worker keeps its own [`WorkerState`]
//! (pointers, connection counts, latency averages). Health is the node's, not the worker's: the
//! [`HealthRegistry`] holds one atomic cell per upstream and address, and survives new configurations.
//!
//! Left to others: resolving names (an answer is handed in as a [`Resolution`]), sending probes (the
//! [`ProbeSchedule`] only says which are due), reading hash inputs from a request, and time and
//! randomness, which are passed in as plain numbers.

mod address;
mod balancer;
mod connections;
mod continuum;
mod hash;
mod health;
mod host;
mod latency;
mod resolve;
mod sticky;
mod wheel;
mod worker;

pub use address::{Address, AddressIndex, Target};
pub use balancer::{Algorithm, Attempt, Balancer, BalancerSpec, NoPeer, Pick, Tier};
pub use continuum::Continuum;
pub use hash::{continuum_index, joined_query_values, value_hash};
pub use health::{
    ActiveChecks, AddressReport, AllAvailable, Availability, Health, HealthChecks, HealthError, HealthRegistry,
    HealthView, Limits, Outcome, PassiveChecks, ProbeKind, ProbeSchedule, Source, StatusSet, TargetReport, Transition,
    UpstreamReport, WeightReport,
};
pub use host::{hash_cookie_header, host_name, shown_port, write_host_header};
pub use resolve::{DnsRecord, RecordKind, Resolution, TargetSpec, expand};
pub use sticky::StickyToken;
pub use wheel::Wheel;
pub use worker::{Lease, WorkerState};
