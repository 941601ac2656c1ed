//! Entities (`kong.db`), secrets, and what workers tell each other.

use std::rc::Rc;
use std::sync::Arc;

use gibbon_pdk::{EntityFault, EntityKey, Store};
use mlua::{Lua, LuaString, Table, Value};
use serde_json::Value as Json;
use smallvec::smallvec;
use uuid::Uuid;

use super::{add, lossy};
use crate::current::{self, Answer, Out, Parked};
use crate::events::Event;
use crate::json;
use crate::machine::Ports;

/// A document without null fields, as Lua sees entities.
fn compact(value: Json) -> Json {
    match value {
        Json::Object(fields) => {
            Json::Object(fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, compact(v))).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(compact).collect()),
        other => other,
    }
}

fn shown(value: Json) -> Out {
    Out::Make(Box::new(move |lua| json::to_lua_marked(lua, &compact(value))))
}

fn answered<T>(outcome: Result<T, EntityFault>, show: impl FnOnce(T) -> Json) -> Answer {
    match outcome {
        Ok(value) => smallvec![shown(show(value))],
        Err(EntityFault { code, name, message, fields }) => {
            smallvec![
                Out::Nil,
                shown(serde_json::json!({ "code": code, "name": name, "message": message, "fields": fields }))
            ]
        }
    }
}

/// `{ id = … }`, `{ cache = … }`, or `{ field = …, value = … }`.
fn key_of(table: Option<&Table>) -> mlua::Result<Option<EntityKey>> {
    let Some(table) = table else { return Ok(None) };
    if let Some(id) = table.raw_get::<Option<String>>("id")? {
        return Ok(Uuid::parse_str(&id).ok().map(EntityKey::Id));
    }
    if let Some(values) = table.raw_get::<Option<String>>("cache")? {
        return Ok(Some(EntityKey::Cache(values)));
    }
    let (field, value) = (table.raw_get::<Option<String>>("field")?, table.raw_get::<Option<String>>("value")?);
    Ok(field.zip(value).map(|(field, value)| EntityKey::Unique { field, value }))
}

/// What is asked of the store.
enum Ask {
    Select(EntityKey),
    Insert(Json),
    Update(EntityKey, Json),
    Upsert(EntityKey, Json),
    Delete(EntityKey),
    Page { parent: Option<(String, Uuid)>, after: Option<Uuid>, size: usize },
}

async fn ask(store: &dyn Store, workspace: Uuid, kind: String, ask: Ask) -> Answer {
    let Some(entities) = store.entities() else {
        let message = "the datastore is not open".to_owned();
        let fault = EntityFault { code: 10, name: "database error", message, fields: Json::Null };
        return answered(Err::<(), _>(fault), |()| Json::Null);
    };
    match ask {
        Ask::Select(key) => answered(entities.select(workspace, kind, key).await, |found| found.unwrap_or(Json::Null)),
        Ask::Insert(document) => answered(entities.insert(workspace, kind, document).await, |made| made),
        Ask::Update(key, changes) => answered(entities.update(workspace, kind, key, changes).await, |made| made),
        Ask::Upsert(key, document) => answered(entities.upsert(workspace, kind, key, document).await, |made| made),
        Ask::Delete(key) => answered(entities.delete(workspace, kind, key).await, Json::Bool),
        Ask::Page { parent, after, size } => {
            let page = entities.page(workspace, kind, parent, after, size).await;
            answered(page, |(rows, next)| serde_json::json!({ "rows": rows, "next": next.map(|id| id.to_string()) }))
        }
    }
}

/// The workspace that a call names, or that of the request at hand, or the default one.
fn workspace_of(named: Option<&LuaString>) -> mlua::Result<Uuid> {
    if let Some(id) = named.and_then(|named| Uuid::parse_str(&lossy(named)).ok()) {
        return Ok(id);
    }
    let of_request = current::with(|x| x.route().map(|route| route.workspace))?;
    Ok(of_request.or_else(|| Uuid::parse_str(gibbon_model::DEFAULT_WORKSPACE_ID).ok()).unwrap_or_default())
}

pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    entities(lua, native, ports)?;
    events(lua, native, ports)
}

