//! Entities for hosts of plugins: the same documents that the Admin API works on, with errors in the words of Kong's DAO.

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_pdk::{Asked, Entities, EntityFault, EntityKey, EntityPage, EntityShape};
use gibbon_store::{Address, ChangeError, Document, Documents, Key, Query, Row, Tags, Violation, workspace_of};
use serde_json::{Value, json};
use uuid::Uuid;

/// Entities on one page at most, as in Kong.
const LARGEST_PAGE: usize = 1000;

/// The entities of this node's store.
pub struct EntitiesPort(pub Documents);

fn fault(code: u8, name: &'static str, message: impl Into<String>, fields: Value) -> EntityFault {
    EntityFault { code, name, message: message.into(), fields }
}

fn unavailable(error: &gibbon_store::StoreError) -> EntityFault {
    fault(10, "database error", error.to_string(), Value::Null)
}

fn refused(error: &ChangeError) -> EntityFault {
    match error {
        ChangeError::Invalid(faults) => fault(2, "schema violation", faults.message(), faults.to_json()),
        ChangeError::Violation(violation) => contradicted(violation),
        ChangeError::Unresolved { field, key, value, .. } => {
            fault(13, "foreign keys unresolved", error.to_string(), json!({ field: { key: value } }))
        }
        ChangeError::Refused(reason) => fault(2, "schema violation", reason.clone(), json!({ "@entity": [reason] })),
        ChangeError::Store(error) => unavailable(error),
        ChangeError::ReadOnly => {
            fault(12, "operation unsupported", "cannot change entities when not using a database", Value::Null)
        }
    }
}

fn contradicted(violation: &Violation) -> EntityFault {
    let message = violation.to_string();
    match violation {
        Violation::PrimaryKey { id } => fault(3, "primary key violation", message, json!({ "id": id.to_string() })),
        Violation::Unique { fields } => {
            let shown = Value::Object(fields.clone());
            fault(5, "unique constraint violation", format!("UNIQUE violation detected on '{shown}'"), shown)
        }
        Violation::ForeignKey { field, id, .. } => {
            fault(4, "foreign key violation", message, json!({ field: { "id": id.to_string() } }))
        }
        Violation::Referenced { by, .. } => fault(4, "foreign key violation", message, json!({ "@referenced_by": by })),
        Violation::Listed { by, .. } => fault(19, "referenced by others", message, json!({ "@referenced_by": by })),
        Violation::Missing => fault(6, "not found", "could not find the entity", Value::Null),
        Violation::Stale => fault(10, "database error", message, Value::Null),
    }
}

impl EntitiesPort {
    fn def(&self, kind: &str) -> Result<Arc<EntityDef>, EntityFault> {
        let def = self.0.registry.get(kind).map(Arc::clone);
        def.ok_or_else(|| fault(10, "database error", format!("no entity is called '{kind}'"), Value::Null))
    }

    async fn shown(&self, def: &Arc<EntityDef>, row: Row) -> Result<Value, EntityFault> {
        self.0.show(def, row).await.map_err(|error| unavailable(&error))
    }

    /// The row that a key stands for.
    async fn find(&self, def: &Arc<EntityDef>, workspace: Uuid, key: EntityKey) -> Result<Option<Row>, EntityFault> {
        let cache = match key {
            EntityKey::Cache(values) => values,
            other => {
                let found = self.0.find(def, workspace, &address(other)).await;
                return found.map_err(|error| unavailable(&error));
            }
        };
        let values = values_of(def, &cache);
        let document: Document = def
            .cache_key
            .iter()
            .zip(values)
            .map(|(field, value)| (field.to_string(), keyed(def, field, value)))
            .collect();
        let of = workspace_of(def, workspace);
        let key = match (def.cache_key.as_slice(), document.values().next()) {
            ([field], Some(Value::String(value))) => Key::of(def, field, of, value),
            _ => Key::of_several(def, of, &document),
        };
        let found = self.0.conductor.read(move |rows| match rows.owner(&key)? {
            Some(id) => rows.get(&key.entity, id),
            None => Ok(None),
        });
        let row = found.await.map_err(|error| unavailable(&error))?;
        match row {
            // Looked up once more, as whoever expires is there no more.
            Some(row) => self.0.find(def, workspace, &Address::Id(row.id)).await.map_err(|error| unavailable(&error)),
            None => Ok(None),
        }
    }

    /// Where a change goes: the address, and for a cache key that of its row.
    async fn place(&self, def: &Arc<EntityDef>, workspace: Uuid, key: EntityKey) -> Result<Address, EntityFault> {
        match key {
            EntityKey::Cache(_) => {
                let row = self.find(def, workspace, key).await?;
                row.map(|row| Address::Id(row.id)).ok_or_else(|| contradicted(&Violation::Missing))
            }
            other => Ok(address(other)),
        }
    }
}

fn address(key: EntityKey) -> Address {
    match key {
        EntityKey::Id(id) => Address::Id(id),
        EntityKey::Unique { field, value } => Address::Key { field: field.into(), value: value.into() },
        EntityKey::Cache(_) => Address::Id(Uuid::nil()),
    }
}

