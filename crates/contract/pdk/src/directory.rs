//! Consumers, their groups and their credentials: large flat sets that live beside the plan.

use std::sync::Arc;

use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

/// A consumer, compact: a million of them must fit a small node.
#[derive(Clone, Debug)]
pub struct Consumer {
    pub id: Uuid,
    pub username: Option<Box<str>>,
    pub custom_id: Option<Box<str>>,
    pub tags: SmallVec<[Box<str>; 0]>,
    /// Seconds since the epoch.
    pub created_at: i64,
    pub updated_at: i64,
}

/// A consumer group.
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    pub id: Uuid,
    pub name: Box<str>,
}

/// Which table a credential lies in, by the entity's name, e.g. `keyauth_credentials`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CredentialKind(pub &'static str);

/// A credential of a consumer. `key` is what it is looked up by (key, username, client id).
#[derive(Clone)]
pub struct Credential {
    pub id: Uuid,
    pub consumer: Option<Uuid>,
    pub key: Box<str>,
    /// Further text fields of the entity (`password`, `secret`, `algorithm` …), without null ones.
    pub fields: SmallVec<[(&'static str, Box<str>); 0]>,
    /// What is not text (arrays, booleans), whole; `None` where text fields say it all.
    pub document: Option<Arc<Value>>,
    /// Seconds since the epoch; a credential past it counts as absent.
    pub expires_at: Option<i64>,
}

impl Credential {
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| &**v)
    }
}

impl std::fmt::Debug for Credential {
    /// Secrets stay out of logs: only ids are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

/// Look-ups by identity, answered from memory: a credential revoked is absent from the next request.
pub trait Directory {
    fn consumer(&self, id: Uuid) -> Option<Arc<Consumer>>;
    fn consumer_by_username(&self, workspace: Uuid, username: &str) -> Option<Arc<Consumer>>;
    fn consumer_by_custom_id(&self, workspace: Uuid, custom_id: &str) -> Option<Arc<Consumer>>;
    /// The live credential with that key.
    fn credential(&self, workspace: Uuid, kind: CredentialKind, key: &str) -> Option<Arc<Credential>>;
    fn credential_by_id(&self, kind: CredentialKind, id: Uuid) -> Option<Arc<Credential>>;
    /// Every credential of a consumer in one table, e.g. its `acls`.
    fn credentials_of(&self, kind: CredentialKind, consumer: Uuid) -> SmallVec<[Arc<Credential>; 4]>;
    /// The consumer's groups, ordered by name.
    fn groups_of(&self, consumer: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>>;
}
