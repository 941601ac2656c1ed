//! A backend whose secrets are sealed: what goes in is encrypted, what comes out is clear, and the backend knows nothing of it.
//! Rows that were written in clear are read as they are.

use std::sync::Arc;

use gibbon_model::Registry;
use gibbon_plan::Change;
use serde_json::Value;
use uuid::Uuid;

use super::{Keyring, KeyringChange, KeyringError, MARK, PARAMETER};
use crate::backend::{Add, Pending, Reader, Reading, Writer};
use crate::error::StoreError;
use crate::query::{Query, Rows, Tagged, Tags};
use crate::row::{Index, Key, Row};
use crate::rules::Settled;

/// How many rows are sealed anew at a time.
const CHUNK: usize = 1_000;
const LOCKED: &str = "the keyring is locked: its keys cannot be opened with keyring_private_key; recover it with \
                      POST /keyring/recover";

/// Readers of a sealed backend.
pub struct Sealed {
    inner: Arc<dyn Reader>,
    keyring: Arc<Keyring>,
}

impl Sealed {
    /// In front of readers.
    #[must_use]
    pub fn new(inner: Arc<dyn Reader>, keyring: Arc<Keyring>) -> Self {
        Sealed { inner, keyring }
    }
}

impl Reader for Sealed {
    fn read(&self, reading: Reading) -> Pending<'_, Result<(), StoreError>> {
        if self.keyring.is_locked() {
            return Box::pin(std::future::ready(Err(StoreError::new(LOCKED))));
        }
        let keyring = Arc::clone(&self.keyring);
        self.inner.read(Box::new(move |rows| reading(&mut Clear { rows, keyring: &keyring })))
    }
}

/// The writer of a sealed backend.
pub struct SealedWriter {
    inner: Box<dyn Writer>,
    keyring: Arc<Keyring>,
    registry: Arc<Registry>,
}

impl SealedWriter {
    /// In front of a writer. Keys are read, or, if there are none yet, the first one is made.
    ///
    /// # Errors
    /// Those of the store.
    pub fn open(inner: Box<dyn Writer>, keyring: Arc<Keyring>, registry: Arc<Registry>) -> Result<Self, StoreError> {
        let mut writer = SealedWriter { inner, keyring, registry };
        writer.inner.begin()?;
        let done = writer.take_in().and_then(|()| match writer.keyring.with(|inner| inner.stored.is_some()) {
            true => Ok(()),
            false => writer.change_keyring(&KeyringChange::Generate(Keyring::new_id())),
        });
        match done {
            Ok(()) => writer.inner.commit().map(|()| writer),
            Err(error) => {
                writer.inner.rollback();
                Err(error)
            }
        }
    }

    /// What other nodes made of the keyring.
    fn take_in(&mut self) -> Result<(), StoreError> {
        if let Some(stored) = stored(&mut *self.inner)? {
            self.keyring.take_in(&stored);
        }
        Ok(())
    }

    fn change_keyring(&mut self, change: &KeyringChange) -> Result<(), StoreError> {
        let (ring, text) = self.keyring.changed(change)?;
        if let KeyringChange::Remove(id) = change
            && let Some(kind) = self.find_sealed_with(id)?
        {
            return Err(KeyringError::InUse { id: id.clone(), kind }.into());
        }
        self.inner.set_parameter(PARAMETER, &text)?;
        self.keyring.set(ring, text);
        match change {
            KeyringChange::Activate(_) => self.seal_anew(),
            _ => Ok(()),
        }
    }

    /// Kinds that may hold secrets.
    fn kinds(&self) -> Vec<Arc<str>> {
        self.registry.iter().filter(|def| def.record.has_encrypted()).map(|def| Arc::from(&*def.name)).collect()
    }

