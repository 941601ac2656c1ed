//! The immutable balancer of an upstream and the choice it makes for one try.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::address::AddressKey;
use crate::hash::{fraction, value_hash};
use crate::latency::two_choices;
use crate::sticky::StickyIndex;
use crate::{Address, AddressIndex, Availability, Continuum, Lease, StickyToken, Target, Wheel, WorkerState};

pub(crate) const TIERS: usize = 2;

/// How an upstream spreads its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// In turn, by weight.
    RoundRobin,
    /// The same input reaches the same address.
    ConsistentHashing,
    /// To the fewest connections per weight, as this worker counts them.
    LeastConnections,
    /// To the faster of two addresses taken at random.
    Latency,
    /// As the client's cookie says; without one, in turn.
    StickySessions,
}

impl Algorithm {
    /// Reads the value of an upstream's `algorithm`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "round-robin" => Self::RoundRobin,
            "consistent-hashing" => Self::ConsistentHashing,
            "least-connections" => Self::LeastConnections,
            "latency" => Self::Latency,
            "sticky-sessions" => Self::StickySessions,
            _ => return None,
        })
    }
}

/// What a balancer is built from; see [`expand`](crate::expand) for the two lists.
#[derive(Debug, Clone)]
pub struct BalancerSpec {
    /// How to choose.
    pub algorithm: Algorithm,
    /// Points of the consistent-hashing ring, 10..=65536; below 1000 counts as 1000.
    pub slots: u32,
    /// Targets as configured.
    pub targets: Vec<Target>,
    /// What they resolved to.
    pub addresses: Vec<Address>,
}

/// Which targets of an upstream are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The ones that normally take the traffic.
    Ordinary = 0,
    /// The ones that take it while no ordinary one is available.
    Failover = 1,
}

/// What one try brings along.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempt<'a> {
    /// Hash of the request's input ([`value_hash`]); the same for all tries. `None` counts as the hash of nothing.
    pub hash: Option<u32>,
    /// Value of the client's stickiness cookie.
    pub sticky: Option<&'a [u8]>,
    /// Addresses this request was already sent to, avoided while others are left.
    pub tried: &'a [AddressIndex],
    /// Milliseconds of a clock that only moves forward.
    pub now_ms: u64,
    /// A random number, fresh for each try.
    pub seed: u64,
}

/// Where a try goes.
#[derive(Debug)]
pub struct Pick {
    /// The chosen address.
    pub address: AddressIndex,
    /// To be released when the try is over.
    pub lease: Lease,
    /// Which targets it came from.
    pub tier: Tier,
}

/// Nobody can take the request. The text is what the client reads, whatever the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPeer {
    /// No target, no resolved address, or no weight.
    #[error("failure to get a peer from the ring-balancer")]
    Nobody,
    /// Too little of the weight is available; see the upstream's `healthchecks.threshold`.
    #[error("failure to get a peer from the ring-balancer")]
    Unhealthy,
    /// Every address is unavailable.
    #[error("failure to get a peer from the ring-balancer")]
    Unavailable,
}

/// The targets of an upstream, arranged for choosing. Immutable; shared by all workers.
#[derive(Debug)]
pub struct Balancer {
    id: u64,
    algorithm: Algorithm,
    targets: Box<[Target]>,
    addresses: Box<[Address]>,
    tiers: [Arrangement; TIERS],
    sticky: Option<StickyIndex>,
}

#[derive(Debug)]
struct Arrangement {
    members: Box<[AddressIndex]>,
    order: Order,
}

#[derive(Debug)]
enum Order {
    Turns(Wheel),
    Ring(Continuum),
    Connections,
    Latency,
}

/// How welcome a candidate is; lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    /// Available and fresh.
    Take,
    /// Recently recovered, and this request is not part of its present share.
    Warming,
    /// Failed this request before: better than nobody.
    Tried,
}

