//! The one way by which configuration changes: a list of changes is compiled and the plan published.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::change::Change;
use crate::compile::{Builder, CompileError, Compiler};
use crate::plan::Plan;
use crate::publish::Publisher;

/// Compiles and publishes, one list after the other.
pub struct Funnel {
    compiler: Mutex<Compiler>,
    builder: Box<dyn Builder + Send + Sync>,
    pub publisher: Arc<Publisher>,
}

impl Funnel {
    #[must_use]
    pub fn new(compiler: Compiler, builder: Box<dyn Builder + Send + Sync>, publisher: Arc<Publisher>) -> Self {
        Funnel { compiler: Mutex::new(compiler), builder, publisher }
    }

    /// Puts changes in force. `hash` names the document they come from, where there is one.
    ///
    /// # Errors
    /// Why not; the plan before stays in force.
    pub fn apply(&self, changes: &[Change], hash: Option<Arc<str>>) -> Result<Arc<Plan>, CompileError> {
        let plan = self.stage(changes, hash)?;
        self.publish(Arc::clone(&plan));
        Ok(plan)
    }

    /// Compiles changes without putting them in force, for callers that must make them durable first. What follows is
    /// [`Funnel::publish`] or [`Funnel::take_back`].
    ///
    /// # Errors
    /// Why not; it is then as if nothing had been asked.
    pub fn stage(&self, changes: &[Change], hash: Option<Arc<str>>) -> Result<Arc<Plan>, CompileError> {
        let mut compiler = self.compiler();
        let before = compiler.plan().hash.clone();
        compiler.set_hash(hash);
        let staged = compiler.apply(changes, &*self.builder);
        if staged.is_err() {
            compiler.set_hash(before);
        }
        staged
    }

    /// Puts a staged plan in force.
    pub fn publish(&self, plan: Arc<Plan>) {
        self.publisher.publish(plan);
    }

    /// Takes staged changes back.
    pub fn take_back(&self, changes: &[Change]) {
        let inverse: Vec<Change> = changes.iter().rev().map(Change::inverse).collect();
        if let Err(error) = self.compiler().apply(&inverse, &*self.builder) {
            tracing::error!("taking back staged changes failed: {error}");
        }
    }

    /// Forgets everything that was compiled; what is in force stays in force until the next publication.
    pub fn clear(&self) {
        let mut compiler = self.compiler();
        *compiler = compiler.emptied();
    }

    fn compiler(&self) -> MutexGuard<'_, Compiler> {
        self.compiler.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