    /// Hands all rows of kinds that may hold secrets to `take`, as they are stored.
    fn each_stored(
        &mut self,
        mut take: impl FnMut(&mut Self, &Arc<str>, Vec<Row>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        for kind in self.kinds() {
            let mut after = None;
            loop {
                let query = Query {
                    entity: Arc::clone(&kind),
                    workspace: None,
                    parent: None,
                    tags: Tags::Whatever,
                    after,
                    limit: CHUNK,
                };
                let mut page = Ok(Vec::new());
                self.inner.read(&mut |rows| page = rows.page(&query));
                let page = page?;
                let Some(last) = page.last() else { break };
                after = Some(last.id);
                if !take(self, &kind, page)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn find_sealed_with(&mut self, id: &str) -> Result<Option<String>, StoreError> {
        let mark = format!("{MARK}{id}$");
        let mut found = None;
        self.each_stored(|_, kind, page| {
            if page.iter().any(|row| row.document.to_string().contains(&mark)) {
                found = Some(kind.to_string());
            }
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Everything stored, also in clear, is sealed with the active key.
    fn seal_anew(&mut self) -> Result<(), StoreError> {
        self.each_stored(|writer, kind, page| {
            let Some(def) = writer.registry.get(kind).map(Arc::clone) else { return Ok(true) };
            let mut changes = Vec::new();
            for row in page {
                let clear = clear(&writer.keyring, kind, row.id, &row.document)?;
                let sealed = writer.sealed(kind, row.id, &clear)?;
                if *sealed != *row.document {
                    let change = Change {
                        entity: Arc::clone(kind),
                        id: row.id,
                        workspace: row.workspace,
                        before: Some(row.document),
                        after: Some(sealed),
                    };
                    let index = Index::of(&def, row.workspace, &clear);
                    changes.push(Settled { change, before: index.clone(), after: index });
                }
            }
            writer.inner.write(&changes).map(|_| true)
        })
    }

    fn sealed(&self, kind: &str, id: Uuid, document: &Arc<Value>) -> Result<Arc<Value>, StoreError> {
        let Some(def) = self.registry.get(kind).filter(|def| def.record.has_encrypted()) else {
            return Ok(Arc::clone(document));
        };
        let Some(mut fields) = document.as_object().cloned() else { return Ok(Arc::clone(document)) };
        let (of, mut failed) = (name(kind, id), None);
        def.record.change_encrypted(&mut fields, &mut |value| match self.keyring.seal(&of, value) {
            Ok(sealed) => *value = sealed,
            Err(error) => failed = Some(error),
        });
        failed.map_or_else(|| Ok(Arc::new(Value::Object(fields))), Err)
    }
}

impl Writer for SealedWriter {
    fn is_locked(&self) -> bool {
        self.keyring.is_locked()
    }

    fn begin(&mut self) -> Result<(), StoreError> {
        if self.keyring.is_locked() {
            return Err(StoreError::new(LOCKED));
        }
        self.inner.begin()?;
        self.take_in().inspect_err(|_| self.inner.rollback())
    }

    fn read(&mut self, reading: &mut dyn FnMut(&mut dyn Rows)) {
        let keyring = &self.keyring;
        self.inner.read(&mut |rows| reading(&mut Clear { rows, keyring }));
    }

    fn write(&mut self, changes: &[Settled]) -> Result<u64, StoreError> {
        let seal = |settled: &Settled| {
            let change = &settled.change;
            let sealed = |document: &Option<Arc<Value>>| {
                document.as_ref().map(|document| self.sealed(&change.entity, change.id, document)).transpose()
            };
            let change = Change { before: sealed(&change.before)?, after: sealed(&change.after)?, ..change.clone() };
            Ok(Settled { change, ..settled.clone() })
        };
        let changes = changes.iter().map(seal).collect::<Result<Vec<_>, StoreError>>()?;
        self.inner.write(&changes)
    }

    fn set_parameter(&mut self, parameter: &str, value: &str) -> Result<(), StoreError> {
        match KeyringChange::of_text(value) {
            Some(change) if parameter == PARAMETER => self.change_keyring(&change),
            _ => self.inner.set_parameter(parameter, value),
        }
    }

    fn count(&mut self, add: &Add) -> Result<i64, StoreError> {
        self.inner.count(add)
    }

    fn forget_counters(&mut self, now: f64) -> Result<(), StoreError> {
        self.inner.forget_counters(now)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.inner.commit()
    }

    fn rollback(&mut self) {
        self.inner.rollback();
    }
}

fn stored(writer: &mut dyn Writer) -> Result<Option<String>, StoreError> {
    let mut stored = Ok(None);
    writer.read(&mut |rows| stored = rows.parameter(PARAMETER));
    stored
}

/// What a value belongs to.
fn name(kind: &str, id: Uuid) -> String {
    format!("{kind} {id}")
}

/// Rows with their secrets in clear.
struct Clear<'a> {
    rows: &'a mut dyn Rows,
    keyring: &'a Keyring,
}

impl Clear<'_> {
    fn row(&mut self, kind: &str, row: Row) -> Result<Row, StoreError> {
        Ok(Row { document: self.document(kind, row.id, &row.document)?, ..row })
    }

    /// A key that is not known may have been made by another node meanwhile.
    fn document(&mut self, kind: &str, id: Uuid, document: &Arc<Value>) -> Result<Arc<Value>, StoreError> {
        match clear(self.keyring, kind, id, document) {
            Ok(document) => Ok(document),
            Err(error) => match self.rows.parameter(PARAMETER)? {
                Some(stored) => {
                    self.keyring.take_in(&stored);
                    clear(self.keyring, kind, id, document)
                }
                None => Err(error),
            },
        }
    }
}

/// A document with its secrets in clear.
fn clear(keyring: &Keyring, kind: &str, id: Uuid, document: &Arc<Value>) -> Result<Arc<Value>, StoreError> {
    if !has_sealed(document) {
        return Ok(Arc::clone(document));
    }
    let mut opened = Value::clone(document);
    open_within(keyring, &name(kind, id), &mut opened)?;
    Ok(Arc::new(opened))
}

fn has_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with(MARK),
        Value::Array(items) => items.iter().any(has_sealed),
        Value::Object(fields) => fields.values().any(has_sealed),
        _ => false,
    }
}

fn open_within(keyring: &Keyring, of: &str, value: &mut Value) -> Result<(), StoreError> {
    match value {
        Value::String(text) if text.starts_with(MARK) => match keyring.open(of, text)? {
            Some(clear) => *value = clear,
            None => return Err(StoreError::new(format!("a secret of {of} is encrypted with a key that is not here"))),
        },
        Value::Array(items) => {
            for item in items {
                open_within(keyring, of, item)?;
            }
        }
        Value::Object(fields) => {
            for field in fields.values_mut() {
                open_within(keyring, of, field)?;
            }
        }
        _ => {}
    }
    Ok(())
}

impl Rows for Clear<'_> {
    fn get(&mut self, entity: &str, id: Uuid) -> Result<Option<Row>, StoreError> {
        let row = self.rows.get(entity, id)?;
        row.map(|row| self.row(entity, row)).transpose()
    }

    fn owner(&mut self, key: &Key) -> Result<Option<Uuid>, StoreError> {
        self.rows.owner(key)
    }

    fn page(&mut self, query: &Query) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows.page(query)?;
        rows.into_iter().map(|row| self.row(&query.entity, row)).collect()
    }

    fn referrers(&mut self, entity: &str, field: &str, parent: Uuid) -> Result<Vec<Row>, StoreError> {
        let rows = self.rows.referrers(entity, field, parent)?;
        rows.into_iter().map(|row| self.row(entity, row)).collect()
    }

    fn tagged(
        &mut self,
        workspace: Uuid,
        tag: Option<&str>,
        after: Option<&Tagged>,
        limit: usize,
    ) -> Result<Vec<Tagged>, StoreError> {
        self.rows.tagged(workspace, tag, after, limit)
    }

    fn sequence(&mut self) -> Result<u64, StoreError> {
        self.rows.sequence()
    }

    /// Changes of before the keys they were made with were removed are no longer known.
    fn changes_after(&mut self, sequence: u64, limit: usize) -> Result<Option<Vec<(u64, Change)>>, StoreError> {
        let Some(changes) = self.rows.changes_after(sequence, limit)? else { return Ok(None) };
        let mut opened = Vec::with_capacity(changes.len());
        for (number, change) in changes {
            let open = |clear: &mut Self, document: &Option<Arc<Value>>| {
                document.as_ref().map(|document| clear.document(&change.entity, change.id, document)).transpose()
            };
            let (Ok(before), Ok(after)) = (open(self, &change.before), open(self, &change.after)) else {
                return Ok(None);
            };
            opened.push((number, Change { before, after, ..change.clone() }));
        }
        Ok(Some(opened))
    }

    fn expired(&mut self, now: f64, limit: usize) -> Result<Vec<(Arc<str>, Uuid, Uuid)>, StoreError> {
        self.rows.expired(now, limit)
    }

    fn parameter(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        self.rows.parameter(name)
    }
}
