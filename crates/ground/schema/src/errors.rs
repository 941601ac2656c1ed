//! The faults of a document as a tree that mirrors the document, and the message made from it.
//!
//! All faults are collected; nothing stops at the first one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::lua_text;

/// Above this index a list of errors is written as an object, so that one bad item far out cannot blow up the answer.
const MAX_LIST_WITH_HOLES: usize = 32_768;

/// What is wrong with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorTree {
    /// A fault of the value itself.
    Message(String),
    /// Faults of items of an array or set, by position from zero.
    Items(BTreeMap<usize, ErrorTree>),
    /// Faults of the fields of a record, and of the record as a whole.
    Fields(Faults),
}

/// The faults of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Faults that concern several fields at once; shown under `@entity`.
    pub entity: Vec<String>,
    /// Faults by field.
    pub fields: BTreeMap<String, ErrorTree>,
}

impl From<String> for ErrorTree {
    fn from(text: String) -> Self {
        ErrorTree::Message(text)
    }
}

impl From<&str> for ErrorTree {
    fn from(text: &str) -> Self {
        ErrorTree::Message(text.to_owned())
    }
}

impl ErrorTree {
    /// A list of faults by position from zero.
    pub fn items(items: impl IntoIterator<Item = (usize, ErrorTree)>) -> Self {
        ErrorTree::Items(items.into_iter().collect())
    }

    /// The tree in the shape of the answer's `fields`: objects, arrays with nulls where an item is sound, strings.
    pub fn to_json(&self) -> Value {
        match self {
            ErrorTree::Message(text) => Value::String(text.clone()),
            ErrorTree::Items(items) => items_to_json(items),
            ErrorTree::Fields(faults) => faults.to_json(),
        }
    }

    fn merge(&mut self, other: ErrorTree) {
        match (self, other) {
            (ErrorTree::Fields(mine), ErrorTree::Fields(theirs)) => mine.merge(theirs),
            (ErrorTree::Items(mine), ErrorTree::Items(theirs)) => {
                for (index, tree) in theirs {
                    match mine.get_mut(&index) {
                        Some(present) => present.merge(tree),
                        None => {
                            mine.insert(index, tree);
                        }
                    }
                }
            }
            (mine, theirs) => *mine = theirs,
        }
    }
}

fn items_to_json(items: &BTreeMap<usize, ErrorTree>) -> Value {
    let last = items.keys().next_back().copied().unwrap_or(0);
    if last >= MAX_LIST_WITH_HOLES {
        return Value::Object(items.iter().map(|(i, t)| ((i + 1).to_string(), t.to_json())).collect());
    }
    (0..=last).map(|i| items.get(&i).map_or(Value::Null, ErrorTree::to_json)).collect()
}

impl Faults {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entity.is_empty() && self.fields.is_empty()
    }

    /// Notes one message for a field, replacing an earlier one.
    pub fn insert(&mut self, field: &str, message: impl Into<String>) {
        self.insert_tree(field, ErrorTree::Message(message.into()));
    }

    /// Notes the faults of a field, replacing earlier ones.
    pub fn insert_tree(&mut self, field: &str, tree: ErrorTree) {
        self.fields.insert(field.to_owned(), tree);
    }

    /// Notes a fault of a nested field given as a path such as `config.redis.host`.
    pub fn insert_at(&mut self, path: &str, tree: ErrorTree) {
        match path.split_once('.') {
            None => {
                self.fields.insert(path.to_owned(), tree);
            }
            Some((head, rest)) => {
                let child = self.fields.entry(head.to_owned()).or_insert_with(|| ErrorTree::Fields(Faults::default()));
                if !matches!(child, ErrorTree::Fields(_)) {
                    *child = ErrorTree::Fields(Faults::default());
                }
                if let ErrorTree::Fields(faults) = child {
                    faults.insert_at(rest, tree);
                }
            }
        }
    }

    /// The faults noted for a path such as `config.redis.host`, if any.
    pub fn at(&self, path: &str) -> Option<&ErrorTree> {
        match path.split_once('.') {
            None => self.fields.get(path),
            Some((head, rest)) => match self.fields.get(head)? {
                ErrorTree::Fields(faults) => faults.at(rest),
                whole => Some(whole),
            },
        }
    }

    /// Adds all faults of `other`; where both have a message for one field, `other` wins.
    pub fn merge(&mut self, other: Faults) {
        self.entity.extend(other.entity);
        for (name, tree) in other.fields {
            match self.fields.get_mut(&name) {
                Some(mine) => mine.merge(tree),
                None => {
                    self.fields.insert(name, tree);
                }
            }
        }
    }

    /// The object shown as `fields` in an answer, `@entity` first.
    pub fn to_json(&self) -> Value {
        let mut out = Map::with_capacity(self.fields.len() + 1);
        if !self.entity.is_empty() {
            out.insert("@entity".to_owned(), Value::from(self.entity.clone()));
        }
        for (name, tree) in &self.fields {
            out.insert(name.clone(), tree.to_json());
        }
        Value::Object(out)
    }

    /// `schema violation (host: required field missing)`, or `2 schema violations (…; …)`. One level of nesting is
    /// written with dots, deeper ones as Lua tables.
    pub fn message(&self) -> String {
        let parts = self.message_parts();
        match parts.as_slice() {
            [single] => format!("schema violation ({single})"),
            many => format!("{} schema violations ({})", many.len(), many.join("; ")),
        }
    }

    fn message_parts(&self) -> Vec<String> {
        let mut parts = self.entity.clone();
        for (name, tree) in &self.fields {
            match tree {
                ErrorTree::Message(text) => parts.push(format!("{name}: {text}")),
                ErrorTree::Items(items) => {
                    parts.extend(items.iter().map(|(i, t)| format!("{name}.{}: {}", i + 1, nested(t))));
                }
                ErrorTree::Fields(faults) => {
                    if !faults.entity.is_empty() {
                        let list = ErrorTree::items(faults.entity.iter().cloned().map(ErrorTree::from).enumerate());
                        parts.push(format!("{name}.@entity: {}", lua_text::indented(&list)));
                    }
                    parts.extend(faults.fields.iter().map(|(k, t)| format!("{name}.{k}: {}", nested(t))));
                }
            }
        }
        parts
    }
}

fn nested(tree: &ErrorTree) -> String {
    match tree {
        ErrorTree::Message(text) => text.clone(),
        deeper => lua_text::indented(deeper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_mirrors_the_document_with_nulls_for_sound_items() {
        let mut faults = Faults::default();
        faults.entity.push("e".into());
        faults.insert_tree("protocols", ErrorTree::items([(1, "bad".into())]));
        assert_eq!(faults.to_json(), json!({"@entity": ["e"], "protocols": [null, "bad"]}));
    }

    #[test]
    fn message_counts_and_sorts_with_entity_faults_first() {
        let mut faults = Faults::default();
        faults.insert("b", "two");
        faults.insert("a", "one");
        assert_eq!(faults.message(), "2 schema violations (a: one; b: two)");
        faults.entity.push("zero".into());
        assert_eq!(faults.message(), "3 schema violations (zero; a: one; b: two)");
    }

    #[test]
    fn message_writes_deep_faults_as_lua_tables() {
        let mut faults = Faults::default();
        faults.insert_at("config.redis.host", "required field missing".into());
        assert_eq!(faults.message(), "schema violation (config.redis: {\n  host = \"required field missing\"\n})");
    }
}
