//! What one worker remembers about an upstream between requests: its place on the wheel, how many of its own
//! connections each address has, and how fast each address answered it.

use hashbrown::HashMap;

use crate::address::AddressKey;
use crate::balancer::{Balancer, TIERS};
use crate::connections::LoadHeap;
use crate::hash::mix;
use crate::latency::Ewma;
use crate::{AddressIndex, Availability, Tier};

/// One worker's state for one upstream. Keep it when the upstream's balancer is replaced: counts and averages of
/// addresses that stay are carried over on the next pick.
#[derive(Debug)]
pub struct WorkerState {
    balancer: Option<u64>,
    health: u64,
    pub(crate) pointers: [usize; TIERS],
    pub(crate) heaps: [LoadHeap; TIERS],
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_key: HashMap<AddressKey, u32>,
    /// Slot of each address of the current balancer.
    slot_of: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    key: Option<AddressKey>,
    /// The address in the current balancer, if it is still there.
    address: Option<AddressIndex>,
    connections: u32,
    latency: Option<Ewma>,
    /// Unavailable when last looked: kept at the far end of the heap, so that picks do not wade through it.
    down: bool,
}

impl Slot {
    /// One more than the connections, so that among idle addresses the one of most weight comes first.
    fn load(&self, weight: u32) -> f64 {
        if self.down || weight == 0 {
            return f64::INFINITY;
        }
        (f64::from(self.connections) + 1.0) / f64::from(weight)
    }
}

/// A connection that counts against its address until it is given back with [`WorkerState::release`].
#[derive(Debug)]
#[must_use = "an address keeps counting the connection until the lease is released"]
pub struct Lease(Option<u32>);

impl WorkerState {
    /// `seed` should differ between workers, so that they do not all start with the same target.
    pub fn new(seed: u64) -> Self {
        let start = (mix(seed) >> 40) as usize;
        Self {
            balancer: None,
            health: 0,
            pointers: [start; TIERS],
            heaps: Default::default(),
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            slot_of: Vec::new(),
        }
    }

    /// Ends a try: its connection no longer counts.
    ///
    /// Valid also when the balancer was replaced in the meantime.
    pub fn release(&mut self, lease: Lease, balancer: &Balancer) {
        let Some(id) = lease.0 else { return };
        self.count(id, -1);
        self.reweigh(id, balancer);
    }

    /// Feeds the latency average: connect time plus time to the end of the response, in seconds.
    ///
    /// Not for tries that failed before an answer: a refused connection would look fast.
    pub fn observe(&mut self, lease: &Lease, seconds: f64, now_ms: u64) {
        if !seconds.is_finite() || seconds < 0.0 {
            return;
        }
        let Some(slot) = lease.0.and_then(|id| self.slots.get_mut(id as usize)) else { return };
        slot.latency.get_or_insert(Ewma::new(seconds, now_ms)).observe(seconds, now_ms);
    }

    /// Connections this worker has open to an address of the current balancer.
    pub fn connections(&self, address: AddressIndex) -> u32 {
        self.slot(address).map_or(0, |slot| slot.connections)
    }

    pub(crate) fn decayed_latency(&self, address: AddressIndex, now_ms: u64) -> f64 {
        self.slot(address).and_then(|slot| slot.latency).map_or(0.0, |average| average.decayed(now_ms))
    }

    /// Takes over a balancer, or a state of health, this worker has not seen yet.
    pub(crate) fn sync(&mut self, balancer: &Balancer, health: &impl Availability, now_ms: u64) {
        let same_balancer = self.balancer == Some(balancer.id());
        let same_health = self.health == health.generation();
        if same_balancer && same_health {
            return;
        }
        self.balancer = Some(balancer.id());
        self.health = health.generation();
        if !balancer.counts_per_worker() {
            return;
        }
        if !same_balancer {
            self.adopt(balancer, now_ms);
        }
        for slot in &mut self.slots {
            slot.down = slot.address.is_some_and(|address| !health.is_available(address));
        }
        for tier in [Tier::Ordinary, Tier::Failover] {
            let load = |address: &AddressIndex| {
                (*address, self.slot(*address).map_or(f64::INFINITY, |slot| slot.load(balancer.weight(*address))))
            };
            let loads: Vec<_> = balancer.members(tier).iter().map(load).collect();
            if let Some(heap) = self.heaps.get_mut(tier as usize) {
                heap.rebuild(balancer.addresses().len(), loads.into_iter());
            }
        }
    }

    /// Maps the balancer's addresses to slots; addresses known from before keep theirs.
    fn adopt(&mut self, balancer: &Balancer, now_ms: u64) {
        for slot in &mut self.slots {
            slot.address = None;
        }
        self.slot_of.clear();
        for address in (0..balancer.addresses().len()).map(AddressIndex::from_position) {
            let id = balancer.key(address).map_or(u32::MAX, |key| self.slot_for(key));
            if let Some(slot) = self.slots.get_mut(id as usize) {
                slot.address = Some(address);
            }
            self.slot_of.push(id);
        }
        self.forget_unused();
        self.start_newcomers_at_the_mean(now_ms);
    }

    pub(crate) fn lease(&mut self, address: AddressIndex, balancer: &Balancer) -> Lease {
        if !balancer.counts_per_worker() {
            return Lease(None);
        }
        let Some(id) = self.slot_of.get(address.slot()).copied() else { return Lease(None) };
        self.count(id, 1);
        self.reweigh(id, balancer);
        Lease(Some(id))
    }

    fn slot(&self, address: AddressIndex) -> Option<&Slot> {
        self.slots.get(*self.slot_of.get(address.slot())? as usize)
    }

    fn slot_for(&mut self, key: AddressKey) -> u32 {
        if let Some(id) = self.by_key.get(&key) {
            return *id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        if let Some(slot) = self.slots.get_mut(id as usize) {
            *slot = Slot { key: Some(key.clone()), ..Slot::default() };
        }
        self.by_key.insert(key, id);
        id
    }

    /// Frees slots of addresses that are gone, once nobody holds a lease on them.
    fn forget_unused(&mut self) {
        for (id, slot) in self.slots.iter_mut().enumerate() {
            if slot.address.is_none()
                && slot.connections == 0
                && let Some(key) = slot.key.take()
            {
                self.by_key.remove(&key);
                self.free.push(id as u32);
            }
        }
    }

    fn start_newcomers_at_the_mean(&mut self, now_ms: u64) {
        let known: Vec<f64> = self
            .slots
            .iter()
            .filter(|slot| slot.address.is_some())
            .filter_map(|slot| slot.latency)
            .map(|l| l.seconds())
            .collect();
        if known.is_empty() {
            return;
        }
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        for slot in self.slots.iter_mut().filter(|slot| slot.address.is_some()) {
            slot.latency.get_or_insert(Ewma::new(mean, now_ms));
        }
    }

    fn count(&mut self, id: u32, change: i32) {
        if let Some(slot) = self.slots.get_mut(id as usize) {
            slot.connections = slot.connections.saturating_add_signed(change);
        }
    }

    fn reweigh(&mut self, id: u32, balancer: &Balancer) {
        // A lease may come back under a balancer this worker has not picked from yet; the next pick rebuilds the heap.
        if self.balancer != Some(balancer.id()) {
            return;
        }
        let Some(slot) = self.slots.get(id as usize) else { return };
        let Some(address) = slot.address else { return };
        let load = slot.load(balancer.weight(address));
        for heap in &mut self.heaps {
            heap.set(address, load);
        }
    }
}
