//! The health of one balancer's addresses, aligned with their indices: what picks ask and what reports feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cell::Cell;
use super::registry::UpstreamHealth;
use super::{Availability, HealthChecks, Outcome, Source};
use crate::balancer::TIERS;
use crate::{AddressIndex, Balancer, Tier};

/// An address that has just recovered starts with this share of its weight: less, and it might see no request at
/// all with which to prove itself.
const FIRST_SHARE: f32 = 0.1;

/// An address became available or stopped being so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Which one.
    pub address: AddressIndex,
    /// What it is now.
    pub healthy: bool,
}

/// Why health was not set by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HealthError {
    /// The upstream has neither active nor passive checks.
    #[error("no healthchecker found for {upstream}")]
    ChecksOff {
        /// Name of the upstream.
        upstream: String,
    },
}

/// Shared by all workers. A new one is made with every balancer; the state behind it stays.
#[derive(Debug)]
pub struct HealthView {
    upstream: Arc<UpstreamHealth>,
    cells: Box<[Arc<Cell>]>,
    checks: HealthChecks,
    /// Weight and members of each tier, for the threshold.
    tiers: [Box<[(AddressIndex, u32)]>; TIERS],
    /// Verdict on each tier: generation, shifted by one, and whether it was healthy then.
    verdicts: [AtomicU64; TIERS],
}

impl HealthView {
    pub(super) fn new(
        upstream: Arc<UpstreamHealth>,
        cells: Vec<Arc<Cell>>,
        balancer: &Balancer,
        checks: HealthChecks,
    ) -> Self {
        let tiers = [Tier::Ordinary, Tier::Failover]
            .map(|tier| balancer.members(tier).iter().map(|address| (*address, balancer.weight(*address))).collect());
        Self { upstream, cells: cells.into(), checks, tiers, verdicts: Default::default() }
    }

    /// Feeds what was noticed about an address into its counters.
    pub fn report(&self, address: AddressIndex, source: Source, outcome: Outcome, now_ms: u64) -> Option<Transition> {
        if !self.checks.is_on() {
            return None;
        }
        let count = self.checks.count(source, outcome)?;
        let healthy = self.cells.get(address.slot())?.count(count, now_ms)?;
        self.upstream.changed();
        Some(Transition { address, healthy })
    }

    /// Sets the health of addresses by hand, as the Admin API does; counters start anew.
    ///
    /// `upstream` is only the name for the error.
    pub fn force(
        &self,
        upstream: &str,
        addresses: impl IntoIterator<Item = AddressIndex>,
        healthy: bool,
        now_ms: u64,
    ) -> Result<Vec<Transition>, HealthError> {
        if !self.checks.is_on() {
            return Err(HealthError::ChecksOff { upstream: upstream.into() });
        }
        let mut transitions = Vec::new();
        for address in addresses {
            if let Some(healthy) = self.cells.get(address.slot()).and_then(|cell| cell.force(healthy, now_ms)) {
                transitions.push(Transition { address, healthy });
            }
        }
        if !transitions.is_empty() {
            self.upstream.changed();
        }
        Ok(transitions)
    }

    /// The thresholds in force.
    pub fn checks(&self) -> &HealthChecks {
        &self.checks
    }

    /// Whether the counters say healthy, also while checks are off.
    pub(super) fn counts_as_healthy(&self, address: AddressIndex) -> bool {
        self.cells.get(address.slot()).is_none_or(|cell| cell.is_healthy())
    }

    /// Weight in a tier, and the part of it that is unavailable.
    pub(super) fn weights(&self, tier: Tier) -> (u64, u64) {
        let members = self.tiers.get(tier as usize).map_or(&[][..], |members| members);
        members.iter().fold((0, 0), |(total, unavailable), (address, weight)| {
            let weight = u64::from(*weight);
            (total + weight, unavailable + if self.is_available(*address) { 0 } else { weight })
        })
    }

    fn exceeds_threshold(&self, tier: Tier) -> bool {
        let (total, unavailable) = self.weights(tier);
        total > 0 && (total - unavailable) as f64 / total as f64 * 100.0 > self.checks.threshold
    }
}

impl Availability for HealthView {
    fn is_available(&self, address: AddressIndex) -> bool {
        !self.checks.is_on() || self.counts_as_healthy(address)
    }

    fn share(&self, address: AddressIndex, now_ms: u64) -> f32 {
        let slow_start = self.checks.slow_start_ms;
        if slow_start == 0 {
            return 1.0;
        }
        let Some(cell) = self.cells.get(address.slot()) else { return 1.0 };
        match cell.recovered_ms() {
            0 => 1.0,
            recovered => (now_ms.saturating_sub(recovered) as f32 / slow_start as f32).clamp(FIRST_SHARE, 1.0),
        }
    }

    fn is_healthy(&self, tier: Tier) -> bool {
        let Some(verdict) = self.verdicts.get(tier as usize) else { return false };
        // Weighing a tier costs a look at each member, so it is done once per change and not once per pick.
        let generation = self.upstream.generation();
        let kept = verdict.load(Ordering::Relaxed);
        if kept >> 1 == generation {
            return kept & 1 == 1;
        }
        let healthy = self.exceeds_threshold(tier);
        verdict.store(generation << 1 | u64::from(healthy), Ordering::Relaxed);
        healthy
    }

    fn generation(&self) -> u64 {
        self.upstream.generation()
    }
}
