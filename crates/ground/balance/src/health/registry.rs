//! Where the health of addresses lives between configurations: by upstream id and address.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use super::HealthChecks;
use super::cell::Cell;
use super::view::HealthView;
use crate::address::AddressKey;
use crate::{AddressIndex, Balancer};

/// How long the health of an address that no configuration mentions is kept, in case it comes back.
const KEPT_UNUSED_MS: u64 = 300_000;

/// All health of a node; one per process. Locked only when configurations or DNS answers change.
#[derive(Debug, Default)]
pub struct HealthRegistry {
    upstreams: Mutex<HashMap<Arc<str>, Arc<UpstreamHealth>>>,
}

/// The cells of one upstream.
#[derive(Debug, Default)]
pub(super) struct UpstreamHealth {
    /// Counts every change of availability; starts at 1 so that 0 is never current.
    generation: AtomicU64,
    cells: Mutex<HashMap<AddressKey, Arc<Cell>>>,
}

impl UpstreamHealth {
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl HealthRegistry {
    /// An empty registry: everything starts healthy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Joins a balancer to the health its addresses have on this node. Addresses seen before keep their state.
    ///
    /// `now_ms` is the clock of [`Attempt::now_ms`](crate::Attempt::now_ms).
    pub fn attach(&self, upstream_id: &str, balancer: &Balancer, checks: HealthChecks, now_ms: u64) -> HealthView {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        let known = upstreams.contains_key(upstream_id);
        let upstream = upstreams
            .entry(upstream_id.into())
            .or_insert_with(|| Arc::new(UpstreamHealth { generation: AtomicU64::new(1), ..Default::default() }))
            .clone();
        let mut cells = upstream.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cell_of = |key: AddressKey| {
            let cell = cells.entry(key).or_insert_with(|| {
                let cell = Cell::default();
                // At the start of the node everything is new, and nothing would be gained by warming all of it up.
                if known {
                    cell.start_warming(now_ms);
                }
                Arc::new(cell)
            });
            cell.mark_used();
            cell.clone()
        };
        let aligned: Vec<_> = (0..balancer.addresses().len())
            .filter_map(|position| balancer.key(AddressIndex::from_position(position)))
            .map(&mut cell_of)
            .collect();
        drop(cells);
        HealthView::new(upstream, aligned, balancer, checks)
    }

    /// Forgets addresses and upstreams that nobody has used for five minutes. Call it every now and then.
    pub fn sweep(&self, now_ms: u64) {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.retain(|_, upstream| {
            let mut cells = upstream.cells.lock().unwrap_or_else(PoisonError::into_inner);
            cells.retain(|_, cell| {
                // The registry's own handle is the only one left.
                Arc::strong_count(cell) > 1 || cell.unused_for_ms(now_ms) < KEPT_UNUSED_MS
            });
            !cells.is_empty() || Arc::strong_count(upstream) > 1
        });
    }
}
