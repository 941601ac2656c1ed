//! Rows with a time to live, in the store that holds the entities.
//!
//! They are entities like others (so the Admin API shows and deletes them, and they go when what they refer to goes),
//! but never enter the plan. Each look-up asks the store: a token that was revoked is refused from the next request.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef, Registry};
use gibbon_pdk::{Entities, SendFuture, Store, StoreError};
use gibbon_store::rules::{Condition, Write};
use gibbon_store::{ChangeError, Conductor, Documents, EXPIRES_AT, Key, Query, Row, Rows, Tags, workspace_of};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::entities::EntitiesPort;

/// Rows of one list at most.
const MAX_LISTED: usize = 10_000;

/// The store behind the plugins' port. Handlers are built before it is [connected](Self::connect), which is before the
/// first request: whether there will be one is known from the start.
pub struct StorePort {
    present: bool,
    connected: OnceLock<Connected>,
}

struct Connected {
    conductor: Conductor,
    registry: Arc<Registry>,
    entities: EntitiesPort,
}

impl StorePort {
    /// `present`: whether the node has a datastore at all.
    #[must_use]
    pub fn new(present: bool) -> Self {
        StorePort { present, connected: OnceLock::new() }
    }

    /// Puts a store behind the port; a second one is not taken.
    pub fn connect(&self, documents: &Documents) {
        let (conductor, registry) = (documents.conductor.clone(), Arc::clone(&documents.registry));
        let _ = self.connected.set(Connected { conductor, registry, entities: EntitiesPort(documents.clone()) });
    }

    fn connected(&self) -> Result<&Connected, StoreError> {
        if !self.present {
            return Err(StoreError::Absent);
        }
        self.connected.get().ok_or_else(|| StoreError::Unavailable("it is not open yet".into()))
    }
}

