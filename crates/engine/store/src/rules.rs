//! What keeps entities consistent with each other: identifiers, unique values, references and what a deletion takes with
//! it. Written once, for every backend, against [`Rows`].
//!
//! [`settle`] writes nothing: it turns what is wanted into the list of changes that follow from it, or says why not.

use std::collections::HashMap;
use std::sync::Arc;

use gibbon_model::{EntityDef, Registry};
use gibbon_plan::Change;
use gibbon_schema::OnDelete;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::{ChangeError, StoreError, Violation};
use crate::query::Rows;
use crate::row::{Index, Key, LISTED, Row};

/// What a row must be for a write to be made.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    Whatever,
    /// There is none yet.
    Absent,
    /// It is just as it was when the new one was made from it.
    Is(Arc<Value>),
}

/// One wanted change.
#[derive(Clone, Debug)]
pub enum Write {
    Put {
        entity: Arc<str>,
        workspace: Uuid,
        id: Uuid,
        document: Arc<Value>,
        condition: Condition,
    },
    /// Adds to the number in a field; `document` is the row if there is none yet, without that field.
    Count {
        entity: Arc<str>,
        workspace: Uuid,
        id: Uuid,
        document: Arc<Value>,
        field: Arc<str>,
        by: i64,
    },
    /// Deleting what is not there is no fault.
    Delete {
        entity: Arc<str>,
        workspace: Uuid,
        id: Uuid,
    },
}

/// A change with what the row was and is found by.
#[derive(Clone, Debug)]
pub struct Settled {
    pub change: Change,
    pub before: Index,
    pub after: Index,
}

/// The changes that follow from what is wanted.
///
/// # Errors
/// The first contradiction with what is stored.
pub fn settle(
    registry: &Registry,
    rows: &mut dyn Rows,
    writes: &[Write],
    now: f64,
) -> Result<Vec<Settled>, ChangeError> {
    let mut view = View { registry, rows, now, settled: Vec::new(), documents: HashMap::new(), keys: HashMap::new() };
    for write in writes {
        match write {
            Write::Put { entity, workspace, id, document, condition } => {
                let row = Row { id: *id, workspace: *workspace, document: Arc::clone(document) };
                view.put(view.def(entity)?, row, condition)?;
            }
            Write::Count { entity, workspace, id, document, field, by } => {
                let def = view.def(entity)?;
                let row = Row { id: *id, workspace: *workspace, document: Arc::clone(document) };
                view.count(def, row, field, *by)?;
            }
            Write::Delete { entity, workspace, id } => view.delete(view.def(entity)?, *workspace, *id)?,
        }
    }
    Ok(view.settled)
}

/// The rows as they will be once everything settled so far is written.
struct View<'a> {
    registry: &'a Registry,
    rows: &'a mut dyn Rows,
    now: f64,
    settled: Vec<Settled>,
    documents: HashMap<(Arc<str>, Uuid), Option<Row>>,
    keys: HashMap<Key, Option<Uuid>>,
}

