//! Entities by their schema, for hosts of plugins that bring kinds of their own and code that works on them: complete,
//! checked documents, where [`Store`](crate::Store) has bare rows.

use serde_json::Value;
use uuid::Uuid;

use crate::SendFuture;

/// What a kind of entity is addressed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntityShape {
    pub primary_key: Vec<String>,
    pub endpoint_key: Option<String>,
    pub cache_key: Vec<String>,
    /// Fields that are unique, each by itself.
    pub unique: Vec<String>,
    /// Fields that refer to another entity.
    pub foreign: Vec<String>,
    pub workspaceable: bool,
}

/// What stands for one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityKey {
    Id(Uuid),
    /// A unique field and its value.
    Unique {
        field: String,
        value: String,
    },
    /// Cache key: the values of its fields, in their order.
    Cache(String),
}

/// Why an entity cannot be had or changed, as Kong's DAO tells it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct EntityFault {
    pub code: u8,
    pub name: &'static str,
    pub message: String,
    pub fields: Value,
}

/// Some entities, and where the next page begins.
pub type EntityPage = (Vec<Value>, Option<Uuid>);

/// Reading and changing entities of any kind.
pub trait Entities: Send + Sync {
    /// Nothing where there is no such kind.
    fn shape(&self, kind: &str) -> Option<EntityShape>;

    fn select(&self, workspace: Uuid, kind: String, key: EntityKey) -> Asked<'_, Option<Value>>;

    fn insert(&self, workspace: Uuid, kind: String, document: Value) -> Asked<'_, Value>;

    fn update(&self, workspace: Uuid, kind: String, key: EntityKey, changes: Value) -> Asked<'_, Value>;

    fn upsert(&self, workspace: Uuid, kind: String, key: EntityKey, document: Value) -> Asked<'_, Value>;

    /// Whether there was one.
    fn delete(&self, workspace: Uuid, kind: String, key: EntityKey) -> Asked<'_, bool>;

    /// Entities by identifier: those after `after`, at most `size`; of `parent`, a field and an identifier, alone.
    fn page(
        &self,
        workspace: Uuid,
        kind: String,
        parent: Option<(String, Uuid)>,
        after: Option<Uuid>,
        size: usize,
    ) -> Asked<'_, EntityPage>;
}

/// An answer that is waited for.
pub type Asked<'a, T> = SendFuture<'a, Result<T, EntityFault>>;