/// The values in a cache key: behind the name, and before the slots that are left and the workspace. The last value may
/// hold colons.
fn values_of<'a>(def: &EntityDef, key: &'a str) -> Vec<&'a str> {
    let count = def.cache_key.len().max(1);
    let behind = key.split_once(':').map_or("", |(_, rest)| rest);
    let left = 6_usize.saturating_sub(count);
    let held = behind.rsplitn(left + 1, ':').nth(left).unwrap_or_default();
    held.splitn(count, ':').collect()
}

/// A part of a cache key as it stands in the document.
fn keyed(def: &EntityDef, field: &str, value: &str) -> Value {
    let foreign = def.foreign_fields().any(|(name, _)| name == field);
    match (value, foreign) {
        ("", _) => Value::Null,
        (id, true) => json!({ "id": id }),
        (text, false) => json!(text),
    }
}

fn fields(document: Value) -> Result<Document, EntityFault> {
    match document {
        Value::Object(fields) => Ok(fields),
        // Lua's empty table may be either.
        Value::Array(items) if items.is_empty() => Ok(Document::new()),
        _ => Err(fault(2, "schema violation", "an entity is a table", Value::Null)),
    }
}

impl Entities for EntitiesPort {
    fn shape(&self, kind: &str) -> Option<EntityShape> {
        let def = self.0.registry.get(kind)?;
        let names = |list: &[std::borrow::Cow<'static, str>]| list.iter().map(|name| name.to_string()).collect();
        Some(EntityShape {
            primary_key: names(&def.primary_key),
            endpoint_key: def.endpoint_key.as_ref().map(|name| name.to_string()),
            cache_key: names(&def.cache_key),
            unique: def.unique_fields().map(|(name, _)| name.to_owned()).collect(),
            foreign: def.foreign_fields().map(|(name, _)| name.to_owned()).collect(),
            workspaceable: def.workspaceable,
        })
    }

    fn select(&self, workspace: Uuid, kind: String, key: EntityKey) -> Asked<'_, Option<Value>> {
        Box::pin(async move {
            let def = self.def(&kind)?;
            match self.find(&def, workspace, key).await? {
                Some(row) => self.shown(&def, row).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn insert(&self, workspace: Uuid, kind: String, document: Value) -> Asked<'_, Value> {
        Box::pin(async move {
            let def = self.def(&kind)?;
            let row = self.0.insert(&def, workspace, fields(document)?).await.map_err(|error| refused(&error))?;
            self.shown(&def, row).await
        })
    }

    fn update(&self, workspace: Uuid, kind: String, key: EntityKey, changes: Value) -> Asked<'_, Value> {
        Box::pin(async move {
            let def = self.def(&kind)?;
            let place = self.place(&def, workspace, key).await?;
            let updated = self.0.update(&def, workspace, &place, fields(changes)?).await;
            self.shown(&def, updated.map_err(|error| refused(&error))?).await
        })
    }

    fn upsert(&self, workspace: Uuid, kind: String, key: EntityKey, document: Value) -> Asked<'_, Value> {
        Box::pin(async move {
            let def = self.def(&kind)?;
            let place = self.place(&def, workspace, key).await?;
            let put = self.0.upsert(&def, workspace, &place, fields(document)?).await;
            self.shown(&def, put.map_err(|error| refused(&error))?).await
        })
    }

    fn delete(&self, workspace: Uuid, kind: String, key: EntityKey) -> Asked<'_, bool> {
        Box::pin(async move {
            let def = self.def(&kind)?;
            let place = self.place(&def, workspace, key).await?;
            self.0.delete(&def, workspace, &place).await.map_err(|error| refused(&error))
        })
    }

    fn page(
        &self,
        workspace: Uuid,
        kind: String,
        parent: Option<(String, Uuid)>,
        after: Option<Uuid>,
        size: usize,
    ) -> Asked<'_, EntityPage> {
        Box::pin(async move {
            let def = self.def(&kind)?;
            let limit = size.clamp(1, LARGEST_PAGE);
            let query = Query {
                entity: def.name.as_ref().into(),
                workspace: Some(workspace_of(&def, workspace)),
                parent: parent.map(|(field, id)| (field.into(), id)),
                tags: Tags::Whatever,
                after,
                limit: limit + 1,
            };
            let mut rows = self.0.page(&def, query).await.map_err(|error| unavailable(&error))?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let next = rows.last().map(|(id, _)| *id).filter(|_| more);
            Ok((rows.into_iter().map(|(_, document)| document).collect(), next))
        })
    }
}

#[cfg(test)]
mod tests {
    use gibbon_schema::Record;

    use super::*;

    #[test]
    fn a_cache_key_gives_its_values_back() {
        let one = EntityDef::new("keys", Record::new()).cache_key(&["key"]);
        assert_eq!(values_of(&one, &one.cache_key_for(&["a:b"], "w")), ["a:b"]);
        let two = EntityDef::new("pairs", Record::new()).cache_key(&["one", "two"]);
        assert_eq!(values_of(&two, &two.cache_key_for(&["a", "b:c"], "")), ["a", "b:c"]);
    }
}
