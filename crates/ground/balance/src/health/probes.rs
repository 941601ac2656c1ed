//! When which address is to be probed. Sending the probe, and how many at once, is the prober's business.

use super::{Availability, HealthView};
use crate::{AddressIndex, Balancer, Tier};

/// The two rhythms of an upstream: one for addresses that are healthy, one for those that are not.
///
/// Keep it when the upstream's balancer is replaced, or a busy configuration would put off the probes for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProbeSchedule {
    next_healthy_ms: Option<u64>,
    next_unhealthy_ms: Option<u64>,
}

impl ProbeSchedule {
    /// Nothing probed yet: the first round is due one interval from the first call of [`due`](Self::due).
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the addresses whose probe is due, and returns when to ask again (`None`: never, checks are off).
    ///
    /// Addresses without weight are not probed.
    pub fn due(
        &mut self,
        balancer: &Balancer,
        health: &HealthView,
        now_ms: u64,
        out: &mut Vec<AddressIndex>,
    ) -> Option<u64> {
        let active = &health.checks().active;
        let healthy = tick(&mut self.next_healthy_ms, active.healthy_interval, now_ms);
        let unhealthy = tick(&mut self.next_unhealthy_ms, active.unhealthy_interval, now_ms);
        if healthy || unhealthy {
            let members = [Tier::Ordinary, Tier::Failover].into_iter().flat_map(|tier| balancer.members(tier));
            out.extend(members.filter(|address| if health.is_available(**address) { healthy } else { unhealthy }));
        }
        [self.next_healthy_ms, self.next_unhealthy_ms].into_iter().flatten().min()
    }
}

/// Whether a rhythm beats now; moves its next beat. Beats that were missed are not made up for.
fn tick(next_ms: &mut Option<u64>, interval_seconds: f64, now_ms: u64) -> bool {
    if interval_seconds <= 0.0 {
        *next_ms = None;
        return false;
    }
    let interval_ms = (interval_seconds * 1_000.0).max(1.0) as u64;
    let following = now_ms.saturating_add(interval_ms);
    match *next_ms {
        // An interval that was shortened takes effect at once.
        Some(due) if now_ms < due && due <= following => false,
        Some(due) => {
            *next_ms = Some(following);
            now_ms >= due
        }
        None => {
            *next_ms = Some(following);
            false
        }
    }
}
