//! Secrets inside a document: references to them where the schema allows these, and values of fields that are to be
//! encrypted where they are stored. What takes their place is left to the caller.

use serde_json::{Map, Value};

use crate::field::{Field, Kind, is_vault_reference};
use crate::record::Record;

/// Whether any text in a value looks like a reference, whatever the schema says of it. Cheap: most documents have none.
#[must_use]
pub fn has_references(value: &Value) -> bool {
    match value {
        Value::String(text) => is_vault_reference(text),
        Value::Array(items) => items.iter().any(has_references),
        Value::Object(fields) => fields.values().any(has_references),
        _ => false,
    }
}

impl Record {
    /// Replaces every reference that stands in a field marked `referenceable` by what `look_up` gives for it. A text in
    /// any other field is only a text, even if it looks like a reference.
    pub fn resolve_references(&self, document: &mut Map<String, Value>, look_up: &mut dyn FnMut(&str) -> String) {
        let subschema = self.subschema_for(document);
        for (name, field) in &self.fields {
            let field = subschema.as_ref().and_then(|s| s.get(name)).unwrap_or(field);
            if let Some(value) = document.get_mut(name.as_ref()) {
                resolve(field, value, look_up);
            }
        }
    }
}

impl Record {
    /// Whether some field, however deep, is marked `encrypted`; fields of subschemas count as if they were.
    #[must_use]
    pub fn has_encrypted(&self) -> bool {
        self.subschemas.is_some() || self.fields.iter().any(|(_, field)| is_encrypted_within(field))
    }

    /// Hands every value of a field marked `encrypted` to `change`.
    pub fn change_encrypted(&self, document: &mut Map<String, Value>, change: &mut dyn FnMut(&mut Value)) {
        let subschema = self.subschema_for(document);
        for (name, field) in &self.fields {
            let field = subschema.as_ref().and_then(|s| s.get(name)).unwrap_or(field);
            if let Some(value) = document.get_mut(name.as_ref()) {
                change_within(field, value, change);
            }
        }
    }
}

fn is_encrypted_within(field: &Field) -> bool {
    field.encrypted
        || match &field.kind {
            Kind::Array(element) | Kind::Set(element) => is_encrypted_within(element),
            Kind::Map { values, .. } => is_encrypted_within(values),
            Kind::Record(record) => record.has_encrypted(),
            _ => false,
        }
}

fn change_within(field: &Field, value: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    match (&field.kind, value) {
        (_, Value::Null) => {}
        (_, value) if field.encrypted => change(value),
        (Kind::Array(element) | Kind::Set(element), Value::Array(items)) => {
            items.iter_mut().for_each(|item| change_within(element, item, change));
        }
        (Kind::Map { values, .. }, Value::Object(entries)) => {
            entries.values_mut().for_each(|entry| change_within(values, entry, change));
        }
        (Kind::Record(record), Value::Object(fields)) => record.change_encrypted(fields, change),
        _ => {}
    }
}

fn resolve(field: &Field, value: &mut Value, look_up: &mut dyn FnMut(&str) -> String) {
    match (&field.kind, value) {
        (_, Value::String(text)) if field.referenceable && is_vault_reference(text) => *text = look_up(text),
        (Kind::Array(element) | Kind::Set(element), Value::Array(items)) => {
            items.iter_mut().for_each(|item| resolve(element, item, look_up));
        }
        (Kind::Map { values, .. }, Value::Object(entries)) => {
            entries.values_mut().for_each(|entry| resolve(values, entry, look_up));
        }
        (Kind::Record(record), Value::Object(fields)) => record.resolve_references(fields, look_up),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret() -> Field {
        Field::string().referenceable()
    }

    fn resolved(record: &Record, mut document: Value) -> (Value, Vec<String>) {
        let mut asked = Vec::new();
        record.resolve_references(document.as_object_mut().unwrap(), &mut |reference| {
            asked.push(reference.to_owned());
            "s3cret".into()
        });
        (document, asked)
    }

    #[test]
    fn references_are_replaced_where_the_schema_allows_them_and_nowhere_else() {
        let inner = Record::new().field("password", secret()).field("host", Field::string());
        let record = Record::new()
            .field("redis", Field::record(inner))
            .field("keys", Field::array(secret()))
            .field("headers", Field::map(Field::string(), secret()))
            .field("note", Field::string());
        let reference = "{vault://env/x}";
        let (document, asked) = resolved(
            &record,
            json!({
                "redis": {"password": reference, "host": reference},
                "keys": ["plain", reference],
                "headers": {"authorization": reference},
                "note": reference,
            }),
        );
        assert_eq!(asked, [reference; 3]);
        assert_eq!(
            document,
            json!({
                "redis": {"password": "s3cret", "host": reference},
                "keys": ["plain", "s3cret"],
                "headers": {"authorization": "s3cret"},
                "note": reference,
            })
        );
    }

    #[test]
    fn values_to_be_encrypted_are_found_however_deep() {
        let secret = || Field::string().encrypted();
        let inner = Record::new().field("password", secret()).field("host", Field::string());
        let record = Record::new()
            .field("redis", Field::record(inner))
            .field("keys", Field::array(secret()))
            .field("headers", Field::map(Field::string(), secret()))
            .field("note", Field::string())
            .field("unset", secret());
        assert!(record.has_encrypted() && !Record::new().field("note", Field::string()).has_encrypted());
        let mut document = json!({
            "redis": {"password": "a", "host": "h"}, "keys": ["b"], "headers": {"x": "c"}, "note": "n", "unset": null,
        });
        record.change_encrypted(document.as_object_mut().unwrap(), &mut |value| *value = json!("*"));
        assert_eq!(
            document,
            json!({
                "redis": {"password": "*", "host": "h"}, "keys": ["*"], "headers": {"x": "*"}, "note": "n", "unset": null,
            })
        );
    }

    #[test]
    fn a_document_without_references_is_told_apart_at_a_glance() {
        assert!(!has_references(&json!({"a": ["{vault:/x}", 1, null], "b": {"c": "x"}})));
        assert!(has_references(&json!({"a": [{"b": "{vault://env/x}"}]})));
    }
}
