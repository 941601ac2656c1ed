//! Entities as the plan is told of them, which is not always as they are stored: linked plugins have their partials
//! filled in ([`Links`]), then references to secrets give way to the secrets ([`References`]; partials may hold some).

use std::sync::Arc;

use gibbon_model::Registry;
use gibbon_plan::Change;

use crate::linked::Links;
use crate::references::{References, Secrets};

/// What the plan was told. Cheap to clone, so that a refused change can be taken back.
#[derive(Clone, Default)]
pub struct Told {
    links: Arc<Links>,
    references: Arc<References>,
}

impl Told {
    /// The changes as the plan is to be told of them.
    ///
    /// # Errors
    /// A plugin that can no longer be filled in.
    pub fn expand(
        &mut self,
        changes: Vec<Change>,
        registry: &Registry,
        secrets: &dyn Secrets,
    ) -> Result<Vec<Change>, String> {
        let filled = match self.links.concern(&changes) {
            true => Arc::make_mut(&mut self.links).expand(changes)?,
            false => changes,
        };
        Ok(match self.references.concern(&filled) {
            true => Arc::make_mut(&mut self.references).expand(filled, registry, secrets),
            false => filled,
        })
    }

    /// The changes that follow from secrets that are others now.
    pub fn refreshed(&mut self, registry: &Registry, secrets: &dyn Secrets) -> Vec<Change> {
        Arc::make_mut(&mut self.references).refreshed(registry, secrets)
    }

    /// A change that came of another secret was refused: what was there before it stays.
    pub fn keep(&mut self, refused: &Change) {
        Arc::make_mut(&mut self.references).keep(refused);
    }

    /// What entities with references are looked up by.
    pub fn references(&self) -> &References {
        &self.references
    }
}
