//! A stored entity, and what it is found by: keys that no other may have, references, tags.
//!
//! All of it follows from the entity's definition; backends keep it without knowing what it means.

use std::sync::Arc;

use gibbon_model::EntityDef;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The fields of an entity.
pub type Document = Map<String, Value>;

/// The time at which a row ends, in seconds since the epoch. Kept in the document under a name that no schema has, and
/// shown to clients as what is left of it (`ttl`).
pub const EXPIRES_AT: &str = "expires_at";

/// Lists of identifiers, or of objects that have one, that keep what they name from being deleted: entity, field, entity named.
pub(crate) const LISTED: &[(&str, &str, &str)] =
    &[("services", "ca_certificates", "ca_certificates"), ("plugins", "partials", "partials")];

/// One stored entity.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub id: Uuid,
    /// Nil for entities that belong to no workspace.
    pub workspace: Uuid,
    pub document: Arc<Value>,
}

impl Row {
    /// The fields; an empty set if the document is none, which a store never holds.
    pub fn fields(&self) -> Document {
        self.document.as_object().cloned().unwrap_or_default()
    }

    /// As [`Self::fields`], without a copy of what nobody else holds.
    pub fn into_fields(self) -> Document {
        match Arc::unwrap_or_clone(self.document) {
            Value::Object(fields) => fields,
            _ => Document::new(),
        }
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: f64) -> bool {
        expires_at(&self.document).is_some_and(|at| at <= now)
    }
}

/// When a document's time is over, if it ever is.
pub fn expires_at(document: &Value) -> Option<f64> {
    document.get(EXPIRES_AT).and_then(Value::as_f64)
}

/// A value that only one entity of its kind and workspace may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub entity: Arc<str>,
    /// The field; several, joined by commas, for keys made of several.
    pub name: Arc<str>,
    /// Nil where uniqueness does not stop at the workspace.
    pub workspace: Uuid,
    pub value: Box<str>,
}

impl Key {
    /// The key of one field.
    pub fn of(def: &EntityDef, field: &str, workspace: Uuid, value: &str) -> Key {
        let across = !def.workspaceable || def.record.get(field).is_some_and(|f| f.unique_across_ws);
        Key {
            entity: def.name.as_ref().into(),
            name: field.into(),
            workspace: if across { Uuid::nil() } else { workspace },
            value: value.into(),
        }
    }

    /// The key of several fields together, in the order of the definition's cache key.
    pub fn of_several(def: &EntityDef, workspace: Uuid, document: &Document) -> Key {
        let values: Vec<&Value> = def.cache_key.iter().map(|f| part(document, f)).collect();
        Key {
            entity: def.name.as_ref().into(),
            name: def.cache_key.join(",").into(),
            workspace: if def.workspaceable { workspace } else { Uuid::nil() },
            value: serde_json::to_string(&values).unwrap_or_default().into(),
        }
    }
}

/// A part of a key: a text, the identifier of a reference, or null.
fn part<'a>(document: &'a Document, field: &str) -> &'a Value {
    match document.get(field) {
        Some(Value::Object(reference)) => reference.get("id").unwrap_or(&Value::Null),
        Some(value) => value,
        None => &Value::Null,
    }
}

/// What one row is found by.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    pub keys: Vec<Key>,
    /// Field and identifier of what it names.
    pub references: Vec<(Arc<str>, Uuid)>,
    pub tags: Vec<Box<str>>,
}

impl Index {
    /// What a document of that kind is found by.
    pub fn of(def: &EntityDef, workspace: Uuid, document: &Value) -> Index {
        let Some(fields) = document.as_object() else { return Index::default() };
        Index { keys: keys(def, workspace, fields), references: references(def, fields), tags: tags(document) }
    }
}

