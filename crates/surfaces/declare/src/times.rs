//! Times of entities whose file gives none: one for the whole file, and kept when the file is read again.

use gibbon_schema::Sources;
use serde_json::{Map, Value};

use crate::Declared;

const TIMES: [&str; 2] = ["created_at", "updated_at"];

/// Sources whose clock stands still, so that all entities of a file have one time.
pub struct Frozen<'a> {
    now: f64,
    sources: &'a mut dyn Sources,
}

impl<'a> Frozen<'a> {
    pub fn new(sources: &'a mut dyn Sources) -> Self {
        Frozen { now: sources.now(), sources }
    }
}

impl Sources for Frozen<'_> {
    fn now(&mut self) -> f64 {
        self.now
    }

    fn uuid(&mut self) -> String {
        self.sources.uuid()
    }

    fn secret(&mut self) -> String {
        self.sources.secret()
    }
}

impl Declared {
    /// Gives entities the times they had before, where the file gives none: both to those that say what they said
    /// before, and the time of making to the others. Without this a file read twice would seem to change everything.
    ///
    /// `before` finds a document by kind and identifier.
    pub fn keep_times<'a>(&mut self, before: impl Fn(&str, &str) -> Option<&'a Map<String, Value>>) {
        let read_at = self.read_at;
        for (kind, documents) in &mut self.entities {
            for document in documents {
                let id = document.get("id").and_then(Value::as_str);
                if let Some(old) = id.and_then(|id| before(kind, id)) {
                    keep(document, old, read_at);
                }
            }
        }
    }
}

fn keep(document: &mut Map<String, Value>, old: &Map<String, Value>, read_at: f64) {
    let same = document.len() == old.len()
        && document.iter().all(|(name, value)| TIMES.contains(&name.as_str()) || old.get(name) == Some(value));
    for name in TIMES.into_iter().take(if same { 2 } else { 1 }) {
        if let (Some(new), Some(old)) = (document.get_mut(name), old.get(name))
            && is_of_reading(new, read_at)
        {
            new.clone_from(old);
        }
    }
}

/// Whole seconds, or milliseconds for entities that have them.
fn is_of_reading(time: &Value, read_at: f64) -> bool {
    let of_reading = |time: f64| time == read_at.floor() || (time - read_at).abs() < 0.001;
    time.as_f64().is_some_and(of_reading)
}
