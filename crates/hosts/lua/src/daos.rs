//! Kinds of entities that a plugin brings (`daos.lua`): their schema becomes the gateway's own, so that storage, Admin
//! paths, declarative files and checks follow from it as they do for the gateway's.

use gibbon_model::EntityDef;
use gibbon_schema::OnDelete;
use mlua::{Table, Value};

use crate::schema::Reader;

/// The kind in which messages between nodes are kept for as long as it takes every node to see them.
pub const CLUSTER_EVENTS: &str = "cluster_events";

/// The kinds that a table of `daos.lua` describes: a list of schemas, or schemas by name.
///
/// # Errors
/// Which kind is wrong, and how.
pub fn entities(reader: &Reader<'_>, daos: &Table) -> Result<Vec<EntityDef>, String> {
    let mut found = Vec::new();
    for pair in daos.pairs::<Value, Value>() {
        let (_, schema) = pair.map_err(|error| error.to_string())?;
        if let Value::Table(schema) = schema {
            found.push(entity(reader, &schema)?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn entity(reader: &Reader<'_>, schema: &Table) -> Result<EntityDef, String> {
    let text = |field: &str| schema.get::<Option<String>>(field).map_err(|error| error.to_string());
    let list = |field: &str| schema.get::<Option<Vec<String>>>(field).map_err(|error| format!("{field}: {error}"));
    let flag = |field: &str| schema.get::<Option<bool>>(field).map_err(|error| error.to_string());
    let name = text("name")?.ok_or("an entity of daos.lua has no name")?;
    let wrong = |reason: &str| format!("entity '{name}': {reason}");
    let primary_key = list("primary_key")?.unwrap_or_default();
    if primary_key != ["id"] {
        return Err(wrong("primary_key must be { \"id\" }"));
    }
    if schema.get::<Option<Table>>("transformations").map_err(|error| error.to_string())?.is_some() {
        tracing::warn!("entity '{name}': its transformations are not run");
    }
    let mut record = reader.record(schema, &name)?;
    if record.get("id").is_none() {
        return Err(wrong("it needs a field 'id'"));
    }
    record.ttl = flag("ttl")?.unwrap_or(false);
    let mut def = EntityDef::new(name.clone(), record);
    def.endpoint_key = text("endpoint_key")?.map(Into::into);
    def.cache_key = list("cache_key")?.unwrap_or_default().into_iter().map(Into::into).collect();
    if let Some(path) = text("admin_api_name")? {
        def.admin_path = path.clone().into();
        def.nested_path = path.into();
    }
    if let Some(path) = text("admin_api_nested_name")? {
        def.nested_path = path.into();
    }
    def.workspaceable = flag("workspaceable")?.unwrap_or(false);
    def.generated_api = flag("generate_admin_api")?.unwrap_or(true);
    def.exported = flag("db_export")?.unwrap_or(true);
    Ok(def)
}

/// What becomes of an entity when the one it refers to goes.
#[must_use]
pub fn on_delete(named: Option<&str>) -> Option<OnDelete> {
    match named? {
        "cascade" => Some(OnDelete::Cascade),
        "null" => Some(OnDelete::Null),
        _ => Some(OnDelete::Restrict),
    }
}
