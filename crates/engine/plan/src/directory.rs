//! The directories: consumers, groups and credentials by everything they are looked up by.
//!
//! A [`Directories`] value is one version; cloning it is cheap and a change makes the next version
//! without touching this one. Time is handed in by the reader, so that an expired key is refused
//! from the second it expires, without any sweep.

use std::sync::Arc;

use gibbon_pdk::{Consumer, ConsumerGroup, Credential, CredentialKind};
use indexmap::IndexSet;
use serde_json::Value;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::sharded::{Sharded, hash_of};

/// Entities that are credentials: the field they are looked up by.
/// An `acls` row has no key of its own; it is only listed by consumer.
const CREDENTIALS: &[(&str, Option<&str>)] = &[
    ("keyauth_credentials", Some("key")),
    ("basicauth_credentials", Some("username")),
    ("hmacauth_credentials", Some("username")),
    ("jwt_secrets", Some("key")),
    ("oauth2_credentials", Some("client_id")),
    ("acls", None),
];

/// A kind of credentials, as its place in [`CREDENTIALS`].
type Kind = u8;

fn kind_of(entity: &str) -> Option<Kind> {
    CREDENTIALS.iter().position(|(name, _)| *name == entity).and_then(|place| Kind::try_from(place).ok())
}

fn key_field(kind: Kind) -> Option<&'static str> {
    CREDENTIALS.get(usize::from(kind)).and_then(|(_, key)| *key)
}

/// Whether changes of this entity concern the directories (and not the plan).
#[must_use]
pub fn holds(entity: &str) -> bool {
    kind_of(entity).is_some() || matches!(entity, "consumers" | "consumer_groups" | "consumer_group_consumers")
}

/// The workspaces there are, each known by its number: what stands in a table a million times over must be small.
#[derive(Clone, Default)]
struct Workspaces(Arc<IndexSet<Uuid, foldhash::fast::FixedState>>);

type WorkspaceNumber = u32;

impl Workspaces {
    fn number(&self, id: Uuid) -> Option<WorkspaceNumber> {
        self.0.get_index_of(&id).and_then(|place| WorkspaceNumber::try_from(place).ok())
    }

    fn number_or_new(&mut self, id: Uuid) -> WorkspaceNumber {
        self.number(id).unwrap_or_else(|| Arc::make_mut(&mut self.0).insert_full(id).0 as WorkspaceNumber)
    }
}

/// Sixteen bytes, as the next.
#[derive(Clone)]
struct StoredConsumer {
    workspace: WorkspaceNumber,
    consumer: Arc<Consumer>,
}

#[derive(Clone)]
struct StoredCredential {
    workspace: WorkspaceNumber,
    kind: Kind,
    credential: Arc<Credential>,
}

#[derive(Clone)]
struct Membership {
    consumer: Uuid,
    group: Uuid,
}

/// One version of all directories.
#[derive(Clone, Default)]
pub struct Directories {
    workspaces: Workspaces,
    by_id: Sharded<StoredConsumer>,
    by_username: Sharded<StoredConsumer>,
    by_custom_id: Sharded<StoredConsumer>,
    credentials_by_key: Sharded<StoredCredential>,
    credentials_by_id: Sharded<StoredCredential>,
    credentials_by_consumer: Sharded<StoredCredential>,
    groups: Sharded<Arc<ConsumerGroup>>,
    members: Sharded<Membership>,
}

impl Directories {
    /// Applies one change of an entity for which [`holds`] is true.
    pub fn apply(&mut self, entity: &str, workspace: Uuid, before: Option<&Value>, after: Option<&Value>) {
        match entity {
            "consumers" => {
                if let Some(id) = before.and_then(id_of) {
                    self.remove_consumer(id);
                }
                if let Some(document) = after {
                    self.add_consumer(workspace, document);
                }
            }
            "consumer_groups" => {
                if let Some(id) = before.and_then(id_of) {
                    self.groups.remove(hash_of(&id), |g| g.id == id);
                }
                if let Some(document) = after {
                    self.add_group(document);
                }
            }
            "consumer_group_consumers" => {
                if let Some(member) = before.and_then(membership) {
                    self.members.remove(hash_of(&member.consumer), |m| {
                        m.consumer == member.consumer && m.group == member.group
                    });
                }
                if let Some(member) = after.and_then(membership) {
                    self.members.insert(hash_of(&member.consumer), member, |m| hash_of(&m.consumer));
                }
            }
            _ => {
                if let Some(kind) = kind_of(entity) {
                    if let Some(id) = before.and_then(id_of) {
                        self.remove_credential(kind, id);
                    }
                    if let Some(document) = after {
                        self.add_credential(workspace, kind, document);
                    }
                }
            }
        }
    }

