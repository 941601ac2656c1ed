//! How a plan reaches the workers: each compares one number per request and swaps its own handle.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::plan::Plan;

/// The plan in force, once per process.
pub struct Publisher {
    number: AtomicU64,
    current: Mutex<Arc<Plan>>,
}

impl Publisher {
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Publisher { number: AtomicU64::new(1), current: Mutex::new(plan) }
    }

    /// Puts a plan in force; every request that begins from now on uses it.
    pub fn publish(&self, plan: Arc<Plan>) {
        let old = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, plan)
        };
        // Release pairs with the Acquire of `number`: who sees the number sees the plan.
        self.number.fetch_add(1, Ordering::Release);
        drop(old);
    }

    #[must_use]
    pub fn current(&self) -> Arc<Plan> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes with each publication.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }
}
