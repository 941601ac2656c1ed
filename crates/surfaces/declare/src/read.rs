//! Taking a file apart: every entity becomes an item of its kind, which remembers its parent and its place in the file.

use std::sync::Arc;

use gibbon_model::{EntityDef, Registry};
use gibbon_schema::{ErrorTree, Faults};
use serde_json::{Map, Value};

use crate::{KindIndex, groups};

/// Where an item is among all items: kind and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemRef {
    pub kind: usize,
    pub at: usize,
}

/// The entity an item was nested in.
#[derive(Clone, Debug)]
pub struct Parent {
    pub item: ItemRef,
    /// The field of the item that refers to it.
    pub field: Arc<str>,
}

/// One entity as the file has it, without those nested in it.
#[derive(Debug)]
pub struct Item {
    pub document: Map<String, Value>,
    pub parent: Option<Parent>,
    /// The item whose list it stands in, if it is not the file's own.
    pub within: Option<ItemRef>,
    /// The key of that list as written, and the position in it.
    pub list: usize,
    pub position: usize,
}

/// All items of a file by kind, in the order of the registry.
pub struct Items {
    pub by_kind: Vec<Vec<Item>>,
    /// Keys of lists as written, so that items can share them.
    pub lists: Vec<String>,
}

/// A list that may stand inside an entity.
struct Nested {
    key: String,
    kind: usize,
    field: Arc<str>,
}

struct Reader<'a> {
    kinds: Vec<&'a EntityDef>,
    nested: Vec<Vec<Nested>>,
    items: Items,
    faults: &'a mut Faults,
}

/// Takes a file apart. Lists that are none, and entities that are none, are noted as faults.
pub fn read(document: Map<String, Value>, registry: &Registry, faults: &mut Faults) -> Items {
    let kinds: Vec<&EntityDef> = registry.iter().map(AsRef::as_ref).collect();
    let index: KindIndex = kinds.iter().enumerate().map(|(i, def)| (def.name.as_ref(), i)).collect();
    let nested = kinds.iter().map(|def| nested_lists(registry, def, &index)).collect();
    let items = Items { by_kind: kinds.iter().map(|_| Vec::new()).collect(), lists: Vec::new() };
    let mut reader = Reader { kinds, nested, items, faults };
    for (key, list) in document {
        let kind = index.get(key.as_str()).copied().filter(|kind| reader.is_declarable(*kind));
        match kind {
            Some(kind) => reader.list(&key, list, kind, None, None),
            None => reader.faults.insert(&key, "unknown field"),
        }
    }
    reader.items
}

/// The lists that may stand inside an entity: those of entities that refer to it, by name or as paths call them.
fn nested_lists(registry: &Registry, def: &EntityDef, index: &KindIndex<'_>) -> Vec<Nested> {
    let mut nested = Vec::new();
    for (child, field) in registry.children(&def.name) {
        let Some(kind) = index.get(child.name.as_ref()) else { continue };
        for key in [&child.name, &child.admin_path, &child.nested_path] {
            if !nested.iter().any(|n: &Nested| n.key == key.as_ref()) {
                nested.push(Nested { key: key.to_string(), kind: *kind, field: field.into() });
            }
        }
    }
    nested
}

impl Reader<'_> {
    fn is_declarable(&self, kind: usize) -> bool {
        self.kinds.get(kind).is_some_and(|def| def.exported)
    }

    fn list(&mut self, key: &str, list: Value, kind: usize, parent: Option<Parent>, within: Option<ItemRef>) {
        let entities = match list {
            Value::Array(entities) => entities,
            Value::Null => return,
            Value::Object(fields) if fields.is_empty() => return,
            _ => return self.fault_of_list(key, within, "expected an array".into()),
        };
        let list = self.items.lists.iter().position(|l| l == key).unwrap_or_else(|| {
            self.items.lists.push(key.to_owned());
            self.items.lists.len() - 1
        });
        for (position, entity) in entities.into_iter().enumerate() {
            let Value::Object(document) = self.spelled_out(kind, entity) else {
                let tree = ErrorTree::items([(position, "expected a record".into())]);
                self.fault_of_list(key, within, tree);
                continue;
            };
            self.entity(Item { document, parent: parent.clone(), within, list, position }, kind);
        }
    }

    /// Names of certificates may be written as texts.
    fn spelled_out(&self, kind: usize, entity: Value) -> Value {
        match (self.kinds.get(kind), entity) {
            (Some(def), Value::String(name)) if def.name == "snis" => {
                Value::Object(Map::from_iter([("name".to_owned(), Value::String(name))]))
            }
            (_, entity) => entity,
        }
    }

    fn entity(&mut self, mut item: Item, kind: usize) {
        item.document.shift_remove("_comment");
        item.document.shift_remove("_ignore");
        let at = self.items.by_kind.get(kind).map_or(0, Vec::len);
        let here = ItemRef { kind, at };
        let lists = self.take_nested(kind, &mut item.document);
        let memberships = self.kinds.get(kind).and_then(|def| groups::take(&def.name, &mut item.document));
        if let Some(items) = self.items.by_kind.get_mut(kind) {
            items.push(item);
        }
        for (key, list, child, field) in lists {
            self.list(&key, list, child, Some(Parent { item: here, field }), Some(here));
        }
        if let Some(memberships) = memberships {
            self.memberships(memberships, here);
        }
    }

    /// Moves the nested lists out of a document.
    fn take_nested(&self, kind: usize, document: &mut Map<String, Value>) -> Vec<(String, Value, usize, Arc<str>)> {
        let nested = self.nested.get(kind).map_or(&[][..], Vec::as_slice);
        let mut lists = Vec::new();
        for Nested { key, kind, field } in nested {
            if let Some(list) = document.shift_remove(key) {
                lists.push((key.clone(), list, *kind, field.clone()));
            }
        }
        lists
    }

    fn memberships(&mut self, memberships: groups::Memberships, here: ItemRef) {
        let Some(kind) = self.kinds.iter().position(|def| def.name == groups::ENTITY) else { return };
        let parent = Parent { item: here, field: memberships.field.into() };
        self.list(memberships.key, memberships.list, kind, Some(parent), Some(here));
    }

    fn fault_of_list(&mut self, key: &str, within: Option<ItemRef>, tree: ErrorTree) {
        let mut faults = Faults::default();
        faults.insert_tree(key, tree);
        match within {
            None => self.faults.merge(faults),
            Some(item) => self.items.note(item, faults, self.faults),
        }
    }
}

impl Items {
    pub fn get(&self, item: ItemRef) -> Option<&Item> {
        self.by_kind.get(item.kind)?.get(item.at)
    }

    /// Notes faults of an item at its place in the file.
    pub fn note(&self, item: ItemRef, found: Faults, faults: &mut Faults) {
        let (mut found, mut at) = (found, item);
        while let Some(item) = self.get(at) {
            let list = ErrorTree::items([(item.position, ErrorTree::Fields(found))]);
            let mut outer = Faults::default();
            outer.insert_tree(self.lists.get(item.list).map_or("", String::as_str), list);
            match item.within {
                Some(parent) => (found, at) = (outer, parent),
                None => return faults.merge(outer),
            }
        }
    }
}
