//! Entities as clients deal with them: by identifier or name, with references by name, incomplete, as a whole or in part.
//!
//! Here a client's document becomes a complete one that the schema accepts, and a stored one becomes what clients see.
//! What contradicts other entities is found when it is committed; what only this product's irregular entities need
//! stands in `certificates` and `plugins`.

mod certificates;
mod partials;
mod plugins;

use std::sync::Arc;

use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef, Registry, Write as Circumstances};
use gibbon_schema::{Compat, ErrorTree, Faults};
use indexmap::IndexMap;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::conductor::{Conductor, Declaration, now, workspace_of};
use crate::error::{ChangeError, StoreError, Violation};
use crate::query::{Query, Rows, Tags};
use crate::row::{Document, EXPIRES_AT, Key, Row, expires_at};
use crate::rules::{Condition, Write};
use crate::sources::SystemSources;

/// How often a change is made anew from a row that was changed meanwhile, before the client is told.
const TRIES: usize = 32;

/// The largest time to live, in seconds.
const MAX_TTL: i64 = 100_000_000;

/// What stands for one entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Id(Uuid),
    /// A unique field and its value.
    Key {
        field: Box<str>,
        value: Box<str>,
    },
}

impl Address {
    /// What an identifier in a path means; nothing if it is no UUID and the kind has no names.
    pub fn parse(def: &EntityDef, text: &str) -> Option<Address> {
        if gibbon_schema::is_uuid(text)
            && let Ok(id) = Uuid::parse_str(text)
        {
            return Some(Address::Id(id));
        }
        let field = def.endpoint_key.as_deref()?;
        Some(Address::Key { field: field.into(), value: text.into() })
    }
}

/// The entities of a gateway.
#[derive(Clone)]
pub struct Documents {
    pub conductor: Conductor,
    pub registry: Arc<Registry>,
    pub compat: Compat,
}

