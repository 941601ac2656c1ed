//! Health in the words of the Admin API.

use super::{Availability, HealthView};
use crate::{AddressIndex, Balancer, Tier};

/// Health as the endpoints name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Takes traffic.
    Healthy,
    /// Does not.
    Unhealthy,
    /// The target's name has no addresses.
    DnsError,
    /// Not checked: no checks are configured, or its weight is 0.
    ChecksOff,
}

impl Health {
    /// The word used in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
            Self::DnsError => "DNS_ERROR",
            Self::ChecksOff => "HEALTHCHECKS_OFF",
        }
    }
}

/// Weight of a target or an upstream, split by availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WeightReport {
    /// All of it.
    pub total: u64,
    /// What takes traffic.
    pub available: u64,
    /// What does not.
    pub unavailable: u64,
}

/// One address of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressReport {
    /// IP, or the name of an SRV record.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// Weight.
    pub weight: u32,
    /// As `GET /upstreams/{u}/health` shows it.
    pub health: Health,
    /// As the balancer's own status shows it.
    pub healthy: bool,
}

/// One target, in the order of [`Balancer::targets`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetReport {
    /// Id of the entity.
    pub id: String,
    /// Host as configured.
    pub host: String,
    /// Port as configured.
    pub port: u16,
    /// Record type, or why the name did not resolve.
    pub dns: String,
    /// Weight as configured.
    pub node_weight: u32,
    /// Weight of its addresses.
    pub weight: WeightReport,
    /// Healthy if any address is.
    pub health: Health,
    /// Its addresses.
    pub addresses: Vec<AddressReport>,
}

/// An upstream as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamReport {
    /// `HEALTHCHECKS_OFF` without checks, else the balancer's.
    pub health: Health,
    /// Whether more of the weight than the threshold is available.
    pub balancer_healthy: bool,
    /// Weight of all targets.
    pub weight: WeightReport,
    /// Its targets.
    pub targets: Vec<TargetReport>,
}

impl UpstreamReport {
    /// Looks at an upstream as it is now.
    pub fn of(balancer: &Balancer, health: &HealthView) -> Self {
        let targets: Vec<_> =
            (0..balancer.targets().len()).filter_map(|position| TargetReport::of(balancer, health, position)).collect();
        let balancer_healthy = health.is_healthy(Tier::Ordinary) || health.is_healthy(Tier::Failover);
        let sum = |part: fn(&WeightReport) -> u64| targets.iter().map(|target| part(&target.weight)).sum();
        Self {
            health: match (health.checks().is_on(), balancer_healthy) {
                (false, _) => Health::ChecksOff,
                (true, true) => Health::Healthy,
                (true, false) => Health::Unhealthy,
            },
            balancer_healthy,
            weight: WeightReport {
                total: sum(|weight| weight.total),
                available: sum(|weight| weight.available),
                unavailable: sum(|weight| weight.unavailable),
            },
            targets,
        }
    }
}

impl TargetReport {
    fn of(balancer: &Balancer, view: &HealthView, position: usize) -> Option<Self> {
        let target = balancer.targets().get(position)?;
        let own = balancer.addresses().iter().enumerate().filter(|(_, address)| address.target == position);
        let addresses: Vec<_> = own
            .map(|(index, address)| {
                let index = AddressIndex::from_position(index);
                AddressReport {
                    ip: address.name.to_string(),
                    port: address.port,
                    weight: address.weight,
                    health: address_health(view, index, address.weight),
                    healthy: view.is_available(index),
                }
            })
            .collect();
        let total = addresses.iter().map(|address| u64::from(address.weight)).sum();
        let available = addresses.iter().filter(|a| a.healthy).map(|address| u64::from(address.weight)).sum();
        Some(Self {
            id: target.id.to_string(),
            host: target.host.to_string(),
            port: target.port,
            dns: target.dns.to_string(),
            node_weight: target.weight,
            weight: WeightReport { total, available, unavailable: total - available },
            health: target_health(view, &addresses),
            addresses,
        })
    }
}

fn address_health(view: &HealthView, address: AddressIndex, weight: u32) -> Health {
    match (view.checks().is_on() && weight > 0, view.is_available(address)) {
        (false, _) => Health::ChecksOff,
        (true, true) => Health::Healthy,
        (true, false) => Health::Unhealthy,
    }
}

fn target_health(view: &HealthView, addresses: &[AddressReport]) -> Health {
    if addresses.is_empty() {
        return Health::DnsError;
    }
    if !view.checks().is_on() {
        return Health::ChecksOff;
    }
    let any = |health| addresses.iter().any(|address| address.health == health);
    if any(Health::Healthy) {
        Health::Healthy
    } else if any(Health::Unhealthy) {
        Health::Unhealthy
    } else {
        Health::ChecksOff
    }
}