    #[must_use]
    pub fn consumer_count(&self) -> usize {
        self.by_id.len()
    }

    #[must_use]
    pub fn consumer(&self, id: Uuid) -> Option<Arc<Consumer>> {
        self.by_id.find(hash_of(&id), |c| c.consumer.id == id).map(|c| Arc::clone(&c.consumer))
    }

    #[must_use]
    pub fn consumer_by_username(&self, workspace: Uuid, username: &str) -> Option<Arc<Consumer>> {
        let workspace = self.workspaces.number(workspace)?;
        let found = self.by_username.find(hash_of(&(workspace, username)), |c| {
            c.workspace == workspace && c.consumer.username.as_deref() == Some(username)
        });
        found.map(|c| Arc::clone(&c.consumer))
    }

    #[must_use]
    pub fn consumer_by_custom_id(&self, workspace: Uuid, custom_id: &str) -> Option<Arc<Consumer>> {
        let workspace = self.workspaces.number(workspace)?;
        let found = self.by_custom_id.find(hash_of(&(workspace, custom_id)), |c| {
            c.workspace == workspace && c.consumer.custom_id.as_deref() == Some(custom_id)
        });
        found.map(|c| Arc::clone(&c.consumer))
    }

    /// The credential with that key, unless it expired before `now` (seconds since the epoch).
    #[must_use]
    pub fn credential(&self, workspace: Uuid, kind: CredentialKind, key: &str, now: i64) -> Option<Arc<Credential>> {
        let (workspace, kind) = (self.workspaces.number(workspace)?, kind_of(kind.0)?);
        let found = self.credentials_by_key.find(hash_of(&(workspace, kind, key)), |c| {
            c.workspace == workspace && c.kind == kind && &*c.credential.key == key
        });
        found.map(|c| &c.credential).filter(|c| is_live(c, now)).map(Arc::clone)
    }

    #[must_use]
    pub fn credential_by_id(&self, kind: CredentialKind, id: Uuid, now: i64) -> Option<Arc<Credential>> {
        let kind = kind_of(kind.0)?;
        let found = self.credentials_by_id.find(hash_of(&(kind, id)), |c| c.kind == kind && c.credential.id == id);
        found.map(|c| &c.credential).filter(|c| is_live(c, now)).map(Arc::clone)
    }

    #[must_use]
    pub fn credentials_of(&self, kind: CredentialKind, consumer: Uuid, now: i64) -> SmallVec<[Arc<Credential>; 4]> {
        let Some(kind) = kind_of(kind.0) else { return SmallVec::new() };
        self.credentials_by_consumer
            .find_all(hash_of(&(kind, consumer)), move |c| {
                c.kind == kind && c.credential.consumer == Some(consumer) && is_live(&c.credential, now)
            })
            .map(|c| Arc::clone(&c.credential))
            .collect()
    }

    /// The consumer's groups by name; `None` if it is in none.
    #[must_use]
    pub fn groups_of(&self, consumer: Uuid) -> Option<Arc<[Arc<ConsumerGroup>]>> {
        if self.members.is_empty() {
            return None;
        }
        let mut groups: Vec<Arc<ConsumerGroup>> = self
            .members
            .find_all(hash_of(&consumer), move |m| m.consumer == consumer)
            .filter_map(|m| self.groups.find(hash_of(&m.group), |g| g.id == m.group))
            .map(Arc::clone)
            .collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        (!groups.is_empty()).then(|| groups.into())
    }