impl Documents {
    /// The row an address stands for.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find(
        &self,
        def: &Arc<EntityDef>,
        workspace: Uuid,
        address: &Address,
    ) -> Result<Option<Row>, StoreError> {
        let (def, workspace, address) = (Arc::clone(def), workspace_of(def, workspace), address.clone());
        self.conductor.read(move |rows| find(rows, &def, workspace, &address)).await
    }

    /// A page of entities as clients see them, each with its identifier.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn page(&self, def: &Arc<EntityDef>, query: Query) -> Result<Vec<(Uuid, Value)>, StoreError> {
        let def = Arc::clone(def);
        self.conductor.read(move |rows| shown_page(rows, &def, query)).await
    }

    /// As [`Self::page`], each entity as JSON. What clients see as it is stored is not read and written anew.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn page_texts(&self, def: &Arc<EntityDef>, query: Query) -> Result<Vec<(Uuid, String)>, StoreError> {
        let def = Arc::clone(def);
        let read = move |rows: &mut dyn Rows| {
            let as_stored = def.is_shown_as_stored() && !certificates::is(&def);
            if as_stored
                && let Some(texts) = rows.page_texts(&query)?
                && texts.iter().all(|text| text.expires.is_none())
            {
                return Ok(texts.into_iter().map(|text| (text.id, text.document)).collect());
            }
            let shown = shown_page(rows, &def, query)?;
            Ok(shown.into_iter().map(|(id, value)| (id, value.to_string())).collect())
        };
        self.conductor.read(read).await
    }

    /// An entity as clients see it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn show(&self, def: &Arc<EntityDef>, row: Row) -> Result<Value, StoreError> {
        if !certificates::is(def) {
            return Ok(shown(def, row));
        }
        let def = Arc::clone(def);
        self.conductor.read(move |rows| show(rows, &def, row)).await
    }

    /// Makes a new entity.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn insert(&self, def: &Arc<EntityDef>, workspace: Uuid, document: Document) -> Result<Row, ChangeError> {
        let mut document = document;
        let (row, more) = self.complete(def, workspace, &mut document, &Condition::Absent).await?;
        self.put(def, row, Condition::Absent, more).await
    }

    /// Makes an entity, or puts it in the place of the one at that address. The address wins over the document.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn upsert(
        &self,
        def: &Arc<EntityDef>,
        workspace: Uuid,
        address: &Address,
        document: Document,
    ) -> Result<Row, ChangeError> {
        let mut document = document;
        match address {
            Address::Id(id) => {
                document.insert("id".into(), id.to_string().into());
            }
            Address::Key { field, value } => {
                let present = self.find(def, workspace, address).await?;
                match present {
                    Some(row) => document.insert("id".into(), row.id.to_string().into()),
                    None => document.shift_remove("id"),
                };
                document.insert(field.to_string(), (**value).into());
            }
        }
        let (row, more) = self.complete(def, workspace, &mut document, &Condition::Whatever).await?;
        self.put(def, row, Condition::Whatever, more).await
    }

    /// Changes some fields of the entity at that address.
    ///
    /// # Errors
    /// What is wrong with the result; [`Violation::Missing`] where there is none.
    pub async fn update(
        &self,
        def: &Arc<EntityDef>,
        workspace: Uuid,
        address: &Address,
        changes: Document,
    ) -> Result<Row, ChangeError> {
        for _ in 0..TRIES {
            let Some(base) = self.find(def, workspace, address).await? else { return Err(Violation::Missing.into()) };
            match self.update_from(def, base, changes.clone()).await {
                Err(ChangeError::Violation(Violation::Stale)) => {}
                other => return other,
            }
        }
        Err(Violation::Stale.into())
    }

    async fn update_from(&self, def: &Arc<EntityDef>, base: Row, changes: Document) -> Result<Row, ChangeError> {
        let workspace = base.workspace;
        let mut changes = changes;
        let mut sources = SystemSources::new();
        let faults = self.resolve_references(def, workspace, &mut changes).await?;
        let mut partials = partials::resolve(self, def, workspace, &mut changes).await?;
        let expiry = match take_ttl(def, &mut changes)? {
            Some(ttl) => ttl.map(|ttl| sources.time() + ttl),
            None => expires_at(&base.document),
        };
        let mut fields = base.fields();
        fields.shift_remove(EXPIRES_AT);
        partials.extend(partials::resolve(self, def, workspace, &mut fields).await?);
        let document = {
            let mut circumstances = Circumstances { compat: self.compat, sources: &mut sources, transform: true };
            with_faults(
                def.update_linked(&fields, changes, &mut circumstances, &|key| partials.get(key).cloned()),
                faults,
            )?
        };
        let (row, more) = self.finish(def, workspace, Some(base.id), document, expiry, false).await?;
        self.put(def, row, Condition::Is(base.document), more).await
    }

    /// Deletes the entity at that address with all that goes with it. Says whether there was one.
    ///
    /// # Errors
    /// What holds on to it.
    pub async fn delete(&self, def: &Arc<EntityDef>, workspace: Uuid, address: &Address) -> Result<bool, ChangeError> {
        let Some(row) = self.find(def, workspace, address).await? else { return Ok(false) };
        let mut writes = certificates::deletions(self, def, row.id).await?;
        writes.push(Write::Delete { entity: def.name.as_ref().into(), workspace: row.workspace, id: row.id });
        self.conductor.commit(writes).await?;
        Ok(true)
    }

    /// What is wrong with a document, without storing anything.
    ///
    /// # Errors
    /// The faults.
    pub fn check(&self, def: &EntityDef, document: Document) -> Result<(), Faults> {
        let mut sources = SystemSources::new();
        let mut document = document;
        take_ttl(def, &mut document)?;
        let mut circumstances = Circumstances { compat: self.compat, sources: &mut sources, transform: false };
        def.insert(document, &mut circumstances).map(drop)
    }

    /// Puts a whole declarative configuration in force.
    ///
    /// # Errors
    /// What contradicts it.
    pub async fn declare(
        &self,
        workspace: Uuid,
        entities: IndexMap<String, Vec<Document>>,
        hash: &str,
        stamped: f64,
    ) -> Result<(), ChangeError> {
        let writes = self.writes(workspace, entities, stamped)?;
        self.conductor.replace(Declaration { writes, hash: hash.into(), stamped }).await
    }

    /// Puts documents of a declarative configuration into the datastore, all or none; what they do not name stays.
    /// Returns how many there are.
    ///
    /// # Errors
    /// What contradicts them.
    pub async fn import(
        &self,
        workspace: Uuid,
        entities: IndexMap<String, Vec<Document>>,
        stamped: f64,
    ) -> Result<usize, ChangeError> {
        let mut writes = self.writes(workspace, entities, stamped)?;
        for write in &mut writes {
            if let Write::Put { condition, .. } = write {
                *condition = Condition::Whatever;
            }
        }
        let count = writes.len();
        self.conductor.commit(writes).await?;
        Ok(count)
    }

    /// Everything that belongs into exports, by kind; what is referred to comes first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn all(&self) -> Result<IndexMap<String, Vec<Document>>, StoreError> {
        let registry = Arc::clone(&self.registry);
        let read = move |rows: &mut dyn Rows| {
            let mut all = IndexMap::new();
            for def in registry.iter().filter(|def| def.exported && def.primary_key == ["id"]) {
                let documents = every(rows, &def.name, None)?;
                if !documents.is_empty() {
                    all.insert(def.name.to_string(), documents);
                }
            }
            Ok(all)
        };
        self.conductor.read(read).await
    }

    /// As [`Self::all`], of one workspace. What belongs to none goes with the default one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn all_in(&self, workspace: Uuid) -> Result<IndexMap<String, Vec<Document>>, StoreError> {
        let registry = Arc::clone(&self.registry);
        let is_default = workspace.to_string() == DEFAULT_WORKSPACE_ID;
        let read = move |rows: &mut dyn Rows| {
            let mut all = IndexMap::new();
            let exported = registry.iter().filter(|def| def.exported && def.primary_key == ["id"]);
            for def in exported.filter(|def| is_default || def.workspaceable) {
                let documents = every(rows, &def.name, Some(workspace_of(def, workspace)))?;
                if !documents.is_empty() {
                    all.insert(def.name.to_string(), documents);
                }
            }
            Ok(all)
        };
        self.conductor.read(read).await
    }

    /// What is referred to comes first, whatever the order in which the kinds are given.
    fn writes(
        &self,
        workspace: Uuid,
        mut entities: IndexMap<String, Vec<Document>>,
        stamped: f64,
    ) -> Result<Vec<Write>, ChangeError> {
        let mut writes = Vec::with_capacity(entities.values().map(Vec::len).sum());
        for def in self.registry.iter() {
            for document in entities.swap_remove(def.name.as_ref()).unwrap_or_default() {
                writes.extend(declared(def, workspace_of(def, workspace), document, stamped)?);
            }
        }
        Ok(writes)
    }

    /// A client's document, completed and checked.
    async fn complete(
        &self,
        def: &Arc<EntityDef>,
        workspace: Uuid,
        document: &mut Document,
        condition: &Condition,
    ) -> Result<(Row, Vec<Write>), ChangeError> {
        let workspace = workspace_of(def, workspace);
        let mut sources = SystemSources::new();
        let faults = self.resolve_references(def, workspace, document).await?;
        let partials = partials::resolve(self, def, workspace, document).await?;
        let expiry = take_ttl(def, document)?.flatten().map(|ttl| sources.time() + ttl);
        let complete = {
            let mut circumstances = Circumstances { compat: self.compat, sources: &mut sources, transform: true };
            let document = std::mem::take(document);
            with_faults(def.insert_linked(document, &mut circumstances, &|key| partials.get(key).cloned()), faults)?
        };
        self.finish(def, workspace, None, complete, expiry, *condition == Condition::Whatever).await
    }

    /// From a complete document to the row that is stored, with the writes that go with it.
    async fn finish(
        &self,
        def: &Arc<EntityDef>,
        workspace: Uuid,
        id: Option<Uuid>,
        mut document: Document,
        expiry: Option<f64>,
        whole: bool,
    ) -> Result<(Row, Vec<Write>), ChangeError> {
        let own = document.get("id").and_then(crate::row::uuid);
        let id = id.or(own).ok_or_else(|| StoreError::new(format!("'{}' has no identifier", def.name)))?;
        document.insert("id".into(), id.to_string().into());
        plugins::check(self, def, workspace, &document).await?;
        let more = certificates::names(self, def, workspace, id, &mut document, whole).await?;
        strip(def, &mut document);
        if let Some(at) = expiry {
            document.insert(EXPIRES_AT.into(), at.into());
        }
        Ok((Row { id, workspace, document: Arc::new(Value::Object(document)) }, more))
    }

    async fn put(&self, def: &EntityDef, row: Row, condition: Condition, more: Vec<Write>) -> Result<Row, ChangeError> {
        let put = Write::Put {
            entity: def.name.as_ref().into(),
            workspace: row.workspace,
            id: row.id,
            document: Arc::clone(&row.document),
            condition,
        };
        self.conductor.commit(std::iter::once(put).chain(more).collect()).await?;
        Ok(row)
    }

    /// Turns references by name into references by identifier. Returns the faults of those that give neither; they are
    /// taken out, so that the rest of the document can be looked at.
    async fn resolve_references(
        &self,
        def: &EntityDef,
        workspace: Uuid,
        document: &mut Document,
    ) -> Result<Faults, ChangeError> {
        let mut faults = Faults::default();
        for (field, foreign) in def.foreign_fields() {
            let Some(Value::Object(reference)) = document.get(field) else { continue };
            if reference.contains_key("id") || reference.is_empty() {
                continue;
            }
            let Some(parent) = self.registry.get(&foreign.entity) else { continue };
            let Some((key, value)) = named(parent, reference) else {
                let unknown = reference.keys().map(|name| (name.clone(), ErrorTree::from("unknown field"))).collect();
                faults.insert_tree(field, ErrorTree::Fields(Faults { fields: unknown, ..Faults::default() }));
                document.shift_remove(field);
                continue;
            };
            let address = Address::Key { field: key.as_str().into(), value: value.as_str().into() };
            match self.find(parent, workspace, &address).await? {
                Some(row) => document.insert(field.to_owned(), json!({ "id": row.id.to_string() })),
                None => {
                    let (field, entity) = (field.to_owned(), parent.name.to_string());
                    return Err(ChangeError::Unresolved { field, entity, key, value });
                }
            };
        }
        Ok(faults)
    }
}