impl View<'_> {
    fn def(&self, entity: &str) -> Result<Arc<EntityDef>, StoreError> {
        let def = self.registry.get(entity).map(Arc::clone);
        def.ok_or_else(|| StoreError::new(format!("no entity is called '{entity}'")))
    }

    fn get(&mut self, entity: &str, id: Uuid) -> Result<Option<Row>, StoreError> {
        match self.documents.get(&(Arc::from(entity), id)) {
            Some(known) => Ok(known.clone()),
            None => self.rows.get(entity, id),
        }
    }

    /// As `get`; a row whose time is over is taken away first.
    fn live(&mut self, def: &EntityDef, id: Uuid) -> Result<Option<Row>, ChangeError> {
        match self.get(&def.name, id)? {
            Some(row) if row.is_expired(self.now) => {
                self.delete_row(def, &row)?;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    fn owner(&mut self, key: &Key) -> Result<Option<Uuid>, StoreError> {
        match self.keys.get(key) {
            Some(known) => Ok(*known),
            None => self.rows.owner(key),
        }
    }

    fn put(&mut self, def: Arc<EntityDef>, row: Row, condition: &Condition) -> Result<(), ChangeError> {
        let before = self.live(&def, row.id)?;
        match (condition, &before) {
            (Condition::Absent, Some(_)) => return Err(Violation::PrimaryKey { id: row.id }.into()),
            (Condition::Is(_), None) => return Err(Violation::Missing.into()),
            (Condition::Is(expected), Some(found)) if **expected != *found.document => {
                return Err(Violation::Stale.into());
            }
            // An identifier belongs to one workspace.
            (_, Some(found)) if found.workspace != row.workspace => {
                return Err(Violation::PrimaryKey { id: row.id }.into());
            }
            _ => {}
        }
        let index = Index::of(&def, row.workspace, &row.document);
        self.check_unique(&def, &row, &index)?;
        self.check_references(&def, &row)?;
        self.push(&def, before, Some((row, index)));
        Ok(())
    }

    fn count(&mut self, def: Arc<EntityDef>, fresh: Row, field: &str, by: i64) -> Result<(), ChangeError> {
        let row = self.live(&def, fresh.id)?.unwrap_or(fresh);
        let mut fields = row.fields();
        let count = fields.get(field).and_then(Value::as_i64).unwrap_or(0).saturating_add(by);
        fields.insert(field.to_owned(), count.into());
        self.put(def, Row { document: Arc::new(Value::Object(fields)), ..row }, &Condition::Whatever)
    }

    fn check_unique(&mut self, def: &Arc<EntityDef>, row: &Row, index: &Index) -> Result<(), ChangeError> {
        for key in &index.keys {
            let Some(owner) = self.owner(key)?.filter(|owner| *owner != row.id) else { continue };
            if self.live(def, owner)?.is_some() {
                return Err(Violation::Unique { fields: key_fields(def, key, &row.document) }.into());
            }
        }
        Ok(())
    }

    fn check_references(&mut self, def: &EntityDef, row: &Row) -> Result<(), ChangeError> {
        for (field, foreign) in def.foreign_fields() {
            let Some(id) = row.document.get(field).and_then(|r| crate::row::uuid(r.get("id")?)) else { continue };
            let parent = self.get(&foreign.entity, id)?;
            let visible = |p: &Row| {
                !p.is_expired(self.now)
                    && (p.workspace.is_nil() || row.workspace.is_nil() || p.workspace == row.workspace)
            };
            if !parent.as_ref().is_some_and(visible) {
                return Err(
                    Violation::ForeignKey { field: field.into(), entity: foreign.entity.to_string(), id }.into()
                );
            }
        }
        Ok(())
    }

    fn delete(&mut self, def: Arc<EntityDef>, workspace: Uuid, id: Uuid) -> Result<(), ChangeError> {
        match self.get(&def.name, id)? {
            Some(row) if row.workspace == workspace => self.delete_row(&def, &row),
            _ => Ok(()),
        }
    }

    /// Deletes a row with all that goes with it; refused while something holds on to it.
    fn delete_row(&mut self, def: &EntityDef, row: &Row) -> Result<(), ChangeError> {
        let registry = self.registry;
        for child in registry.iter() {
            let fields = child.foreign_fields().filter(|(_, foreign)| foreign.entity == def.name);
            for (field, foreign) in fields {
                for referrer in self.referrers(child, field, row.id)? {
                    match foreign.on_delete {
                        Some(OnDelete::Cascade) => self.delete_row(child, &referrer)?,
                        Some(OnDelete::Null) => self.forget(child, field, referrer),
                        Some(OnDelete::Restrict) | None => {
                            let (entity, by) = (def.name.to_string(), child.name.to_string());
                            return Err(Violation::Referenced { entity, by }.into());
                        }
                    }
                }
            }
        }
        for (entity, field, _) in LISTED.iter().filter(|(.., named)| *named == def.name) {
            let child = self.def(entity)?;
            if let Some(by) = self.referrers(&child, field, row.id)?.first() {
                return Err(Violation::Listed { id: row.id, by: (*entity).to_owned(), by_id: by.id }.into());
            }
        }
        self.push(def, Some(row.clone()), None);
        Ok(())
    }

    /// Sets a reference to null.
    fn forget(&mut self, def: &EntityDef, field: &str, row: Row) {
        let mut document = (*row.document).clone();
        if let Value::Object(fields) = &mut document {
            fields.insert(field.to_owned(), Value::Null);
        }
        let after = Row { document: Arc::new(document), ..row.clone() };
        let index = Index::of(def, after.workspace, &after.document);
        self.push(def, Some(row), Some((after, index)));
    }

    /// Stored referrers and settled ones, as they will be.
    fn referrers(&mut self, child: &EntityDef, field: &str, parent: Uuid) -> Result<Vec<Row>, StoreError> {
        let mut found = self.rows.referrers(&child.name, field, parent)?;
        if self.documents.is_empty() {
            return Ok(found);
        }
        found.retain(|row| !self.documents.contains_key(&(Arc::from(child.name.as_ref()), row.id)));
        let settled = self.documents.iter().filter(|((entity, _), _)| **entity == *child.name);
        let refers =
            |row: &&Row| Index::of(child, row.workspace, &row.document).references.contains(&(field.into(), parent));
        found.extend(settled.filter_map(|(_, row)| row.as_ref()).filter(refers).cloned());
        Ok(found)
    }

    fn push(&mut self, def: &EntityDef, before: Option<Row>, after: Option<(Row, Index)>) {
        let Some((id, workspace)) = after.as_ref().map(|(r, _)| r).or(before.as_ref()).map(|r| (r.id, r.workspace))
        else {
            return;
        };
        let entity: Arc<str> = def.name.as_ref().into();
        let before_index = before.as_ref().map(|row| Index::of(def, row.workspace, &row.document)).unwrap_or_default();
        let (after_row, after_index) = after.map_or((None, Index::default()), |(row, index)| (Some(row), index));
        for key in &before_index.keys {
            self.keys.insert(key.clone(), None);
        }
        for key in &after_index.keys {
            self.keys.insert(key.clone(), Some(id));
        }
        let change = Change {
            entity: Arc::clone(&entity),
            id,
            workspace,
            before: before.map(|row| row.document),
            after: after_row.as_ref().map(|row| Arc::clone(&row.document)),
        };
        self.documents.insert((entity, id), after_row);
        self.settled.push(Settled { change, before: before_index, after: after_index });
    }
}

/// The values of a key, as a client wrote them.
fn key_fields(def: &EntityDef, key: &Key, document: &Value) -> Map<String, Value> {
    let value = |field: &str| document.get(field).cloned().unwrap_or(Value::Null);
    let mut fields: Vec<&str> = key.name.split(',').collect();
    fields.sort_unstable();
    let additive =
        |field: &&str| !def.record.get(field).is_some_and(gibbon_schema::Field::is_additive) || !value(field).is_null();
    fields.into_iter().filter(additive).map(|field| (field.to_owned(), id_only(value(field)))).collect()
}

fn id_only(value: Value) -> Value {
    match value.get("id") {
        Some(id) => json!({ "id": id }),
        None => value,
    }
}