fn entities(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let store = ports.store.clone();
    add(lua, native, "has_store", move |_, ()| Ok(store.as_ref().is_some_and(|store| store.entities().is_some())))?;
    let store = ports.store.clone();
    add(lua, native, "entity_shape", move |lua, kind: LuaString| {
        let shape = store.as_ref().and_then(|store| store.entities()?.shape(&lossy(&kind)));
        let Some(shape) = shape else { return Ok(None) };
        let table = lua.create_table()?;
        table.raw_set("primary_key", shape.primary_key)?;
        table.raw_set("endpoint_key", shape.endpoint_key)?;
        table.raw_set("cache_key", shape.cache_key)?;
        table.raw_set("unique", shape.unique)?;
        table.raw_set("foreign", shape.foreign)?;
        table.raw_set("workspaceable", shape.workspaceable)?;
        Ok(Some(table))
    })?;
    let store = ports.store.clone();
    type Call = (LuaString, LuaString, Option<LuaString>, Option<Table>, Value);
    // Begins; the answer comes when the coroutine goes on. What is wrong at once is returned.
    add(lua, native, "entity", move |lua, (verb, kind, workspace, key, document): Call| {
        let Some(store) = store.clone() else { return Ok(Some("there is no datastore".to_owned())) };
        let document = match json::from_lua(lua, &document) {
            Ok(document) => document,
            Err(error) => return Ok(Some(error)),
        };
        let found = key_of(key.as_ref())?;
        let wanted = match (&*verb.as_bytes(), found) {
            (b"insert", _) => Ask::Insert(document),
            (b"page", _) => {
                let text = |name: &str| document.get(name).and_then(Json::as_str);
                let id = |name: &str| text(name).and_then(|id| Uuid::parse_str(id).ok());
                let parent = match (text("field"), id("parent")) {
                    (Some(field), Some(parent)) => Some((field.to_owned(), parent)),
                    (Some(_), None) => return Ok(Some("the foreign key has no id".to_owned())),
                    (None, _) => None,
                };
                let size = document.get("size").and_then(Json::as_u64).unwrap_or(1000);
                Ask::Page { parent, after: id("after"), size: usize::try_from(size).unwrap_or(1000) }
            }
            (_, None) => return Ok(Some("invalid primary key".to_owned())),
            (b"select", Some(key)) => Ask::Select(key),
            (b"update", Some(key)) => Ask::Update(key, document),
            (b"upsert", Some(key)) => Ask::Upsert(key, document),
            (b"delete", Some(key)) => Ask::Delete(key),
            _ => return Ok(Some("unknown operation".to_owned())),
        };
        let (workspace, kind) = (workspace_of(workspace.as_ref())?, lossy(&kind));
        current::park(Parked::Wait(Box::pin(async move { ask(&*store, workspace, kind, wanted).await })));
        Ok(None)
    })
}

fn events(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let (shared, worker) = (Arc::clone(&ports.shared), ports.worker);
    add(lua, native, "post_event", move |lua, (source, event, data, once): (LuaString, LuaString, Value, bool)| {
        let data = match json::from_lua(lua, &data) {
            Ok(data) => data,
            Err(error) => return Ok((None, Some(error))),
        };
        shared.events.post(Event::new(&lossy(&source), &lossy(&event), data, Some(worker), once));
        Ok((Some(true), None))
    })?;
    let shared = Arc::clone(&ports.shared);
    add(lua, native, "want_crud", move |_, ()| {
        shared.want_crud();
        Ok(())
    })?;
    let secrets = Arc::clone(&ports.secrets);
    // Begins to read the secret behind a reference; it, or nil and what is wrong, comes when the coroutine goes on.
    add(lua, native, "secret", move |_, reference: LuaString| {
        let (secrets, reference) = (Arc::clone(&secrets), lossy(&reference));
        current::park(Parked::Wait(Box::pin(async move {
            match secrets.read(&reference).await {
                Ok(secret) => smallvec![Out::Text(secret.into_bytes())],
                Err(error) => smallvec![Out::Nil, Out::Text(error.into_bytes())],
            }
        })));
        Ok(())
    })?;
    add(lua, native, "workspace", |_, ()| Ok(workspace_of(None)?.to_string()))?;
    // What kong.cache of all workers agrees on.
    let shared = Arc::clone(&ports.shared);
    #[allow(clippy::cast_precision_loss)] // a count
    add(lua, native, "cache_count", move |_, ()| Ok(shared.invalidations.count() as f64))?;
    let shared = Arc::clone(&ports.shared);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a count
    add(lua, native, "cache_holds", move |_, (key, begun): (LuaString, f64)| {
        Ok(shared.invalidations.holds(&key.as_bytes(), begun as u64))
    })?;
    let shared = Arc::clone(&ports.shared);
    add(lua, native, "cache_invalidate", move |_, key: LuaString| {
        shared.invalidations.invalidate(&key.as_bytes());
        Ok(())
    })
}