/// The unique field a reference names its entity by, and its value.
fn named(parent: &EntityDef, reference: &Document) -> Option<(String, String)> {
    let keys = parent.unique_fields().map(|(name, _)| name).chain(parent.endpoint_key.as_deref());
    keys.filter_map(|key| Some((key.to_owned(), reference.get(key)?.as_str()?.to_owned()))).next()
}

/// A result of the schema, with faults found before.
fn with_faults(result: Result<Document, Faults>, before: Faults) -> Result<Document, Faults> {
    match result {
        Ok(document) if before.is_empty() => Ok(document),
        Ok(_) => Err(before),
        Err(mut faults) => {
            faults.merge(before);
            Err(faults)
        }
    }
}

/// The row an address stands for, unless its time is over.
pub(crate) fn find(
    rows: &mut dyn Rows,
    def: &EntityDef,
    workspace: Uuid,
    address: &Address,
) -> Result<Option<Row>, StoreError> {
    let id = match address {
        Address::Id(id) => Some(*id),
        Address::Key { field, value } => rows.owner(&Key::of(def, field, workspace, value))?,
    };
    let row = match id {
        Some(id) => rows.get(&def.name, id)?,
        None => None,
    };
    let now = now();
    Ok(row.filter(|row| row.workspace == workspace && !row.is_expired(now)))
}

