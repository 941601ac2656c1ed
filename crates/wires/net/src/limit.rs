//! How many connections may be open at once, in all and from one address. One instance per process, shared by
//! the workers: a limit is the node's.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Locks are spread so that workers rarely meet.
const SHARDS: usize = 64;

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    TooManyInAll,
    TooManyFromAddress,
}

/// Limits of concurrently open connections.
#[derive(Debug)]
pub struct ConnectionLimits {
    total: Option<usize>,
    per_address: Option<u32>,
    open: AtomicUsize,
    addresses: Vec<Mutex<HashMap<IpAddr, u32>>>,
}

impl ConnectionLimits {
    /// `None` means no limit.
    pub fn new(total: Option<usize>, per_address: Option<u32>) -> Arc<Self> {
        let shards = if per_address.is_some() { SHARDS } else { 0 };
        Arc::new(Self {
            total,
            per_address,
            open: AtomicUsize::new(0),
            addresses: (0..shards).map(|_| Mutex::default()).collect(),
        })
    }

    /// Room for one more connection, held until the permit is dropped. `address` is absent for unix sockets.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Refusal> {
        if let Some(total) = self.total {
            let raised = |open: usize| (open < total).then_some(open + 1);
            if self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised).is_err() {
                return Err(Refusal::TooManyInAll);
            }
        }
        let mut permit = Permit { limits: Some(self.clone()), address: None };
        if let (Some(bound), Some(address)) = (self.per_address, address.map(counted_as)) {
            if !self.enter(address, bound) {
                return Err(Refusal::TooManyFromAddress);
            }
            permit.address = Some(address);
        }
        Ok(permit)
    }

    fn enter(&self, address: IpAddr, bound: u32) -> bool {
        let Some(shard) = self.shard(address) else { return true };
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        let admitted = *count < bound;
        if admitted {
            *count += 1;
        } else if *count == 0 {
            counts.remove(&address);
        }
        admitted
    }

    fn leave(&self, address: IpAddr) {
        let Some(shard) = self.shard(address) else { return };
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }

    fn shard(&self, address: IpAddr) -> Option<&Mutex<HashMap<IpAddr, u32>>> {
        let bits = match address {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        let mixed = bits.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.addresses.get(usize::try_from(mixed).unwrap_or(0) % SHARDS)
    }
}

/// One subscriber usually holds a whole IPv6 /64, so that counting single addresses would limit nobody.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// A connection's share of the limits; gives it back when dropped.
#[derive(Debug, Default)]
pub struct Permit {
    limits: Option<Arc<ConnectionLimits>>,
    address: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(limits) = &self.limits else { return };
        if limits.total.is_some() {
            limits.open.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(address) = self.address {
            limits.leave(address);
        }
    }
}
