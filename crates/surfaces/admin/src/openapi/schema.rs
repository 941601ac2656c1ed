//! From the product's schemas to JSON Schema (2020-12): what an answer looks like, and what may be sent.

use gibbon_model::EntityDef;
use gibbon_schema::{Field, Kind, Record};
use serde_json::{Map, Value, json};

/// Whether a schema is for what is sent or for what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Sent,
    Answered,
}

/// An entity as answers show it.
pub fn answered(def: &EntityDef) -> Value {
    let mut properties = properties(&def.record, Side::Answered);
    for name in def.hidden {
        properties.shift_remove(*name);
    }
    let always = def
        .record
        .fields
        .iter()
        .filter(|(name, field)| !field.is_additive() && !field.transient && !def.hidden.contains(&name.as_ref()));
    let required: Vec<&str> = always.map(|(name, _)| name.as_ref()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// An entity as it is sent to make one. What `given` names is given by the path.
pub fn sent(def: &EntityDef, given: &[&str]) -> Value {
    let demanded = def.record.fields.iter().filter(|(name, field)| {
        field.required == Some(true) && field.default.is_none() && !field.auto && !given.contains(&name.as_ref())
    });
    // A record that is required fills itself, and a shorthand may stand for what is missing.
    let demanded = demanded.filter(|(_, field)| !matches!(field.kind, Kind::Record(_)));
    let required: Vec<&str> = match def.record.shorthands.is_empty() {
        true => demanded.map(|(name, _)| name.as_ref()).collect(),
        false => Vec::new(),
    };
    json!({ "type": "object", "properties": properties(&def.record, Side::Sent), "required": required })
}

/// An entity as it is sent to change one.
pub fn changed(def: &EntityDef) -> Value {
    json!({ "type": "object", "properties": properties(&def.record, Side::Sent) })
}

fn properties(record: &Record, side: Side) -> Map<String, Value> {
    let mut properties: Map<String, Value> =
        record.fields.iter().map(|(name, field)| (name.to_string(), of_field(field, side))).collect();
    for shorthand in &record.shorthands {
        properties.entry(shorthand.name.to_string()).or_insert_with(|| of_field(&shorthand.field, side));
    }
    if record.ttl {
        properties.insert("ttl".into(), json!({ "type": ["integer", "null"], "minimum": 0 }));
    }
    properties
}

/// One field. Everything that is not required may be null.
pub fn of_field(field: &Field, side: Side) -> Value {
    let mut schema = of_kind(field, side);
    if side == Side::Sent {
        add_rules(field, &mut schema);
    }
    if let Some(values) = &field.one_of {
        schema.insert("enum".into(), values.iter().chain(&field.also_one_of).cloned().collect());
    }
    if field.required != Some(true) {
        allow_null(&mut schema);
    }
    if let Some(description) = &field.description {
        schema.insert("description".into(), description.as_ref().into());
    }
    Value::Object(schema)
}

fn of_kind(field: &Field, side: Side) -> Map<String, Value> {
    let schema = match &field.kind {
        Kind::String => json!({ "type": "string" }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Array(elements) | Kind::Set(elements) => json!({ "type": "array", "items": of_element(elements, side) }),
        Kind::Map { values, .. } => json!({ "type": "object", "additionalProperties": of_element(values, side) }),
        Kind::Record(_) if field.is_abstract => json!({ "type": "object" }),
        Kind::Record(record) => {
            let strict = side == Side::Sent || !record.fields.is_empty();
            json!({ "type": "object", "properties": properties(record, side), "additionalProperties": !strict })
        }
        Kind::Foreign(_) => json!({ "type": "object", "properties": { "id": { "type": "string" } } }),
        Kind::Any | Kind::Elements(_) | Kind::Json(_) => json!({}),
    };
    schema.as_object().cloned().unwrap_or_default()
}

/// Elements, keys and values are never null.
fn of_element(field: &Field, side: Side) -> Value {
    of_field(&Field { required: Some(true), ..field.clone() }, side)
}

fn add_rules(field: &Field, schema: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            schema.insert(name.into(), value);
        }
    };
    match &field.kind {
        Kind::String => {
            put("minLength", Some(field.len_min.or(field.len_eq).unwrap_or(1).into()));
            put("maxLength", field.len_max.or(field.len_eq).map(Value::from));
            put("format", field.uuid.then(|| "uuid".into()));
        }
        Kind::Number | Kind::Integer => {
            put("minimum", field.between.map(|(low, _)| low.into()));
            put("maximum", field.between.map(|(_, high)| high.into()));
            put("exclusiveMinimum", field.gt.map(Value::from));
        }
        Kind::Array(_) | Kind::Set(_) => {
            put("minItems", field.len_min.or(field.len_eq).map(Value::from));
            put("maxItems", field.len_max.or(field.len_eq).map(Value::from));
        }
        _ => {}
    }
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(Value::String(name)) = schema.get("type").cloned() {
        schema.insert("type".into(), json!([name, "null"]));
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}