impl Balancer {
    /// Arranges the addresses of an upstream.
    pub fn new(spec: BalancerSpec) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let BalancerSpec { algorithm, slots, targets, addresses } = spec;
        let tiers = [false, true].map(|failover| arrange(algorithm, slots, &targets, &addresses, failover));
        let sticky = (algorithm == Algorithm::StickySessions).then(|| StickyIndex::new(&addresses, &targets));
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            algorithm,
            targets: targets.into(),
            addresses: addresses.into(),
            tiers,
            sticky,
        }
    }

    /// Chooses the address for one try. On a retry pass the addresses already tried, and release the earlier lease.
    pub fn pick(
        &self,
        worker: &mut WorkerState,
        health: &impl Availability,
        attempt: &Attempt<'_>,
    ) -> Result<Pick, NoPeer> {
        worker.sync(self, health, attempt.now_ms);
        if let Some(address) = self.sticky_choice(health, attempt) {
            return Ok(self.picked(worker, address, Tier::Ordinary));
        }
        let mut reason = NoPeer::Nobody;
        for (tier, arrangement) in [Tier::Ordinary, Tier::Failover].into_iter().zip(&self.tiers) {
            if arrangement.members.is_empty() {
                continue;
            }
            if !health.is_healthy(tier) {
                reason = NoPeer::Unhealthy;
                continue;
            }
            match self.choose(arrangement, tier, worker, health, attempt) {
                Some(address) => return Ok(self.picked(worker, address, tier)),
                None if reason == NoPeer::Nobody => reason = NoPeer::Unavailable,
                None => {}
            }
        }
        Err(reason)
    }

    /// All addresses, in the order of their indices.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// One address; `None` if the index is another balancer's.
    pub fn address(&self, index: AddressIndex) -> Option<&Address> {
        self.addresses.get(index.slot())
    }

    /// All targets as configured.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// How this balancer chooses.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Addresses with weight in a tier.
    pub fn members(&self, tier: Tier) -> &[AddressIndex] {
        self.tiers.get(tier as usize).map_or(&[], |arrangement| &arrangement.members)
    }

    /// Whether the consistent-hashing ring has too few points for its targets.
    pub fn is_overfull(&self) -> bool {
        self.tiers.iter().any(|tier| matches!(&tier.order, Order::Ring(ring) if ring.is_overfull()))
    }

    /// Cookie value that brings a client back to an address; `None` unless the algorithm is sticky-sessions.
    pub fn sticky_token(&self, address: AddressIndex) -> Option<StickyToken> {
        self.sticky.as_ref()?;
        self.address(address).map(|address| StickyToken::of(address, &self.targets))
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn counts_per_worker(&self) -> bool {
        matches!(self.algorithm, Algorithm::LeastConnections | Algorithm::Latency)
    }

    pub(crate) fn weight(&self, address: AddressIndex) -> u32 {
        self.address(address).map_or(0, |address| address.weight)
    }

    pub(crate) fn key(&self, address: AddressIndex) -> Option<AddressKey> {
        self.address(address).map(|address| AddressKey::of(address, &self.targets))
    }

    fn picked(&self, worker: &mut WorkerState, address: AddressIndex, tier: Tier) -> Pick {
        Pick { address, lease: worker.lease(address, self), tier }
    }

    /// The address of the client's cookie, also when its weight is 0: a target being drained keeps its sessions.
    fn sticky_choice(&self, health: &impl Availability, attempt: &Attempt<'_>) -> Option<AddressIndex> {
        let address = self.sticky.as_ref()?.find(StickyToken::parse(attempt.sticky?)?)?;
        (health.is_available(address) && !attempt.tried.contains(&address)).then_some(address)
    }

    fn choose(
        &self,
        arrangement: &Arrangement,
        tier: Tier,
        worker: &mut WorkerState,
        health: &impl Availability,
        attempt: &Attempt<'_>,
    ) -> Option<AddressIndex> {
        let by_chance = |address: AddressIndex| {
            grade(health, attempt, address, || fraction(attempt.seed.wrapping_add(u64::from(address.0))))
        };
        match &arrangement.order {
            Order::Turns(wheel) => {
                let pointer = worker.pointers.get_mut(tier as usize)?;
                take_turn(wheel, &arrangement.members, pointer, by_chance)
            }
            Order::Ring(ring) => {
                let hash = attempt.hash.unwrap_or_else(|| value_hash(b""));
                // By hash, not by chance: a key that was given back to a warming address stays there.
                let by_hash = |address: AddressIndex| {
                    grade(health, attempt, address, || fraction(u64::from(hash) << 32 | u64::from(address.0)))
                };
                best(ring.walk(hash), by_hash)
            }
            Order::Connections => best(worker.heaps.get(tier as usize)?.lightest_first(), by_chance),
            Order::Latency => self.fastest_of_two(&arrangement.members, worker, by_chance, attempt),
        }
    }

    fn fastest_of_two(
        &self,
        members: &[AddressIndex],
        worker: &WorkerState,
        grade: impl Fn(AddressIndex) -> Option<Grade>,
        attempt: &Attempt<'_>,
    ) -> Option<AddressIndex> {
        let score = |address: AddressIndex| {
            worker.decayed_latency(address, attempt.now_ms) / f64::from(self.weight(address).max(1))
        };
        let faster = |a: AddressIndex, b: AddressIndex| if score(b) < score(a) { b } else { a };
        let (first, second) = two_choices(members.len(), attempt.seed);
        let (first, second) = (*members.get(first)?, *members.get(second)?);
        let welcome = |address: AddressIndex| grade(address) == Some(Grade::Take);
        if welcome(first) && welcome(second) {
            return Some(faster(first, second));
        }
        // One of the two is out: choose again among those that are left.
        let left: Vec<AddressIndex> = members.iter().copied().filter(|address| welcome(*address)).collect();
        if left.is_empty() {
            return best(members.iter().copied(), grade);
        }
        let (first, second) = two_choices(left.len(), attempt.seed);
        Some(faster(*left.get(first)?, *left.get(second)?))
    }
}

