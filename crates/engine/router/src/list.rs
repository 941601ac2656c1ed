//! Entries in descending rank: one in the common case, in shared chunks when there are many.

use std::sync::Arc;

use crate::entry::Entry;
use crate::radix::Slot;

/// Entries per chunk: what an insertion copies at most.
const CHUNK: usize = 64;

type Chunk<T> = Arc<Vec<Arc<Entry<T>>>>;

#[derive(Clone, Default)]
pub(crate) enum List<T> {
    #[default]
    Empty,
    /// An entry without rules: it and its value are at hand without a jump in memory.
    Plain(T, Arc<Entry<T>>),
    One(Arc<Entry<T>>),
    /// No chunk is empty; chunks and entries descend in rank.
    Many(Arc<Vec<Chunk<T>>>),
}

impl<T: Clone> Slot for List<T> {
    fn is_empty(&self) -> bool {
        matches!(self, List::Empty)
    }

    fn top(&self) -> u64 {
        self.iter().next().map_or(0, |entry| entry.rank.top())
    }
}

impl<T: Clone> List<T> {
    fn of(entry: Arc<Entry<T>>) -> List<T> {
        if entry.rules.is_none() { List::Plain(entry.value.clone(), entry) } else { List::One(entry) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Entry<T>>> {
        let (one, many) = match self {
            List::Empty => (None, [].as_slice()),
            List::Plain(_, entry) | List::One(entry) => (Some(entry), [].as_slice()),
            List::Many(chunks) => (None, chunks.as_slice()),
        };
        one.into_iter().chain(many.iter().flat_map(|chunk| chunk.iter()))
    }

    pub(crate) fn insert(&mut self, entry: Arc<Entry<T>>) {
        match self {
            List::Empty => *self = List::of(entry),
            List::Plain(_, first) | List::One(first) => {
                let mut both = vec![first.clone(), entry];
                both.sort_by(|a, b| b.order(a));
                *self = List::Many(Arc::new(vec![Arc::new(both)]));
            }
            List::Many(chunks) => insert_into(Arc::make_mut(chunks), entry),
        }
    }

    /// Takes out this very entry.
    pub(crate) fn remove(&mut self, entry: &Arc<Entry<T>>) {
        match self {
            List::Plain(_, only) | List::One(only) if Arc::ptr_eq(only, entry) => *self = List::Empty,
            List::Empty | List::Plain(..) | List::One(_) => {}
            List::Many(chunks) => {
                remove_from(Arc::make_mut(chunks), entry);
                match chunks.as_slice() {
                    [] => *self = List::Empty,
                    [chunk] => {
                        if let [only] = chunk.as_slice() {
                            *self = List::of(only.clone());
                        }
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The chunk in which `entry` belongs: the last whose first entry ranks no lower.
fn chunk_of<T>(chunks: &[Chunk<T>], entry: &Entry<T>) -> usize {
    chunks.partition_point(|chunk| chunk.first().is_some_and(|first| first.order(entry).is_ge())).saturating_sub(1)
}

fn insert_into<T>(chunks: &mut Vec<Chunk<T>>, entry: Arc<Entry<T>>) {
    let index = chunk_of(chunks, &entry);
    let Some(chunk) = chunks.get_mut(index) else {
        chunks.push(Arc::new(vec![entry]));
        return;
    };
    let chunk = Arc::make_mut(chunk);
    let at = chunk.partition_point(|other| other.order(&entry).is_ge());
    chunk.insert(at, entry);
    if chunk.len() > CHUNK {
        let tail = chunk.split_off(CHUNK / 2);
        chunks.insert(index + 1, Arc::new(tail));
    }
}

fn remove_from<T>(chunks: &mut Vec<Chunk<T>>, entry: &Arc<Entry<T>>) {
    // Entries of equal rank may fill more than one chunk: look back from the last place it can be in.
    for index in (0..=chunk_of(chunks, entry)).rev() {
        let Some(chunk) = chunks.get_mut(index) else { return };
        if let Some(at) = chunk.iter().position(|other| Arc::ptr_eq(other, entry)) {
            let chunk = Arc::make_mut(chunk);
            chunk.remove(at);
            if chunk.is_empty() {
                chunks.remove(index);
            }
            return;
        }
    }
}
