//! Plugins may be linked to partials: by identifier or name when a client writes, by identifier when stored.

use std::collections::HashMap;

use gibbon_model::EntityDef;
use serde_json::Value;
use uuid::Uuid;

use super::{Address, Documents};
use crate::error::StoreError;
use crate::row::Document;

/// Partials by the keys that links give.
pub(super) type Partials = HashMap<String, Document>;

/// The partials that a document's links lead to. Links by name are given the identifier too.
pub(super) async fn resolve(
    documents: &Documents,
    def: &EntityDef,
    workspace: Uuid,
    document: &mut Document,
) -> Result<Partials, StoreError> {
    let mut found = Partials::new();
    let Some(partials) = documents.registry.get("partials").filter(|_| def.name == "plugins") else { return Ok(found) };
    let Some(Value::Array(links)) = document.get_mut("partials") else { return Ok(found) };
    for link in links.iter_mut().filter_map(Value::as_object_mut) {
        let key = |name: &str| link.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let Some(key) = key("id").or_else(|| key("name")) else { continue };
        let Some(address) = Address::parse(partials, &key) else { continue };
        if let Some(row) = documents.find(partials, workspace, &address).await? {
            link.insert("id".into(), row.id.to_string().into());
            found.insert(row.id.to_string(), row.fields());
            found.insert(key, row.fields());
        }
    }
    Ok(found)
}