/// A page of rows whose time is not over. Where that of some is, more are read, so that it is full unless it is the last.
fn live_page(rows: &mut dyn Rows, mut query: Query) -> Result<Vec<Row>, StoreError> {
    let (now, wanted) = (now(), query.limit);
    let mut live = Vec::new();
    loop {
        let page = rows.page(&query)?;
        let is_last = page.len() < query.limit;
        query.after = page.last().map(|row| row.id);
        live.extend(page.into_iter().filter(|row| !row.is_expired(now)));
        query.limit = wanted.saturating_sub(live.len());
        if is_last || query.limit == 0 {
            return Ok(live);
        }
    }
}

fn shown_page(rows: &mut dyn Rows, def: &EntityDef, query: Query) -> Result<Vec<(Uuid, Value)>, StoreError> {
    let live = live_page(rows, query)?;
    live.into_iter().map(|row| Ok((row.id, show(rows, def, row)?))).collect()
}

fn show(rows: &mut dyn Rows, def: &EntityDef, row: Row) -> Result<Value, StoreError> {
    let id = row.id;
    let mut document = shown(def, row);
    if certificates::is(def)
        && let Value::Object(fields) = &mut document
    {
        fields.insert("snis".into(), certificates::names_of(rows, id)?);
    }
    Ok(document)
}

