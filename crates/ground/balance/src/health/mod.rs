//! Whether an address may take traffic: configured thresholds, counters shared by all workers of a node, and the
//! words in which the health endpoints report them.

mod cell;
mod checks;
mod probes;
mod registry;
mod report;
#[cfg(test)]
mod tests;
mod view;

pub use checks::{ActiveChecks, HealthChecks, Limits, Outcome, PassiveChecks, ProbeKind, Source, StatusSet};
pub use probes::ProbeSchedule;
pub use registry::HealthRegistry;
pub use report::{AddressReport, Health, TargetReport, UpstreamReport, WeightReport};
pub use view::{HealthError, HealthView, Transition};

use crate::{AddressIndex, Tier};

/// What a pick needs to know about health.
pub trait Availability {
    /// Whether the address may take traffic.
    fn is_available(&self, address: AddressIndex) -> bool;

    /// The part of its weight an address may take at this time, 0..=1; below 1 while it warms up after a recovery.
    fn share(&self, _address: AddressIndex, _now_ms: u64) -> f32 {
        1.0
    }

    /// Whether enough of a tier's weight is available to use the tier at all.
    fn is_healthy(&self, _tier: Tier) -> bool {
        true
    }

    /// A number that changes whenever an address becomes available or unavailable.
    fn generation(&self) -> u64 {
        0
    }
}

/// Everything is available: for upstreams without checks, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllAvailable;

impl Availability for AllAvailable {
    fn is_available(&self, _address: AddressIndex) -> bool {
        true
    }
}
