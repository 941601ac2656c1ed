//! The one way by which configuration changes: a list of changes is compiled and the plan published.

use std::sync::{Arc, Mutex, PoisonError};

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
        let mut compiler = self.compiler.lock().unwrap_or_else(PoisonError::into_inner);
        compiler.set_hash(hash);
        let plan = compiler.apply(changes, &*self.builder)?;
        self.publisher.publish(Arc::clone(&plan));
        Ok(plan)
    }
}
