//! Rows in memory: for nodes without a datastore, and for tests of the rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use gibbon_model::Registry;
use gibbon_plan::Change;
use uuid::Uuid;

use crate::backend::{Add, Pending, Reader, Reading, Writer};
use crate::error::StoreError;
use crate::query::{Query, Rows, Tagged, Tags};
use crate::row::{self, Index, Key, Row};
use crate::rules::Settled;

/// All rows, with what they are found by.
#[derive(Clone, Debug, Default)]
pub struct Table {
    kinds: BTreeMap<Arc<str>, BTreeMap<Uuid, Row>>,
    keys: HashMap<Key, Uuid>,
    /// Entity, field, what it names, who names it.
    references: BTreeSet<(Arc<str>, Arc<str>, Uuid, Uuid)>,
    tags: BTreeSet<(Tagged, Uuid)>,
    parameters: HashMap<String, String>,
    /// Value and end.
    counters: HashMap<String, (i64, f64)>,
    sequence: u64,
}

impl Table {
    /// Rows of one kind, by identifier.
    pub fn of(&self, entity: &str) -> impl Iterator<Item = &Row> {
        self.kinds.get(entity).into_iter().flat_map(BTreeMap::values)
    }

    /// One row.
    pub fn row(&self, entity: &str, id: Uuid) -> Option<&Row> {
        self.kinds.get(entity)?.get(&id)
    }

    /// The names of all kinds that have rows.
    pub fn kinds(&self) -> impl Iterator<Item = &Arc<str>> {
        self.kinds.keys()
    }

    /// Applies changes that are settled.
    pub fn apply(&mut self, changes: &[Settled]) -> u64 {
        for settled in changes {
            self.take_out(&settled.change, &settled.before);
            self.put_in(&settled.change, &settled.after);
            self.sequence += 1;
        }
        self.sequence
    }

    fn take_out(&mut self, change: &Change, index: &Index) {
        if change.before.is_none() {
            return;
        }
        if let Some(rows) = self.kinds.get_mut(&change.entity) {
            rows.remove(&change.id);
            if rows.is_empty() {
                self.kinds.remove(&change.entity);
            }
        }
        for key in &index.keys {
            if self.keys.get(key) == Some(&change.id) {
                self.keys.remove(key);
            }
        }
        for (field, parent) in &index.references {
            self.references.remove(&(Arc::clone(&change.entity), Arc::clone(field), *parent, change.id));
        }
        for tag in &index.tags {
            self.tags.remove(&(tagged(change, tag), change.workspace));
        }
    }

    fn put_in(&mut self, change: &Change, index: &Index) {
        let Some(document) = &change.after else { return };
        let row = Row { id: change.id, workspace: change.workspace, document: Arc::clone(document) };
        self.kinds.entry(Arc::clone(&change.entity)).or_default().insert(change.id, row);
        for key in &index.keys {
            self.keys.insert(key.clone(), change.id);
        }
        for (field, parent) in &index.references {
            self.references.insert((Arc::clone(&change.entity), Arc::clone(field), *parent, change.id));
        }
        for tag in &index.tags {
            self.tags.insert((tagged(change, tag), change.workspace));
        }
    }

    fn referring<'a>(
        &'a self,
        entity: &'a Arc<str>,
        field: &'a Arc<str>,
        parent: Uuid,
        after: Bound<Uuid>,
    ) -> impl Iterator<Item = &'a Row> {
        let place = |id| (Arc::clone(entity), Arc::clone(field), parent, id);
        let end = Bound::Included(place(Uuid::max()));
        let ids = self.references.range((after.map(place), end)).map(|(.., id)| *id);
        ids.filter_map(move |id| self.row(entity, id))
    }
}

fn tagged(change: &Change, tag: &str) -> Tagged {
    Tagged { entity: Arc::clone(&change.entity), id: change.id, tag: tag.into() }
}

impl Rows for &Table {
    fn get(&mut self, entity: &str, id: Uuid) -> Result<Option<Row>, StoreError> {
        Ok(self.row(entity, id).cloned())
    }

    fn owner(&mut self, key: &Key) -> Result<Option<Uuid>, StoreError> {
        Ok(self.keys.get(key).copied())
    }

    fn page(&mut self, query: &Query) -> Result<Vec<Row>, StoreError> {
        let wanted = |row: &&Row| {
            query.workspace.is_none_or(|w| w == row.workspace)
                && (query.tags == Tags::Whatever || query.tags.admit(&row::tags(&row.document)))
        };
        let after = query.after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = match &query.parent {
            Some((field, parent)) => {
                let first = query.after.map_or(Bound::Included(Uuid::nil()), Bound::Excluded);
                self.referring(&query.entity, field, *parent, first).filter(wanted).take(query.limit).cloned().collect()
            }
            None => {
                let rows =
                    self.kinds.get(&query.entity).into_iter().flat_map(|rows| rows.range((after, Bound::Unbounded)));
                rows.map(|(_, row)| row).filter(wanted).take(query.limit).cloned().collect()
            }
        };
        Ok(rows)
    }