    fn add_consumer(&mut self, workspace: Uuid, document: &Value) {
        let Some(id) = id_of(document) else { return };
        let consumer = Arc::new(Consumer {
            id,
            username: text(document, "username"),
            custom_id: text(document, "custom_id"),
            tags: tags(document),
            created_at: integer(document, "created_at"),
            updated_at: integer(document, "updated_at"),
        });
        let workspace = self.workspaces.number_or_new(workspace);
        let stored = StoredConsumer { workspace, consumer };
        if let Some(username) = stored.consumer.username.clone() {
            self.by_username.insert(hash_of(&(workspace, &*username)), stored.clone(), |c| {
                hash_of(&(c.workspace, c.consumer.username.as_deref().unwrap_or_default()))
            });
        }
        if let Some(custom_id) = stored.consumer.custom_id.clone() {
            self.by_custom_id.insert(hash_of(&(workspace, &*custom_id)), stored.clone(), |c| {
                hash_of(&(c.workspace, c.consumer.custom_id.as_deref().unwrap_or_default()))
            });
        }
        self.by_id.insert(hash_of(&id), stored, |c| hash_of(&c.consumer.id));
    }

    fn remove_consumer(&mut self, id: Uuid) {
        let Some(old) = self.by_id.remove(hash_of(&id), |c| c.consumer.id == id) else { return };
        if let Some(username) = old.consumer.username.as_deref() {
            self.by_username.remove(hash_of(&(old.workspace, username)), |c| c.consumer.id == id);
        }
        if let Some(custom_id) = old.consumer.custom_id.as_deref() {
            self.by_custom_id.remove(hash_of(&(old.workspace, custom_id)), |c| c.consumer.id == id);
        }
    }

    fn add_group(&mut self, document: &Value) {
        if let (Some(id), Some(name)) = (id_of(document), text(document, "name")) {
            self.groups.insert(hash_of(&id), Arc::new(ConsumerGroup { id, name }), |g| hash_of(&g.id));
        }
    }

    fn add_credential(&mut self, workspace: Uuid, kind: Kind, document: &Value) {
        let key_field = key_field(kind);
        let Some(credential) = credential(key_field, document) else { return };
        let workspace = self.workspaces.number_or_new(workspace);
        let stored = StoredCredential { workspace, kind, credential: Arc::new(credential) };
        let id = stored.credential.id;
        if key_field.is_some() {
            let hash = hash_of(&(workspace, kind, &*stored.credential.key));
            self.credentials_by_key
                .insert(hash, stored.clone(), |c| hash_of(&(c.workspace, c.kind, &*c.credential.key)));
        }
        if let Some(consumer) = stored.credential.consumer {
            let hash = hash_of(&(kind, consumer));
            self.credentials_by_consumer
                .insert(hash, stored.clone(), |c| hash_of(&(c.kind, c.credential.consumer.unwrap_or_default())));
        }
        self.credentials_by_id.insert(hash_of(&(kind, id)), stored, |c| hash_of(&(c.kind, c.credential.id)));
    }

    fn remove_credential(&mut self, kind: Kind, id: Uuid) {
        let removed = self.credentials_by_id.remove(hash_of(&(kind, id)), |c| c.kind == kind && c.credential.id == id);
        let Some(old) = removed else { return };
        let same = |c: &StoredCredential| c.kind == kind && c.credential.id == id;
        self.credentials_by_key.remove(hash_of(&(old.workspace, kind, &*old.credential.key)), same);
        if let Some(consumer) = old.credential.consumer {
            self.credentials_by_consumer.remove(hash_of(&(kind, consumer)), same);
        }
    }
}

fn is_live(credential: &Credential, now: i64) -> bool {
    credential.expires_at.is_none_or(|at| at > now)
}

/// Builds the compact form: text fields by name; the tree is kept only if other fields are set.
fn credential(key_field: Option<&'static str>, document: &Value) -> Option<Credential> {
    const TEXTS: &[&str] =
        &["password", "secret", "algorithm", "rsa_public_key", "group", "client_secret", "name", "client_type"];
    let fields = TEXTS.iter().filter_map(|name| text(document, name).map(|v| (*name, v))).collect();
    let has_more = document.get("redirect_uris").is_some_and(|v| !v.is_null()) || document.get("hash_secret").is_some();
    Some(Credential {
        id: id_of(document)?,
        consumer: foreign(document, "consumer"),
        key: key_field.and_then(|f| text(document, f)).unwrap_or_default(),
        fields,
        document: has_more.then(|| Arc::new(document.clone())),
        expires_at: expiry(document),
    })
}

/// `ttl` counts from `created_at`; the store hands rows on with `expires_at` where it knows better.
fn expiry(document: &Value) -> Option<i64> {
    if let Some(at) = document.get("expires_at").and_then(Value::as_i64) {
        return Some(at);
    }
    let ttl = document.get("ttl").and_then(Value::as_i64)?;
    Some(integer(document, "created_at") + ttl)
}

