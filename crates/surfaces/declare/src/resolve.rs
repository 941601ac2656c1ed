//! From items to complete documents: references become identifiers, defaults are filled in, everything is checked.
//!
//! Kinds are taken in the order of the registry, so that whatever is referred to is known already.

use std::collections::HashMap;

use gibbon_model::{EntityDef, Registry, Write};
use gibbon_schema::{ErrorTree, Faults};
use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::{
    Loader,
    identity::Identities,
    read::{Item, ItemRef, Items, Parent},
};

type Document = Map<String, Value>;

/// What is known of the entities of one kind that have been taken.
#[derive(Default)]
struct Known {
    /// Identifier by position; none if the entity could not be given one.
    ids: Vec<Option<String>>,
    by_id: HashMap<String, usize>,
    /// Identifier by the key that stands for it.
    by_key: HashMap<String, String>,
    /// Values of unique fields, by field and value.
    unique: HashMap<(usize, String), usize>,
}

/// Completes and checks all items.
pub fn resolve(
    mut items: Items,
    loader: &mut Loader<'_>,
    transform: bool,
    faults: &mut Faults,
) -> IndexMap<String, Vec<Document>> {
    let mut resolver =
        Resolver { registry: loader.registry, known: HashMap::new(), partials: HashMap::new(), twice: Vec::new() };
    let mut entities = IndexMap::new();
    for (kind, def) in loader.registry.iter().enumerate() {
        let count = items.by_kind.get(kind).map_or(0, Vec::len);
        if count == 0 {
            continue;
        }
        let mut write = Write { compat: loader.compat, sources: loader.sources, transform };
        let mut identities = Identities::of(def);
        let mut documents = Vec::with_capacity(count);
        resolver.known.insert(def.name.to_string(), Known::default());
        for at in 0..count {
            let Some(item) = items.by_kind.get_mut(kind).and_then(|items| items.get_mut(at)) else { continue };
            let (document, parent) = take(item);
            let place = ItemRef { kind, at };
            match resolver.item(def, place, document, parent, &mut identities, &mut write) {
                Ok(document) => {
                    resolver.keep_partial(def, &document);
                    documents.push(document);
                }
                Err(found) => items.note(place, found, faults),
            }
        }
        entities.insert(def.name.to_string(), documents);
    }
    // As in Kong, that something is there twice is looked at in files that are sound otherwise.
    if faults.is_empty() {
        for (place, message) in resolver.twice {
            items.note(place, Faults { entity: vec![message], ..Faults::default() }, faults);
        }
    }
    entities
}

/// Only the place of an item is needed once its document is taken.
fn take(item: &mut Item) -> (Document, Option<Parent>) {
    (std::mem::take(&mut item.document), item.parent.clone())
}

/// The kind of entity that plugins take settings from.
const PARTIALS: &str = "partials";

struct Resolver<'a> {
    registry: &'a Registry,
    known: HashMap<String, Known>,
    /// Partials that are sound, by identifier.
    partials: HashMap<String, Document>,
    /// Entities that are declared once more, each with what to say of it.
    twice: Vec<(ItemRef, String)>,
}

