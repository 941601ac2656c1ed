//! A server that follows the datastore and is asked in its place where a row may be a little older than what was committed
//! last: what plugins look up while they serve. Clients of the Admin API and the compiler of plans never read from it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backend::Reader;
use crate::error::StoreError;
use crate::query::Rows;

/// How long it is left alone after it failed: each further look would wait for its time limit first.
const REST: Duration = Duration::from_secs(5);

/// The following server. Cheap to clone.
#[derive(Clone)]
pub struct Replica {
    reader: Arc<dyn Reader>,
    resting_until: Arc<Mutex<Option<Instant>>>,
}

impl Replica {
    /// Reads through `reader`.
    pub fn new(reader: Arc<dyn Reader>) -> Self {
        Replica { reader, resting_until: Arc::default() }
    }

    /// Looks at its rows; nothing if it cannot be reached, and for a while after that.
    pub async fn read<T: Send + 'static>(
        &self,
        reading: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        if self.resting_until().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        match crate::conductor::read(&*self.reader, reading).await {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::warn!("the read-only server is not asked for {REST:?}: {error}");
                *self.resting_until() = Some(Instant::now() + REST);
                None
            }
        }
    }

    fn resting_until(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.resting_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::backend::{Pending, Reading};

    /// A server that is gone, and counts who comes.
    #[derive(Default)]
    struct Gone(AtomicUsize);

    impl Reader for Gone {
        fn read(&self, _: Reading) -> Pending<'_, Result<(), StoreError>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Err(StoreError::new("gone")) })
        }
    }

    #[test]
    fn a_server_that_failed_is_left_alone_for_a_while() {
        let gone = Arc::new(Gone::default());
        let replica = Replica::new(Arc::clone(&gone) as Arc<dyn Reader>);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..3 {
            assert_eq!(runtime.block_on(replica.read(|rows| rows.sequence())), None);
        }
        assert_eq!(gone.0.load(Ordering::Relaxed), 1);
        *replica.resting_until() = Some(Instant::now());
        assert_eq!(runtime.block_on(replica.read(|rows| rows.sequence())), None);
        assert_eq!(gone.0.load(Ordering::Relaxed), 2, "its rest is over");
    }
}
