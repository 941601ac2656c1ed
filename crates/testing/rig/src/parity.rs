//! Whether the schemas of a family are Kong's: the published form against a fixture in the same form.
//!
//! Both sides are brought to one shape first: fields by name, what says nothing (descriptions, `required: false`,
//! empty lists for objects) left out. Fields and values of our own are set apart and returned, so that a test can
//! print them.

use std::collections::BTreeSet;

use gibbon_pdk::Part;
use gibbon_schema::{Compat, Field, Kind, Record};
use serde_json::{Map, Value, json};

use crate::configuration::schema;

/// Attributes that describe, or that only one side can show.
const SILENT: [&str; 5] = ["description", "custom_validator", "func", "err", "custom_entity_check"];

/// Compares each part with its entry in the fixture, and lists what is ours.
///
/// # Panics
/// At the first difference, with both sides shown; when a part has no entry.
pub fn compare(parts: &[Part], fixture: &str) -> Vec<String> {
    let fixture: Value = serde_json::from_str(fixture).expect("a fixture of JSON");
    let mut additions = Vec::new();
    for part in parts {
        let expected = fixture.get(part.name).unwrap_or_else(|| panic!("no fixture for {}", part.name));
        let record = schema(part).subschema().clone();
        collect_additions(part.name, &record, &mut additions);
        let mut rendered = schema(part).render(Compat::default());
        forget_protocol_default(&mut rendered);
        let (ours, theirs) = (plain_record(&rendered, &added_names(&record)), plain_record(expected, &BTreeSet::new()));
        differ(part.name, &ours, &theirs);
    }
    additions
}

/// Which protocols are the default is the gateway's business, not the part's.
fn forget_protocol_default(rendered: &mut Value) {
    for field in rendered["fields"].as_array_mut().into_iter().flatten() {
        if let Some(protocols) = field.get_mut("protocols").and_then(Value::as_object_mut) {
            protocols.remove("default");
        }
    }
}

fn differ(path: &str, ours: &Value, theirs: &Value) {
    if let (Value::Object(a), Value::Object(b)) = (ours, theirs) {
        let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for name in names {
            differ(&format!("{path}.{name}"), a.get(name).unwrap_or(&Value::Null), b.get(name).unwrap_or(&Value::Null));
        }
        return;
    }
    assert_eq!(ours, theirs, "{path}: ours is on the left");
}

/// Names of additive fields anywhere in a record; they must not hide a field of Kong's elsewhere in it.
fn added_names(record: &Record) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    walk("", record, &mut |path, field| {
        if field.is_additive() {
            names.insert(path.rsplit('.').next().unwrap_or_default().to_owned());
        }
    });
    names
}

/// What a configuration has beyond Kong's: `PLUGIN: FIELD (ours)`, or the version of Kong that brought it.
#[must_use]
pub fn additions(plugin: &str, config: &Record) -> Vec<String> {
    let mut additions = Vec::new();
    let whole = Record::new().field("config", Field::record(config.clone()));
    collect_additions(plugin, &whole, &mut additions);
    additions
}

fn collect_additions(plugin: &str, record: &Record, additions: &mut Vec<String>) {
    walk("", record, &mut |path, field| {
        if field.is_additive() && path != "consumer_group" {
            let origin = field.since.as_ref().map_or("ours".to_owned(), |since| format!("Kong {since}"));
            additions.push(format!("{plugin}: {path} ({origin})"));
        }
        let inner = match &field.kind {
            Kind::Array(elements) | Kind::Set(elements) => elements.also_one_of.as_slice(),
            _ => &[],
        };
        for value in field.also_one_of.iter().chain(inner) {
            additions.push(format!("{plugin}: {path} may also be {value}"));
        }
    });
}

fn walk(prefix: &str, record: &Record, see: &mut impl FnMut(&str, &Field)) {
    for (name, field) in &record.fields {
        let path = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        see(&path, field);
        let inner = match &field.kind {
            Kind::Record(inner) => Some(inner),
            Kind::Map { values, .. } => match &values.kind {
                Kind::Record(inner) => Some(inner),
                _ => None,
            },
            Kind::Array(elements) | Kind::Set(elements) => match &elements.kind {
                Kind::Record(inner) => Some(inner),
                _ => None,
            },
            _ => None,
        };
        if let Some(inner) = inner {
            walk(&path, inner, see);
        }
    }
}

fn plain_record(record: &Value, without: &BTreeSet<String>) -> Value {
    let mut out = Map::new();
    for list in ["fields", "shorthand_fields"] {
        let Some(fields) = record.get(list).and_then(Value::as_array) else { continue };
        let mut by_name = Map::new();
        for (name, field) in fields.iter().filter_map(Value::as_object).flatten() {
            if !without.contains(name) {
                by_name.insert(name.clone(), plain_field(field, without));
            }
        }
        if !by_name.is_empty() {
            out.insert(list.to_owned(), Value::Object(by_name));
        }
    }
    let checks = record.get("entity_checks").and_then(Value::as_array).cloned().unwrap_or_default();
    let shown: Vec<Value> = checks.into_iter().filter(|check| check.get("custom_entity_check").is_none()).collect();
    if !shown.is_empty() {
        out.insert("entity_checks".to_owned(), shown.into());
    }
    Value::Object(out)
}

fn plain_field(field: &Value, without: &BTreeSet<String>) -> Value {
    let Some(given) = field.as_object() else { return field.clone() };
    let mut out = match plain_record(field, without) {
        Value::Object(out) => out,
        _ => Map::new(),
    };
    let kind = given.get("type").and_then(Value::as_str).unwrap_or_default();
    for (name, value) in given {
        let value = match name.as_str() {
            "fields" | "shorthand_fields" | "entity_checks" => continue,
            name if SILENT.contains(&name) => continue,
            "required" if value == false || kind == "record" => continue,
            "len_min" if value == 1 && kind == "string" => continue,
            "default" if value == &json!({}) && matches!(kind, "array" | "set") => json!([]),
            "default" | "one_of" if kind == "set" || name == "one_of" => sorted(value),
            "elements" | "keys" | "values" => inner(value, without),
            "match_none" | "match_all" | "match_any" => without_messages(value),
            _ => value.clone(),
        };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

fn inner(field: &Value, without: &BTreeSet<String>) -> Value {
    let mut plain = plain_field(field, without);
    if let Some(object) = plain.as_object_mut() {
        object.remove("required");
        if object.get("one_of").is_some() {
            let sorted = sorted(&object["one_of"]);
            object.insert("one_of".to_owned(), sorted);
        }
    }
    plain
}

fn sorted(value: &Value) -> Value {
    let mut items = value.as_array().cloned().unwrap_or_default();
    items.sort_by_key(ToString::to_string);
    items.into()
}

fn without_messages(value: &Value) -> Value {
    match value {
        Value::Array(rules) => rules.iter().map(without_messages).collect(),
        Value::Object(rule) => {
            rule.iter().filter(|(name, _)| *name != "err").map(|(n, v)| (n.clone(), v.clone())).collect()
        }
        other => other.clone(),
    }
}
