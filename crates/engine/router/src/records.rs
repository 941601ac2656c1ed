//! The routes of a router by id, so that a change finds what it replaces.
//!
//! A fixed fan of small sorted tables: a change copies one table and the two short arrays above it.

use std::sync::Arc;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::entry::Entry;

const FAN: usize = 64;

pub(crate) struct Record<T> {
    id: Uuid,
    /// Of the route's specification.
    pub(crate) digest: u64,
    pub(crate) entries: SmallVec<[Arc<Entry<T>>; 1]>,
}

impl<T> Clone for Record<T> {
    fn clone(&self) -> Self {
        Record { id: self.id, digest: self.digest, entries: self.entries.clone() }
    }
}

type Table<T> = Arc<Vec<Record<T>>>;

pub(crate) struct Records<T> {
    tables: Vec<Arc<Vec<Table<T>>>>,
    len: usize,
}

impl<T> Clone for Records<T> {
    fn clone(&self) -> Self {
        Records { tables: self.tables.clone(), len: self.len }
    }
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        let empty: Arc<Vec<Table<T>>> = Arc::new(vec![Arc::default(); FAN]);
        Records { tables: vec![empty; FAN], len: 0 }
    }
}

impl<T> Records<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a record; the one it replaces comes back.
    pub(crate) fn insert(&mut self, id: Uuid, digest: u64, entries: SmallVec<[Arc<Entry<T>>; 1]>) -> Option<Record<T>> {
        let record = Record { id, digest, entries };
        let table = self.table(id)?;
        match table.binary_search_by_key(&id, |record| record.id) {
            Ok(index) => table.get_mut(index).map(|old| std::mem::replace(old, record)),
            Err(index) => {
                table.insert(index, record);
                self.len += 1;
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, id: Uuid) -> Option<Record<T>> {
        let table = self.table(id)?;
        let index = table.binary_search_by_key(&id, |record| record.id).ok()?;
        let record = table.remove(index);
        self.len -= 1;
        Some(record)
    }

    /// The table that holds `id`, unshared.
    fn table(&mut self, id: Uuid) -> Option<&mut Vec<Record<T>>> {
        let (high, low) = id.as_u64_pair();
        let hash = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let outer = Arc::make_mut(self.tables.get_mut((hash >> 58) as usize % FAN)?);
        Some(Arc::make_mut(outer.get_mut((hash >> 52) as usize % FAN)?))
    }
}
