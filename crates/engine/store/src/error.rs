//! Why a store cannot do what it is asked.

use std::borrow::Cow;

use gibbon_schema::Faults;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The store itself is at fault: not reachable, full, damaged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub Cow<'static, str>);

impl StoreError {
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        StoreError(text.into())
    }
}

/// A write that contradicts what is stored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Violation {
    #[error("an entity with this identifier exists")]
    PrimaryKey { id: Uuid },
    #[error("another entity has these values")]
    Unique { fields: Map<String, Value> },
    #[error("a reference leads nowhere")]
    ForeignKey { field: String, entity: String, id: Uuid },
    #[error("another entity refers to this one")]
    Referenced { entity: String, by: String },
    /// As `Referenced`, by a list of identifiers.
    #[error("another entity lists this one")]
    Listed { id: Uuid, by: String, by_id: Uuid },
    /// The row is no longer as it was when the change was made from it.
    #[error("the entity was changed meanwhile")]
    Stale,
    #[error("no entity with this identifier exists")]
    Missing,
}

/// Why a change is not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("{}", .0.message())]
    Invalid(Faults),
    #[error(transparent)]
    Violation(#[from] Violation),
    /// A reference by name that leads nowhere.
    #[error("the foreign key cannot be resolved")]
    Unresolved { field: String, entity: String, key: String, value: String },
    /// The configuration as a whole would not work.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no datastore; configuration is declarative.
    #[error("not when not using a database")]
    ReadOnly,
}

impl From<Faults> for ChangeError {
    fn from(faults: Faults) -> Self {
        ChangeError::Invalid(faults)
    }
}
