//! Faults by entity: for clients that made the file from entities of their own and want to know which one is wrong.

use gibbon_model::Registry;
use gibbon_schema::{ErrorTree, Faults};
use serde_json::{Map, Value, json};

/// Faults by entity, and those that belong to none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flattened {
    /// One object per entity at fault: its kind, identifier, name, tags, itself as given, and its faults.
    pub errors: Vec<Value>,
    /// What is wrong outside entities.
    pub rest: Faults,
}

/// Sorts the faults of a file by entity. `document` is the file as it was given.
pub fn flatten(faults: &Faults, document: &Value, registry: &Registry) -> Flattened {
    let mut flattened = Flattened::default();
    flattened.rest.entity.clone_from(&faults.entity);
    for (key, tree) in &faults.fields {
        let list = registry.get(key).and_then(|_| document.get(key));
        match (tree, list) {
            (ErrorTree::Items(items), Some(list)) => {
                for (position, tree) in items {
                    flattened.entity(key, tree, list.get(position), registry);
                }
            }
            (tree, _) => flattened.rest.insert_tree(key, tree.clone()),
        }
    }
    flattened
}

impl Flattened {
    fn entity(&mut self, key: &str, tree: &ErrorTree, entity: Option<&Value>, registry: &Registry) {
        let Some(def) =
            registry.iter().find(|def| [&def.name, &def.admin_path, &def.nested_path].iter().any(|n| *n == key))
        else {
            return;
        };
        let entity = entity.cloned().unwrap_or(Value::Null);
        let mut own = Vec::new();
        let mut given = entity.clone();
        match tree {
            ErrorTree::Fields(faults) => {
                own.extend(faults.entity.iter().map(|message| json!({"type": "entity", "message": message})));
                for (field, tree) in &faults.fields {
                    let nested = entity.get(field).filter(|_| is_list_of_entities(field, def, registry));
                    match (tree, nested) {
                        (ErrorTree::Items(items), Some(list)) => {
                            for (position, tree) in items {
                                self.entity(field, tree, list.get(position), registry);
                            }
                        }
                        _ => field_errors(field, tree, &mut own),
                    }
                }
            }
            other => field_errors("", other, &mut own),
        }
        if own.is_empty() {
            return;
        }
        if let Value::Object(fields) = &mut given {
            fields.retain(|field, _| !is_list_of_entities(field, def, registry));
        }
        self.errors.push(describe(&def.name, def.endpoint_key.as_deref(), given, own));
    }
}

/// Whether that field of an entity is a list of entities that refer to it.
fn is_list_of_entities(field: &str, parent: &gibbon_model::EntityDef, registry: &Registry) -> bool {
    registry
        .children(&parent.name)
        .any(|(child, _)| child.name == field || child.admin_path == field || child.nested_path == field)
}

fn describe(entity: &str, key: Option<&str>, given: Value, errors: Vec<Value>) -> Value {
    let mut out = Map::new();
    out.insert("entity_type".into(), singular(entity).into());
    let text = |field: &str| given.get(field).filter(|value| value.is_string()).cloned();
    if let Some(id) = text("id") {
        out.insert("entity_id".into(), id);
    }
    if let Some(name) = text("name").or_else(|| text(key?)) {
        out.insert("entity_name".into(), name);
    }
    if let Some(tags @ Value::Array(_)) = given.get("tags") {
        out.insert("entity_tags".into(), tags.clone());
    }
    out.insert("entity".into(), given);
    out.insert("errors".into(), errors.into());
    Value::Object(out)
}

fn field_errors(path: &str, tree: &ErrorTree, out: &mut Vec<Value>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match tree {
        ErrorTree::Message(message) => out.push(json!({"type": "field", "field": path, "message": message})),
        ErrorTree::Items(items) => {
            for (position, tree) in items {
                field_errors(&below(&(position + 1).to_string()), tree, out);
            }
        }
        ErrorTree::Fields(faults) => {
            for message in &faults.entity {
                out.push(json!({"type": "entity", "field": path, "message": message}));
            }
            for (name, tree) in &faults.fields {
                field_errors(&below(name), tree, out);
            }
        }
    }
}

fn singular(entity: &str) -> &str {
    entity.strip_suffix('s').unwrap_or(entity)
}
