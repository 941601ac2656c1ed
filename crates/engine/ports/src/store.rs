//! The datastore as plugins see it: rows of their own, found by a unique field, that end by themselves.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef};
use gibbon_pdk::{SendFuture, Store, StoreError};
use gibbon_store::{Address, ChangeError, Documents, Query, Tags, workspace_of};
use serde_json::Value;
use uuid::Uuid;

/// More rows than this are not listed.
const MOST: usize = 10_000;

/// The datastore of a node. Handlers are built before it is open, so that it is put in later.
pub struct StorePort {
    present: bool,
    documents: OnceLock<Documents>,
}

impl StorePort {
    /// `present`: whether the node has a datastore at all.
    #[must_use]
    pub fn new(present: bool) -> Self {
        StorePort { present, documents: OnceLock::new() }
    }

    /// Opens it for plugins.
    pub fn open(&self, documents: Documents) {
        // A second call would be for the same node.
        let _ = self.documents.set(documents);
    }

    fn documents(&self) -> Result<&Documents, StoreError> {
        if !self.present {
            return Err(StoreError::Absent);
        }
        self.documents.get().ok_or_else(|| StoreError::Unavailable("it is not open yet".into()))
    }
}

fn def(documents: &Documents, kind: &str) -> Result<Arc<EntityDef>, StoreError> {
    let def = documents.registry.get(kind).map(Arc::clone);
    def.ok_or_else(|| StoreError::Unavailable(format!("it knows no '{kind}'")))
}

fn workspace() -> Uuid {
    Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default()
}

fn refused(error: ChangeError) -> StoreError {
    match error {
        ChangeError::Store(error) => StoreError::Unavailable(error.to_string()),
        ChangeError::ReadOnly => StoreError::Absent,
        other => StoreError::Conflict(other.to_string()),
    }
}

fn unavailable(error: gibbon_store::StoreError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// What `field` = `value` stands for.
fn address(field: &str, value: &str) -> Option<Address> {
    match field {
        "id" => Uuid::parse_str(value).ok().map(Address::Id),
        field => Some(Address::Key { field: field.into(), value: value.into() }),
    }
}

async fn get(documents: &Documents, kind: &str, field: &str, value: &str) -> Result<Option<Value>, StoreError> {
    let def = def(documents, kind)?;
    let Some(address) = address(field, value) else { return Ok(None) };
    match documents.find(&def, workspace(), &address).await.map_err(unavailable)? {
        Some(row) => documents.show(&def, row).await.map(Some).map_err(unavailable),
        None => Ok(None),
    }
}

async fn put(documents: &Documents, kind: &str, row: Value, ttl: Option<Duration>) -> Result<Value, StoreError> {
    let def = def(documents, kind)?;
    let Value::Object(mut fields) = row else { return Err(StoreError::Conflict("a row is an object".into())) };
    if let Some(ttl) = ttl.filter(|_| def.ttl) {
        fields.insert("ttl".into(), ttl.as_secs().max(1).into());
    }
    let id = fields.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok());
    let stored = match id {
        Some(id) => documents.upsert(&def, workspace(), &Address::Id(id), fields).await,
        None => documents.insert(&def, workspace(), fields).await,
    };
    documents.show(&def, stored.map_err(refused)?).await.map_err(unavailable)
}

async fn list(documents: &Documents, kind: &str, field: &str, value: &str) -> Result<Vec<Value>, StoreError> {
    let def = def(documents, kind)?;
    let reference = def.foreign_fields().any(|(name, _)| name == field);
    let parent = if reference { Uuid::parse_str(value).ok() } else { None };
    let query = Query {
        entity: def.name.as_ref().into(),
        workspace: Some(workspace_of(&def, workspace())),
        parent: parent.map(|parent| (field.into(), parent)),
        tags: Tags::Whatever,
        after: None,
        limit: MOST,
    };
    let rows = documents.page(&def, query).await.map_err(unavailable)?;
    let wanted = |row: &Value| parent.is_some() || row.get(field).and_then(Value::as_str) == Some(value);
    Ok(rows.into_iter().map(|(_, row)| row).filter(wanted).collect())
}

impl Store for StorePort {
    fn get<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(async move { get(self.documents()?, kind, field, value).await })
    }

    fn put<'a>(
        &'a self,
        kind: &'a str,
        row: Value,
        ttl: Option<Duration>,
    ) -> SendFuture<'a, Result<Value, StoreError>> {
        Box::pin(async move { put(self.documents()?, kind, row, ttl).await })
    }

    fn delete<'a>(&'a self, kind: &'a str, id: &'a str) -> SendFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let documents = self.documents()?;
            let Some(address) = address("id", id) else { return Ok(()) };
            documents.delete(&def(documents, kind)?, workspace(), &address).await.map(drop).map_err(refused)
        })
    }

    fn list<'a>(
        &'a self,
        kind: &'a str,
        field: &'a str,
        value: &'a str,
    ) -> SendFuture<'a, Result<Vec<Value>, StoreError>> {
        Box::pin(async move { list(self.documents()?, kind, field, value).await })
    }

    fn increment<'a>(&'a self, key: &'a str, by: i64, ttl: Duration) -> SendFuture<'a, Result<i64, StoreError>> {
        Box::pin(async move { self.documents()?.conductor.count(key, by, ttl.as_secs_f64()).await.map_err(refused) })
    }

    fn is_present(&self) -> bool {
        self.present
    }
}