fn unavailable(error: &gibbon_store::StoreError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn refused(error: &ChangeError) -> StoreError {
    match error {
        ChangeError::ReadOnly => StoreError::Absent,
        ChangeError::Store(error) => unavailable(error),
        other => StoreError::Conflict(other.to_string()),
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn default_workspace() -> Uuid {
    Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default()
}

/// The row as plugins see it.
fn shown(row: Row) -> Value {
    Arc::unwrap_or_clone(row.document)
}

impl Connected {
    fn def(&self, kind: &str) -> Result<Arc<EntityDef>, StoreError> {
        let def = self.registry.get(kind).map(Arc::clone);
        def.ok_or_else(|| StoreError::Conflict(format!("no entity is called '{kind}'")))
    }

    async fn find(&self, workspace: Uuid, kind: &str, field: &str, value: &str) -> Result<Option<Row>, StoreError> {
        let def = self.def(kind)?;
        let key = Key::of(&def, field, workspace_of(&def, workspace), value);
        let by_id = (field == "id").then(|| Uuid::parse_str(value).unwrap_or_default());
        let look = move |rows: &mut dyn Rows| {
            let id = match by_id {
                Some(id) => Some(id),
                None => rows.owner(&key)?,
            };
            let Some(id) = id else { return Ok(None) };
            Ok(rows.get(&key.entity, id)?.filter(|row| !row.is_expired(now())))
        };
        // What was made a moment ago may not have arrived at a server that follows.
        if let Some(row) = self.conductor.read_replica(look.clone()).await.flatten() {
            return Ok(Some(row));
        }
        self.conductor.read(look).await.map_err(|e| unavailable(&e))
    }

    async fn put(&self, workspace: Uuid, kind: &str, row: Value, ttl: Option<Duration>) -> Result<Value, StoreError> {
        let def = self.def(kind)?;
        let id = row.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
        let id = id.ok_or_else(|| StoreError::Conflict(format!("a row of '{kind}' has no id")))?;
        let write = Write::Put {
            entity: def.name.as_ref().into(),
            workspace: workspace_of(&def, workspace),
            id,
            document: Arc::new(with_end(row.clone(), ttl)),
            condition: Condition::Whatever,
        };
        self.conductor.commit(vec![write]).await.map_err(|e| refused(&e))?;
        Ok(row)
    }

    /// Whether it was there is known where commits are ordered, and not from what was read before.
    async fn delete(&self, kind: &str, id: &str) -> Result<bool, StoreError> {
        let def = self.def(kind)?;
        let Ok(id) = Uuid::parse_str(id) else { return Ok(false) };
        let entity: Arc<str> = def.name.as_ref().into();
        let kind = Arc::clone(&entity);
        let row = self.conductor.read(move |rows| rows.get(&kind, id)).await.map_err(|e| unavailable(&e))?;
        let Some(row) = row else { return Ok(false) };
        let write = Write::Delete { entity, workspace: row.workspace, id };
        let made = self.conductor.commit(vec![write]).await.map_err(|e| refused(&e))?;
        Ok(made.iter().any(|change| change.id == id))
    }

    async fn list(&self, kind: &str, field: &str, value: &str) -> Result<Vec<Value>, StoreError> {
        let def = self.def(kind)?;
        if !def.foreign_fields().any(|(name, _)| name == field) {
            return self.having(&def, field, value).await;
        }
        let Ok(parent) = Uuid::parse_str(value) else { return Ok(Vec::new()) };
        let (kind, field) = (def.name.to_string(), field.to_owned());
        let rows = self.conductor.read(move |rows| rows.referrers(&kind, &field, parent)).await;
        let rows = rows.map_err(|e| unavailable(&e))?;
        Ok(rows.into_iter().filter(|row| !row.is_expired(now())).take(MAX_LISTED).map(shown).collect())
    }
}

impl Connected {
    /// Rows whose field has that text: looked for among the first rows of the table, as no index leads to them.
    async fn having(&self, def: &EntityDef, field: &str, value: &str) -> Result<Vec<Value>, StoreError> {
        let query = Query {
            entity: def.name.as_ref().into(),
            workspace: None,
            parent: None,
            tags: Tags::Whatever,
            after: None,
            limit: MAX_LISTED,
        };
        let rows = self.conductor.read(move |rows| rows.page(&query)).await.map_err(|e| unavailable(&e))?;
        let has = |row: &Row| row.document.get(field).and_then(Value::as_str) == Some(value);
        Ok(rows.into_iter().filter(|row| !row.is_expired(now()) && has(row)).map(shown).collect())
    }
}

/// A row that ends after `ttl`.
fn with_end(mut row: Value, ttl: Option<Duration>) -> Value {
    if let (Some(ttl), Some(fields)) = (ttl, row.as_object_mut()) {
        fields.insert(EXPIRES_AT.into(), json!(now() + ttl.as_secs_f64()));
    }
    row
}

impl Store for StorePort {
    fn get<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Option<Value>, StoreError>> {
        self.get_in(default_workspace(), kind, field, value)
    }

    fn put<'a>(
        &'a self,
        kind: &'a str,
        row: Value,
        ttl: Option<Duration>,
    ) -> SendFuture<'a, Result<Value, StoreError>> {
        self.put_in(default_workspace(), kind, row, ttl)
    }

    fn get_in<'a>(
        &'a self,
        workspace: Uuid,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(async move { Ok(self.connected()?.find(workspace, kind, field, value).await?.map(shown)) })
    }

    fn put_in<'a>(
        &'a self,
        workspace: Uuid,
        kind: &'a str,
        row: Value,
        ttl: Option<Duration>,
    ) -> SendFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move { self.connected()?.put(workspace, kind, row, ttl).await })
    }

    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> SendFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { self.connected()?.delete(kind, id).await })
    }

    fn list<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Vec<Value>, StoreError>> {
        Box::pin(async move { self.connected()?.list(kind, field, value).await })
    }

    fn increment<'a>(&'a self, key: &'a str, by: i64, ttl: Duration) -> SendFuture<'a, Result<i64, StoreError>> {
        Box::pin(async move {
            let conductor = &self.connected()?.conductor;
            conductor.count(key, by, ttl.as_secs_f64()).await.map_err(|e| refused(&e))
        })
    }

    fn is_present(&self) -> bool {
        self.present
    }

    fn entities(&self) -> Option<&dyn Entities> {
        self.connected.get().map(|connected| &connected.entities as &dyn Entities)
    }
}
