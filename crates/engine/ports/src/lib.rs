//! The gateway's side of the plugin kit: what stands behind each port of a plugin's
//! [`Host`](gibbon_pdk::Host) and [`Build`](gibbon_pdk::Build).
//!
//! Plugins see only the traits; the request path hands them out and does not care what is behind.

mod clock;
mod compute;
mod directory;
mod entities;
mod kv;
mod metrics;
mod node_state;
mod outcall;
mod queue;
mod random;
mod store;

pub use clock::SystemClock;
pub use compute::ComputePool;
pub use directory::DirectoryPort;
pub use kv::KvHub;
pub use metrics::{NodeMetrics, Snapshot};
pub use node_state::SharedState;
pub use outcall::{DialPort, HttpPort};
pub use queue::QueueHub;
pub use random::SystemRandomness;
pub use store::StorePort;
