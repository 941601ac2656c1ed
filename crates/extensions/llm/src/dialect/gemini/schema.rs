//! JSON Schema and the subset of it that Gemini's own schema type knows.

use serde_json::{Map, Value};

/// Keywords of Gemini's schema type that mean what they mean in JSON Schema.
const KNOWN: &[&str] = &[
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "example",
    "anyOf",
    "propertyOrdering",
    "default",
    "minimum",
    "maximum",
];

/// Keywords that only annotate, or restrict what the subset cannot: left out without changing what
/// a well-behaved answer looks like.
const HARMLESS: &[&str] = &["$schema", "$id", "$comment", "additionalProperties", "strict", "examples"];

/// Deeper than any real schema; a hostile one must not exhaust the stack.
const MAX_DEPTH: u8 = 64;

/// The schema in Gemini's subset, or `None` when it says more than that subset can.
pub(super) fn reduce(schema: &Value) -> Option<Value> {
    reduce_at(schema, 0)
}

fn reduce_at(schema: &Value, depth: u8) -> Option<Value> {
    let object = schema.as_object().filter(|_| depth < MAX_DEPTH)?;
    let mut out = Map::new();
    for (key, value) in object {
        let value = match key.as_str() {
            k if HARMLESS.contains(&k) => continue,
            "type" => match value {
                Value::Array(types) => {
                    let (null, others): (Vec<&Value>, Vec<&Value>) = types.iter().partition(|t| *t == "null");
                    let [one] = others.as_slice() else { return None };
                    if !null.is_empty() {
                        out.insert("nullable".into(), true.into());
                    }
                    (*one).clone()
                }
                one => one.clone(),
            },
            "const" => {
                out.insert("enum".into(), Value::Array(vec![value.clone()]));
                continue;
            }
            "items" => reduce_at(value, depth + 1)?,
            "properties" => {
                let reduced = value.as_object()?.iter().map(|(k, v)| Some((k.clone(), reduce_at(v, depth + 1)?)));
                Value::Object(reduced.collect::<Option<_>>()?)
            }
            "anyOf" => {
                let reduced = value.as_array()?.iter().map(|v| reduce_at(v, depth + 1));
                Value::Array(reduced.collect::<Option<_>>()?)
            }
            // The subset's enumerations hold texts only.
            "enum" if !value.as_array()?.iter().all(Value::is_string) => return None,
            k if KNOWN.contains(&k) => value.clone(),
            _ => return None,
        };
        out.insert(key.clone(), value);
    }
    Some(Value::Object(out))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_subset_knows_is_kept_and_annotations_are_left_out() {
        let schema = json!({"$schema": "x", "type": "object", "additionalProperties": false, "required": ["a"],
            "properties": {"a": {"type": ["string", "null"]}, "b": {"type": "array", "items": {"type": "integer"}},
            "c": {"const": "x"}}});
        assert_eq!(
            reduce(&schema).unwrap(),
            json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string", "nullable": true},
            "b": {"type": "array", "items": {"type": "integer"}}, "c": {"enum": ["x"]}}})
        );
    }

    #[test]
    fn what_says_more_is_not_reduced() {
        for schema in [
            json!({"$ref": "#/$defs/a"}),
            json!({"type": "object", "properties": {"a": {"oneOf": []}}}),
            json!({"type": ["string", "integer"]}),
            json!({"enum": [1, 2]}),
            json!(true),
        ] {
            assert_eq!(reduce(&schema), None, "{schema}");
        }
        let deep = (0..100).fold(json!({"type": "string"}), |s, _| json!({"items": s}));
        assert_eq!(reduce(&deep), None);
    }
}
