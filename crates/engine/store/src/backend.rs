//! What a backend provides: one writer, used by the conductor's thread alone, and readers for everybody else.

use std::future::Future;
use std::pin::Pin;

use crate::error::StoreError;
use crate::query::Rows;
use crate::rules::Settled;

/// A boxed future of the control runtime.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something to be done with a view of the rows as of one moment.
pub type Reading = Box<dyn FnOnce(&mut dyn Rows) + Send>;

/// Readers of a backend.
pub trait Reader: Send + Sync {
    /// Runs `reading` where it may block.
    fn read(&self, reading: Reading) -> Pending<'_, Result<(), StoreError>>;
}

/// What is added to a counter. Times in seconds since the epoch.
#[derive(Clone, Debug)]
pub struct Add {
    pub name: String,
    pub by: i64,
    pub expires: f64,
    pub now: f64,
}

/// The writer of a backend. Calls come as `begin`, any number of the others, then `commit` or `rollback`.
pub trait Writer: Send {
    /// Whether nothing can be read or written until somebody unlocks it.
    fn is_locked(&self) -> bool {
        false
    }

    /// Begins a transaction; from here to its end no other node changes anything.
    fn begin(&mut self) -> Result<(), StoreError>;

    /// Looks at the rows as they are within the transaction.
    fn read(&mut self, reading: &mut dyn FnMut(&mut dyn Rows));

    /// Writes one list of changes, whole or not at all, and returns the number of the last.
    fn write(&mut self, changes: &[Settled]) -> Result<u64, StoreError>;

    /// Sets a value that the gateway keeps for itself.
    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), StoreError>;

    /// Adds to a counter that ends at `expires` and returns its value; one whose time is over begins anew.
    fn count(&mut self, add: &Add) -> Result<i64, StoreError>;

    /// Forgets counters whose time is over.
    fn forget_counters(&mut self, now: f64) -> Result<(), StoreError>;

    /// Ends the transaction; when this returns, what was written survives whatever happens.
    fn commit(&mut self) -> Result<(), StoreError>;

    /// Ends the transaction as if it had not been.
    fn rollback(&mut self);
}
