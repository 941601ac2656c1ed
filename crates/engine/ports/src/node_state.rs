//! State that exists once per node and outlives plans, by key.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gibbon_pdk::NodeState;

/// Values by key; one that nobody holds any more goes at the next sweep.
#[derive(Default)]
pub struct SharedState {
    values: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
}

impl SharedState {
    /// Drops what no handler holds. Run it when a new plan is out and old ones are gone.
    pub fn sweep(&self) {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.retain(|_, value| Arc::strong_count(value) > 1);
    }
}

impl NodeState for SharedState {
    fn get_or_insert(
        &self,
        key: &str,
        make: &mut dyn FnMut() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = values.get(key) {
            return Arc::clone(value);
        }
        let made = make();
        values.insert(key.to_owned(), Arc::clone(&made));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_keeps_its_value_while_somebody_holds_it() {
        let state = SharedState::default();
        let first = state.get_or_insert("k", &mut || Arc::new(1u8));
        state.sweep();
        let again = state.get_or_insert("k", &mut || Arc::new(2u8));
        assert_eq!(again.downcast_ref::<u8>(), Some(&1));
        drop((first, again));
        state.sweep();
        assert_eq!(state.get_or_insert("k", &mut || Arc::new(3u8)).downcast_ref::<u8>(), Some(&3));
    }
}