fn shown(def: &EntityDef, row: Row) -> Value {
    let mut fields = row.into_fields();
    if let Some(at) = fields.shift_remove(EXPIRES_AT).and_then(|at| at.as_f64()) {
        #[allow(clippy::cast_possible_truncation)] // seconds, bounded by MAX_TTL
        let left = (at - now()).ceil().max(0.0) as i64;
        fields.insert("ttl".into(), left.into());
    }
    Value::Object(def.present(fields))
}

/// Takes what is stored elsewhere out of a document.
fn strip(def: &EntityDef, document: &mut Document) {
    for (name, field) in &def.record.fields {
        if field.transient {
            document.shift_remove(name.as_ref());
        }
    }
}

/// Takes the time to live out of a document: absent, never over, or in seconds.
fn take_ttl(def: &EntityDef, document: &mut Document) -> Result<Option<Option<f64>>, Faults> {
    if !def.ttl {
        return Ok(None);
    }
    match document.shift_remove("ttl") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(value) => match value.as_i64() {
            Some(0) => Ok(Some(None)),
            #[allow(clippy::cast_precision_loss)] // bounded
            Some(ttl) if (1..=MAX_TTL).contains(&ttl) => Ok(Some(Some(ttl as f64))),
            _ => {
                let mut faults = Faults::default();
                faults.insert("ttl", format!("must be an integer between 0 and {MAX_TTL}"));
                Err(faults)
            }
        },
    }
}

/// How many rows are read at once.
const CHUNK: usize = 5_000;

/// The documents of all rows of a kind, without what only the store knows of them.
fn every(rows: &mut dyn Rows, entity: &str, workspace: Option<Uuid>) -> Result<Vec<Document>, StoreError> {
    let now = now();
    let mut documents = Vec::new();
    let mut query =
        Query { entity: entity.into(), workspace, parent: None, tags: Tags::Whatever, after: None, limit: CHUNK };
    loop {
        let page = rows.page(&query)?;
        let Some(last) = page.last() else { return Ok(documents) };
        query.after = Some(last.id);
        let live = page.into_iter().filter(|row| !row.is_expired(now));
        documents.extend(live.map(|row| {
            let mut fields = row.into_fields();
            fields.shift_remove(EXPIRES_AT);
            fields
        }));
    }
}

/// The write for a document of a declarative configuration.
fn declared(def: &EntityDef, workspace: Uuid, document: Document, now: f64) -> Result<Option<Write>, ChangeError> {
    let mut document = document;
    let expiry = match document.get(EXPIRES_AT) {
        Some(_) => None,
        None => take_ttl(def, &mut document)?.flatten(),
    };
    if let Some(ttl) = expiry {
        document.insert(EXPIRES_AT.into(), (now + ttl).into());
    }
    strip(def, &mut document);
    let Some(id) = document.get("id").and_then(crate::row::uuid) else { return Ok(None) };
    Ok(Some(Write::Put {
        entity: def.name.as_ref().into(),
        workspace,
        id,
        document: Arc::new(Value::Object(document)),
        condition: Condition::Absent,
    }))
}
