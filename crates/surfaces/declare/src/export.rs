//! Writing a configuration back as a file that reads to the same entities.

use gibbon_model::Registry;
use gibbon_schema::{Field, Kind, Record};
use serde_json::{Map, Value};

/// The configuration as YAML: flat, references by identifier, nothing that is not set. `workspace` names the one it is of,
/// if not the default one.
///
/// # Errors
/// If a document holds something that YAML cannot express.
pub fn export<'a, I>(
    registry: &Registry,
    workspace: Option<&str>,
    entities: I,
) -> Result<String, serde_saphyr::ser::Error>
where
    I: IntoIterator<Item = (&'a str, &'a [Map<String, Value>])>,
{
    let mut file = Map::new();
    file.insert("_format_version".into(), "3.0".into());
    // Passwords are stored as hashes already.
    file.insert("_transform".into(), false.into());
    if let Some(workspace) = workspace {
        file.insert("_workspace".into(), workspace.into());
    }
    for (kind, documents) in entities {
        let Some(def) = registry.get(kind).filter(|def| def.exported) else { continue };
        if documents.is_empty() {
            continue;
        }
        let list = documents.iter().map(|document| Value::Object(written(&def.record, document))).collect();
        file.insert(kind.to_owned(), list);
    }
    serde_saphyr::to_string(&Value::Object(file))
}

/// The fields that are set. A null stays where leaving it out would mean a default.
fn written(record: &Record, document: &Map<String, Value>) -> Map<String, Value> {
    let subschema = record.subschemas.as_ref().and_then(|subschemas| {
        let name = document.get(subschemas.key.as_ref())?.as_str()?;
        (subschemas.lookup)(name)
    });
    let mut out = Map::with_capacity(document.len());
    for (name, value) in document {
        let field = subschema.as_deref().and_then(|s| s.get(name)).or_else(|| record.get(name));
        match (field.map(|f| &f.kind), value) {
            (_, Value::Null) if !field.is_some_and(has_default) => {}
            (Some(Kind::Foreign(_)), Value::Object(reference)) => {
                out.insert(name.clone(), reference.get("id").cloned().unwrap_or(Value::Null));
            }
            (Some(Kind::Record(record)), Value::Object(inner)) => {
                out.insert(name.clone(), Value::Object(written(record, inner)));
            }
            (_, value) => {
                out.insert(name.clone(), value.clone());
            }
        }
    }
    out
}

fn has_default(field: &Field) -> bool {
    field.default.as_ref().is_some_and(|default| !default.is_null()) || field.auto
}