fn membership(document: &Value) -> Option<Membership> {
    Some(Membership { consumer: foreign(document, "consumer")?, group: foreign(document, "consumer_group")? })
}

/// The entity's `id`.
pub(crate) fn id_of(document: &Value) -> Option<Uuid> {
    document.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok())
}

/// The id in a foreign field, `{"id": …}`.
pub(crate) fn foreign(document: &Value, field: &str) -> Option<Uuid> {
    document.get(field).and_then(id_of)
}

pub(crate) fn text(document: &Value, field: &str) -> Option<Box<str>> {
    document.get(field).and_then(Value::as_str).map(Box::from)
}

fn integer(document: &Value, field: &str) -> i64 {
    document.get(field).and_then(|v| v.as_i64().or_else(|| v.as_f64().map(|f| f as i64))).unwrap_or(0)
}

fn tags(document: &Value) -> SmallVec<[Box<str>; 0]> {
    let list = document.get("tags").and_then(Value::as_array);
    list.map(|l| l.iter().filter_map(Value::as_str).map(Box::from).collect()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    const WS: Uuid = Uuid::nil();
    const KEYS: CredentialKind = CredentialKind("keyauth_credentials");

    fn uuid(n: u8) -> Uuid {
        Uuid::from_bytes([n; 16])
    }

    fn with_key() -> Directories {
        let mut d = Directories::default();
        d.apply("consumers", WS, None, Some(&json!({"id": uuid(1).to_string(), "username": "bob", "tags": ["a"]})));
        d.apply("keyauth_credentials", WS, None, Some(&json!({"id": uuid(2).to_string(), "key": "k", "consumer": {"id": uuid(1).to_string()}, "created_at": 100, "ttl": 10})));
        d
    }

    #[test]
    fn a_consumer_is_found_by_each_of_its_names() {
        let d = with_key();
        assert_eq!(d.consumer(uuid(1)).unwrap().username.as_deref(), Some("bob"));
        assert_eq!(d.consumer_by_username(WS, "bob").unwrap().id, uuid(1));
        assert!(d.consumer_by_username(uuid(9), "bob").is_none());
    }

    #[test]
    fn equal_names_in_two_workspaces_stand_for_two() {
        let mut d = with_key();
        let other = uuid(8);
        d.apply("consumers", other, None, Some(&json!({"id": uuid(3).to_string(), "username": "bob"})));
        assert_eq!(d.consumer_by_username(WS, "bob").unwrap().id, uuid(1));
        assert_eq!(d.consumer_by_username(other, "bob").unwrap().id, uuid(3));
        assert!(d.credential(other, KEYS, "k", 100).is_none());
    }

    #[test]
    fn what_stands_in_the_tables_is_small() {
        assert_eq!((size_of::<StoredConsumer>(), size_of::<StoredCredential>()), (16, 16));
    }

    #[test]
    fn a_revoked_credential_is_absent_from_the_next_version_only() {
        let old = with_key();
        let mut new = old.clone();
        new.apply("keyauth_credentials", WS, Some(&json!({"id": uuid(2).to_string()})), None);
        assert!(new.credential(WS, KEYS, "k", 100).is_none());
        assert!(new.credentials_of(KEYS, uuid(1), 100).is_empty());
        assert!(old.credential(WS, KEYS, "k", 100).is_some());
    }

    #[test]
    fn a_credential_past_its_time_to_live_is_absent() {
        let d = with_key();
        assert!(d.credential(WS, KEYS, "k", 109).is_some());
        assert!(d.credential(WS, KEYS, "k", 110).is_none());
    }

    #[test]
    fn groups_come_by_name() {
        let mut d = with_key();
        for (n, name) in [(3, "zoo"), (4, "art")] {
            d.apply("consumer_groups", WS, None, Some(&json!({"id": uuid(n).to_string(), "name": name})));
            d.apply(
                "consumer_group_consumers",
                WS,
                None,
                Some(&json!({"consumer": {"id": uuid(1).to_string()}, "consumer_group": {"id": uuid(n).to_string()}})),
            );
        }
        let names: Vec<_> = d.groups_of(uuid(1)).unwrap().iter().map(|g| g.name.to_string()).collect();
        assert_eq!(names, ["art", "zoo"]);
    }
}
