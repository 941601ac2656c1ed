//! The one form in which configuration changes, whatever their origin.

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

/// One entity before and after. `before` alone is a deletion, `after` alone an insertion.
#[derive(Clone, Debug)]
pub struct Change {
    /// Name of the entity, e.g. `routes`.
    pub entity: Arc<str>,
    pub id: Uuid,
    pub workspace: Uuid,
    pub before: Option<Arc<Value>>,
    pub after: Option<Arc<Value>>,
}

impl Change {
    #[must_use]
    pub fn insert(entity: &str, id: Uuid, workspace: Uuid, after: Value) -> Self {
        Change { entity: entity.into(), id, workspace, before: None, after: Some(Arc::new(after)) }
    }

    /// The change that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Change { before: self.after.clone(), after: self.before.clone(), ..self.clone() }
    }
}