    fn referrers(&mut self, entity: &str, field: &str, parent: Uuid) -> Result<Vec<Row>, StoreError> {
        Ok(self.referring(&entity.into(), &field.into(), parent, Bound::Included(Uuid::nil())).cloned().collect())
    }

    fn tagged(
        &mut self,
        workspace: Uuid,
        tag: Option<&str>,
        after: Option<&Tagged>,
        limit: usize,
    ) -> Result<Vec<Tagged>, StoreError> {
        let start = after.map_or(Bound::Unbounded, |place| Bound::Excluded((place.clone(), Uuid::max())));
        let rows = self.tags.range((start, Bound::Unbounded));
        let mine = rows.filter(|(row, at)| (at.is_nil() || *at == workspace) && tag.is_none_or(|tag| &*row.tag == tag));
        Ok(mine.map(|(row, _)| row.clone()).take(limit).collect())
    }

    fn sequence(&mut self) -> Result<u64, StoreError> {
        Ok(self.sequence)
    }

    fn changes_after(&mut self, sequence: u64, _limit: usize) -> Result<Option<Vec<(u64, Change)>>, StoreError> {
        // Nobody else writes here, so there is nothing to learn.
        Ok((sequence == self.sequence).then(Vec::new))
    }

    fn expired(&mut self, now: f64, limit: usize) -> Result<Vec<(Arc<str>, Uuid, Uuid)>, StoreError> {
        let all = self.kinds.iter().flat_map(|(entity, rows)| rows.values().map(move |row| (entity, row)));
        let over = all.filter(|(_, row)| row.is_expired(now));
        Ok(over.map(|(entity, row)| (Arc::clone(entity), row.workspace, row.id)).take(limit).collect())
    }

    fn parameter(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(self.parameters.get(name).cloned())
    }
}

/// A table that is shared.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<RwLock<Table>>);

impl Memory {
    /// Puts another table in the place of this one.
    pub fn replace(&self, table: Table) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *current, table);
        // Freeing a large table takes a while; readers need not wait for it.
        drop(current);
        drop(old);
    }

    /// Looks at the table as it is.
    pub fn look<T>(&self, at: impl FnOnce(&Table) -> T) -> T {
        at(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Reader for Memory {
    fn read(&self, reading: Reading) -> Pending<'_, Result<(), StoreError>> {
        Box::pin(async move {
            self.look(|table| reading(&mut &*table));
            Ok(())
        })
    }
}

/// Writes to a table in memory: on a copy, which takes the place of the table when all is done. Fit for small tables;
/// a node without a datastore changes its table as a whole and needs no writer.
pub struct MemoryWriter {
    memory: Memory,
    copy: Table,
}

impl MemoryWriter {
    pub fn new(memory: Memory) -> Self {
        MemoryWriter { memory, copy: Table::default() }
    }
}

impl Writer for MemoryWriter {
    fn begin(&mut self) -> Result<(), StoreError> {
        self.copy = self.memory.look(Table::clone);
        Ok(())
    }

    fn read(&mut self, reading: &mut dyn FnMut(&mut dyn Rows)) {
        reading(&mut &self.copy);
    }

    fn write(&mut self, changes: &[Settled]) -> Result<u64, StoreError> {
        Ok(self.copy.apply(changes))
    }

    fn set_parameter(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        self.copy.parameters.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn count(&mut self, add: &Add) -> Result<i64, StoreError> {
        let (value, expires) = self.copy.counters.entry(add.name.clone()).or_insert((0, add.expires));
        if *expires <= add.now {
            (*value, *expires) = (0, add.expires);
        }
        *value += add.by;
        Ok(*value)
    }

    fn forget_counters(&mut self, now: f64) -> Result<(), StoreError> {
        self.copy.counters.retain(|_, (_, expires)| *expires > now);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.memory.replace(std::mem::take(&mut self.copy));
        Ok(())
    }

    fn rollback(&mut self) {
        self.copy = Table::default();
    }
}

/// A table of these rows, or the first contradiction between them.
///
/// # Errors
/// As [`crate::rules::settle`].
pub fn table_of(registry: &Registry, writes: &[crate::rules::Write], now: f64) -> Result<Table, crate::ChangeError> {
    let mut table = Table::default();
    let settled = crate::rules::settle(registry, &mut &table, writes, now)?;
    table.apply(&settled);
    table.sequence = 0;
    Ok(table)
}
