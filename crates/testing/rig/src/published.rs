//! Whether the configurations of a family are those that Kong publishes as JSON Schema: for plugins whose schemas are
//! known in that form only. It shows names, types, defaults, choices and bounds, and which fields must be given;
//! checks across fields it does not show.

use std::collections::BTreeSet;

use gibbon_pdk::Part;
use gibbon_schema::{Compat, Field, Kind, Record};
use serde_json::{Map, Value, json};

/// Compares each part with its entry in the fixture (`{scopes, protocols, config}`); what is ours is left out.
///
/// # Panics
/// With every difference, when there is one or a part has no entry.
pub fn compare(parts: &[Part], fixture: &str) {
    let fixture: Value = serde_json::from_str(fixture).expect("a fixture of JSON");
    let mut faults = Vec::new();
    for part in parts {
        let expected = fixture.get(part.name).unwrap_or_else(|| panic!("no fixture for {}", part.name));
        let record = (part.schema)();
        let ours = json!({ "scopes": scopes(part), "protocols": protocols(part), "config": object(&record) });
        differ(part.name, &ours, expected, &mut faults);
    }
    assert!(faults.is_empty(), "ours against Kong's:\n  {}", faults.join("\n  "));
}

fn scopes(part: &Part) -> Vec<&'static str> {
    let s = part.scopes;
    let all =
        [("consumer", s.consumer), ("consumer_group", s.consumer_group), ("route", s.route), ("service", s.service)];
    all.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

fn protocols(part: &Part) -> Vec<&'static str> {
    let mut names: Vec<_> = part.protocols.iter().map(gibbon_pdk::Protocol::as_str).collect();
    names.sort_unstable();
    names
}

/// A record as an object, without what is ours.
fn object(record: &Record) -> Value {
    let kongs: Vec<_> = record.fields.iter().filter(|(_, field)| !field.is_additive()).collect();
    let properties: Map<String, Value> =
        kongs.iter().map(|(name, field)| (name.to_string(), property(field))).collect();
    let mut required: Vec<&str> = kongs.iter().filter(|(_, f)| must_be_given(f)).map(|(name, _)| &**name).collect();
    required.sort_unstable();
    let mut out = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        out["required"] = json!(required);
    }
    out
}

/// Nothing fills it in: it has no default, and neither have all fields below it.
fn must_be_given(field: &Field) -> bool {
    let fills_itself = match &field.kind {
        Kind::Record(record) => !record.fields.iter().any(|(_, inner)| must_be_given(inner)),
        _ => field.default.is_some(),
    };
    field.required == Some(true) && !fills_itself
}

fn property(field: &Field) -> Value {
    let shown = field.render(Compat::default());
    let mut out = match &field.kind {
        Kind::Record(record) => object(record),
        Kind::Array(elements) | Kind::Set(elements) => json!({ "type": "array", "items": property(elements) }),
        Kind::Map { values, .. } => json!({ "type": "object", "additionalProperties": property(values) }),
        Kind::Json(_) => json!({ "type": "object", "additionalProperties": true, "nullable": true }),
        _ => json!({ "type": shown["type"] }),
    };
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            out[name] = value;
        }
    };
    if !matches!(field.kind, Kind::Record(_)) {
        put("default", shown["default"].clone());
    }
    put("enum", sorted(&shown["one_of"]));
    put("minimum", shown["between"][0].clone());
    put("maximum", shown["between"][1].clone());
    put("minLength", json!(field.len_min));
    put("maxLength", json!(field.len_max));
    out
}

fn sorted(list: &Value) -> Value {
    let Some(list) = list.as_array() else { return Value::Null };
    let names: BTreeSet<&str> = list.iter().filter_map(Value::as_str).collect();
    json!(names)
}

fn differ(path: &str, ours: &Value, theirs: &Value, faults: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            let names: BTreeSet<&String> = a.keys().chain(b.keys()).filter(|name| *name != "description").collect();
            for name in names {
                let of = |side: &Map<String, Value>| side.get(name).cloned().unwrap_or_default();
                differ(&format!("{path}.{name}"), &of(a), &of(b), faults);
            }
        }
        _ if ours == theirs => {}
        // 1.0 and 1 are one number.
        _ if ours.is_number() && ours.as_f64() == theirs.as_f64() => {}
        _ => faults.push(format!("{path}: {ours} against {theirs}")),
    }
}