fn arrange(algorithm: Algorithm, slots: u32, targets: &[Target], addresses: &[Address], failover: bool) -> Arrangement {
    let in_tier = |address: &Address| targets.get(address.target).is_some_and(|target| target.failover == failover);
    let members: Box<[AddressIndex]> = addresses
        .iter()
        .enumerate()
        .filter(|(_, address)| address.weight > 0 && in_tier(address))
        .map(|(position, _)| AddressIndex::from_position(position))
        .collect();
    let weight = |index: &AddressIndex| addresses.get(index.slot()).map_or(0, |address| address.weight);
    let order = match algorithm {
        Algorithm::RoundRobin | Algorithm::StickySessions => {
            Order::Turns(Wheel::new(&members.iter().map(weight).collect::<Vec<_>>()))
        }
        Algorithm::ConsistentHashing => {
            let target_count = targets.iter().filter(|target| target.failover == failover).count();
            Order::Ring(Continuum::new(slots, &members, addresses, targets, target_count))
        }
        Algorithm::LeastConnections => Order::Connections,
        Algorithm::Latency => Order::Latency,
    };
    Arrangement { members, order }
}

fn grade(
    health: &impl Availability,
    attempt: &Attempt<'_>,
    address: AddressIndex,
    chance: impl FnOnce() -> f64,
) -> Option<Grade> {
    if !health.is_available(address) {
        None
    } else if attempt.tried.contains(&address) {
        Some(Grade::Tried)
    } else {
        let share = health.share(address, attempt.now_ms);
        Some(if share >= 1.0 || chance() < f64::from(share) { Grade::Take } else { Grade::Warming })
    }
}

/// The first candidate of the best grade.
fn best(
    candidates: impl Iterator<Item = AddressIndex>,
    grade: impl Fn(AddressIndex) -> Option<Grade>,
) -> Option<AddressIndex> {
    let mut best: Option<(Grade, AddressIndex)> = None;
    for candidate in candidates {
        match grade(candidate) {
            Some(Grade::Take) => return Some(candidate),
            Some(grade) if best.is_none_or(|(kept, _)| grade < kept) => best = Some((grade, candidate)),
            _ => {}
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The next turn that may be taken, from the pointer on; the pointer then stands behind it.
fn take_turn(
    wheel: &Wheel,
    members: &[AddressIndex],
    pointer: &mut usize,
    grade: impl Fn(AddressIndex) -> Option<Grade>,
) -> Option<AddressIndex> {
    let start = *pointer;
    // A wheel can be far longer than its members; if that many turns in a row are out, asking each member once is
    // cheaper than finishing the round.
    let reach = wheel.len().min(4 * members.len() + 16);
    let mut fallback: Option<(Grade, usize, AddressIndex)> = None;
    for position in (0..reach).map(|step| start.wrapping_add(step)) {
        let Some(candidate) = wheel.at(position).and_then(|entry| members.get(entry).copied()) else { continue };
        match grade(candidate) {
            Some(Grade::Take) => {
                *pointer = position.wrapping_add(1);
                return Some(candidate);
            }
            Some(grade) if fallback.is_none_or(|(kept, ..)| grade < kept) => {
                fallback = Some((grade, position, candidate));
            }
            _ => {}
        }
    }
    if reach < wheel.len() {
        *pointer = start.wrapping_add(reach);
        let from = start % members.len().max(1);
        return best(members.iter().cycle().skip(from).take(members.len()).copied(), grade);
    }
    let (_, position, candidate) = fallback?;
    *pointer = position.wrapping_add(1);
    Some(candidate)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests_support {
    use crate::{Address, Algorithm, Balancer, BalancerSpec, Target, TargetSpec, expand};

    pub(crate) fn literal(target: &str, weight: u32) -> TargetSpec {
        TargetSpec::parse(target, target, weight, false).unwrap()
    }

    pub(crate) fn failover(target: &str, weight: u32) -> TargetSpec {
        TargetSpec::parse(target, target, weight, true).unwrap()
    }

    pub(crate) fn addresses_of(specs: &[TargetSpec]) -> (Vec<Target>, Vec<Address>) {
        expand(specs, &[], false)
    }

    pub(crate) fn balancer(algorithm: Algorithm, specs: &[TargetSpec]) -> Balancer {
        let (targets, addresses) = addresses_of(specs);
        Balancer::new(BalancerSpec { algorithm, slots: 10_000, targets, addresses })
    }
}

#[cfg(test)]
mod tests;