fn keys(def: &EntityDef, workspace: Uuid, fields: &Document) -> Vec<Key> {
    let mut keys = Vec::new();
    let named = def.endpoint_key.as_deref().filter(|_| is_named_by_endpoint_key(def));
    let unique = def.unique_fields().map(|(name, _)| name);
    for name in unique.chain(named) {
        if let Some(value) = text(part(fields, name)) {
            let key = Key::of(def, name, workspace, value);
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    if def.cache_key.len() > 1 {
        keys.push(Key::of_several(def, workspace, fields));
    }
    keys
}

/// Names are unique even where the schema does not say so of the field, unless a key of several fields does (the address
/// of a target is unique within its upstream only).
fn is_named_by_endpoint_key(def: &EntityDef) -> bool {
    def.endpoint_key
        .as_deref()
        .is_some_and(|key| !def.cache_key.iter().any(|field| field == key) || def.cache_key.len() == 1)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str()
}

fn references(def: &EntityDef, fields: &Document) -> Vec<(Arc<str>, Uuid)> {
    let foreign = def.foreign_fields().filter_map(|(name, _)| Some((name.into(), uuid(part(fields, name))?)));
    let listed = LISTED.iter().filter(|(entity, ..)| *entity == def.name).flat_map(|(_, field, _)| {
        let list = fields.get(*field).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|value| Some(((*field).into(), uuid(value.get("id").unwrap_or(value))?)))
    });
    let mut all: Vec<(Arc<str>, Uuid)> = foreign.chain(listed).collect();
    all.sort();
    all.dedup();
    all
}

/// The tags of a document, each once.
pub(crate) fn tags(document: &Value) -> Vec<Box<str>> {
    let list = document.get("tags").and_then(Value::as_array).into_iter().flatten();
    let mut tags: Vec<Box<str>> = list.filter_map(Value::as_str).map(Box::from).collect();
    tags.sort();
    tags.dedup();
    tags
}

pub(crate) fn uuid(value: &Value) -> Option<Uuid> {
    value.as_str().and_then(|text| Uuid::parse_str(text).ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use gibbon_model::{Registry, RegistryOptions};
    use serde_json::json;

    use super::*;

    fn index(entity: &str, document: &Value) -> Index {
        let registry = Registry::new(&RegistryOptions::default());
        Index::of(registry.get(entity).unwrap(), Uuid::from_bytes([7; 16]), document)
    }

    #[test]
    fn a_name_is_unique_within_its_workspace_and_a_server_name_everywhere() {
        let service = index("services", &json!({"name": "a"}));
        assert_eq!(service.keys.first().unwrap().workspace, Uuid::from_bytes([7; 16]));
        let sni = index("snis", &json!({"name": "a.test"}));
        assert_eq!(sni.keys.first().unwrap().workspace, Uuid::nil());
    }

    #[test]
    fn a_plugin_is_unique_by_name_and_scope_together() {
        let id = Uuid::from_bytes([1; 16]);
        let plugin =
            index("plugins", &json!({"name": "cors", "route": {"id": id.to_string()}, "tags": ["b", "a", "b"]}));
        let key = plugin.keys.first().unwrap();
        assert_eq!(&*key.value, format!(r#"["cors","{id}",null,null,null]"#));
        assert_eq!(plugin.references, [(Arc::from("route"), id)]);
        assert_eq!(plugin.tags, [Box::from("a"), Box::from("b")]);
    }

    #[test]
    fn a_target_is_unique_within_its_upstream_only() {
        let keys = index("targets", &json!({"target": "a:80", "upstream": {"id": Uuid::nil().to_string()}})).keys;
        assert_eq!(keys.len(), 1);
        assert_eq!(&*keys.first().unwrap().name, "upstream,target");
    }

    #[test]
    fn authorities_that_a_service_lists_are_referred_to() {
        let id = Uuid::from_bytes([2; 16]);
        let service = index("services", &json!({"ca_certificates": [id.to_string(), id.to_string()]}));
        assert_eq!(service.references, [(Arc::from("ca_certificates"), id)]);
    }
}
