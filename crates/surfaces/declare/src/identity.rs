//! Identifiers for entities that name none: derived from what makes them unique, so that reading a file twice gives the
//! same ones and nothing seems to have changed.

use std::collections::HashMap;

use gibbon_model::EntityDef;
use serde_json::{Map, Value};
use uuid::{Uuid, uuid};

/// The namespace under which each kind of entity has its own.
const NAMESPACE: Uuid = uuid!("fd02801f-0957-4a15-a55a-c8d9606f30b5");

/// Derives identifiers for one kind of entity.
pub struct Identities<'a> {
    def: &'a EntityDef,
    namespace: Uuid,
    /// How often an entity without natural key has been seen, by its content.
    seen: HashMap<Uuid, u32>,
}

impl<'a> Identities<'a> {
    pub fn of(def: &'a EntityDef) -> Self {
        Identities { def, namespace: Uuid::new_v5(&NAMESPACE, def.name.as_bytes()), seen: HashMap::new() }
    }

    /// Gives the document an identifier if it has none. References must be resolved.
    pub fn assign(&mut self, document: &mut Map<String, Value>) {
        let [key] = self.def.primary_key.as_slice() else { return };
        let is_uuid = self.def.record.get(key).is_some_and(|field| field.uuid);
        if !is_uuid || document.get(key.as_ref()).is_some_and(|id| !id.is_null()) {
            return;
        }
        let id = match self.natural_key(document) {
            Some(natural) => Uuid::new_v5(&self.namespace, natural.as_bytes()),
            None => self.by_content(document),
        };
        document.insert(key.to_string(), id.to_string().into());
    }

    /// What makes the entity unique: its cache key if that has several parts, else the key that stands for it in paths,
    /// else another unique field.
    fn natural_key(&self, document: &Map<String, Value>) -> Option<String> {
        if self.def.cache_key.len() > 1 {
            return Some(self.def.cache_key_of(document, ""));
        }
        let text = |field: &str| document.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
        let endpoint = self.def.endpoint_key.as_deref().and_then(text);
        endpoint.or_else(|| self.def.unique_fields().find_map(|(field, _)| text(field)))
    }

    /// Entities that nothing names are told apart by what they say, and equal ones by their order.
    fn by_content(&mut self, document: &Map<String, Value>) -> Uuid {
        let content = serde_json::to_vec(document).unwrap_or_default();
        let id = Uuid::new_v5(&self.namespace, &content);
        let count = self.seen.entry(id).or_insert(0);
        *count += 1;
        if *count == 1 { id } else { Uuid::new_v5(&id, &count.to_be_bytes()) }
    }
}