impl Resolver<'_> {
    fn item(
        &mut self,
        def: &EntityDef,
        place: ItemRef,
        mut document: Document,
        parent: Option<Parent>,
        identities: &mut Identities<'_>,
        write: &mut Write<'_>,
    ) -> Result<Document, Faults> {
        let mut faults = Faults::default();
        if let Some(parent) = &parent {
            self.refer_to_parent(def, parent, &mut document);
        }
        let resolved = parent.as_ref().map(|parent| parent.field.as_ref());
        for (field, foreign) in def.foreign_fields().filter(|(field, _)| Some(*field) != resolved) {
            if let Some(reference) = document.get_mut(field)
                && let Err(tree) = self.reference(field, &foreign.entity, reference)
            {
                faults.insert_tree(field, tree);
            }
        }
        if let Some(canonicalise) = def.canonicalise {
            canonicalise(&mut document);
        }
        identities.assign(&mut document);
        self.register(def, place, &document);
        if !faults.is_empty() {
            // The other faults of the entity are still to be found, without those of references again.
            for field in faults.fields.keys() {
                if def.foreign_fields().any(|(name, _)| name == field) {
                    document.shift_remove(field);
                }
            }
        }
        match def.insert_linked(document, write, &|key| self.partial(key)) {
            Ok(document) if faults.is_empty() => Ok(document),
            Ok(_) => Err(faults),
            Err(mut found) => {
                // That there is another like it is said of sound entities only, as in Kong.
                faults.entity.clear();
                found.merge(faults);
                Err(found)
            }
        }
    }

    fn keep_partial(&mut self, def: &EntityDef, document: &Document) {
        if def.name == PARTIALS
            && let Some(id) = id_of(def, document)
        {
            self.partials.insert(id, document.clone());
        }
    }

    /// A partial by identifier or name.
    fn partial(&self, key: &str) -> Option<Document> {
        let known = self.known.get(PARTIALS)?;
        let id = if known.by_id.contains_key(key) { key } else { known.by_key.get(key)? };
        self.partials.get(id).cloned()
    }

    fn refer_to_parent(&self, def: &EntityDef, parent: &Parent, document: &mut Document) {
        let entity =
            def.foreign_fields().find(|(name, _)| *name == parent.field.as_ref()).map(|(_, foreign)| &foreign.entity);
        let known = entity.and_then(|entity| self.known.get(entity.as_ref()));
        if let Some(Some(id)) = known.and_then(|known| known.ids.get(parent.item.at)) {
            document.insert(parent.field.to_string(), by_id(id));
        }
    }

    /// Turns a reference as files write it into one by identifier.
    fn reference(&self, field: &str, entity: &str, reference: &mut Value) -> Result<(), ErrorTree> {
        let known = self.known.get(entity);
        let (key, value) = match &*reference {
            Value::Null => return Ok(()),
            Value::String(text) => (field.to_owned(), text.clone()),
            Value::Object(fields) => match self.named_in(entity, fields) {
                Some(named) => named,
                None => return unresolvable(fields),
            },
            _ => return Err("expected a string".into()),
        };
        let id = known.and_then(
            |known| {
                if known.by_id.contains_key(&value) { Some(&value) } else { known.by_key.get(&value) }
            },
        );
        match id {
            Some(id) => {
                *reference = by_id(id);
                Ok(())
            }
            None => Err(format!("invalid reference '{key}: {value}' (no such entity in '{entity}')").into()),
        }
    }

    /// `{"id": "…"}` or `{"name": "…"}` as key and value.
    fn named_in(&self, entity: &str, fields: &Document) -> Option<(String, String)> {
        let text = |field: &str| fields.get(field).and_then(Value::as_str).map(|v| (field.to_owned(), v.to_owned()));
        let key = self.registry.get(entity).and_then(|def| def.endpoint_key.as_deref());
        text("id").or_else(|| text(key?))
    }

    /// Makes an entity known to those that come after, and sees that there is no other like it.
    fn register(&mut self, def: &EntityDef, place: ItemRef, document: &Document) {
        let known = self.known.entry(def.name.to_string()).or_default();
        let at = known.ids.len();
        let id = id_of(def, document);
        known.ids.push(id.clone());
        let Some(id) = id else { return };
        if known.by_id.contains_key(&id) {
            self.twice.push((place, already_declared(def, "primary key", &id)));
            return;
        }
        known.by_id.insert(id.clone(), at);
        if let Some(key) = def.endpoint_key.as_deref().and_then(|key| document.get(key)?.as_str()) {
            // Where the key is not unique by itself (targets), the first one is meant.
            known.by_key.entry(key.to_owned()).or_insert_with(|| id.clone());
        }
        for (number, (field, _)) in def.unique_fields().enumerate() {
            let Some(value) = document.get(field).and_then(reference_or_text) else { continue };
            if known.unique.insert((number, value.to_owned()), at).is_some() {
                self.twice.push((place, already_declared(def, field, value)));
            }
        }
    }
}

fn already_declared(def: &EntityDef, key: &str, value: &str) -> String {
    format!("uniqueness violation: '{}' entity with {key} set to '{value}' already declared", def.name)
}

fn reference_or_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("id")?.as_str())
}

fn id_of(def: &EntityDef, document: &Document) -> Option<String> {
    let key: Vec<&str> = def.primary_key.iter().filter_map(|k| document.get(k.as_ref())?.as_str()).collect();
    (key.len() == def.primary_key.len()).then(|| key.join(":"))
}

fn by_id(id: &str) -> Value {
    Value::Object(Map::from_iter([("id".to_owned(), Value::String(id.to_owned()))]))
}

/// A reference that gives neither an identifier nor the key of the entity.
fn unresolvable(fields: &Document) -> Result<(), ErrorTree> {
    let mut faults = Faults::default();
    match fields.keys().next() {
        None => faults.insert("id", "missing primary key"),
        Some(_) => fields.keys().for_each(|name| faults.insert(name, "unknown field")),
    }
    Err(ErrorTree::Fields(faults))
}
