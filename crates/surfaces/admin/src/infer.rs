//! From the texts of a form to the values a schema asks for. What does not fit stays a text, for the schema to refuse.

use std::sync::Arc;

use gibbon_schema::{Field, Kind, Record};
use serde_json::{Map, Number, Value};

use crate::form::Node;

/// The fields of a record.
pub fn record(record: &Record, form: &Node) -> Map<String, Value> {
    let Node::Fields(fields) = form else { return Map::new() };
    let subschema = subschema(record, form);
    let mut out = Map::with_capacity(fields.len());
    for (name, node) in fields {
        let of = |record: &Record| {
            let shorthand = || record.shorthands.iter().find(|s| s.name == *name).map(|s| s.field.clone());
            record.get(name).cloned().or_else(shorthand)
        };
        let field = subschema.as_deref().and_then(of).or_else(|| of(record));
        out.insert(name.clone(), value(field.as_ref(), node));
    }
    out
}

fn subschema(record: &Record, form: &Node) -> Option<Arc<Record>> {
    let subschemas = record.subschemas.as_ref()?;
    match form.get(&subschemas.key)? {
        Node::Texts(texts) => texts.iter().find_map(|text| (subschemas.lookup)(text)),
        Node::Fields(fields) => fields.values().find_map(|node| (subschemas.lookup)(node.text()?)),
    }
}

fn value(field: Option<&Field>, node: &Node) -> Value {
    match (field.map(|field| &field.kind), node) {
        (Some(Kind::Array(elements) | Kind::Set(elements)), node) => list(elements, node),
        (Some(Kind::Record(inner)), Node::Fields(_)) => Value::Object(record(inner, node)),
        (Some(Kind::Map { values, .. }), Node::Fields(fields)) => {
            Value::Object(fields.iter().map(|(name, node)| (name.clone(), value(Some(values), node))).collect())
        }
        (kind, Node::Texts(texts)) => match texts.as_slice() {
            [text] => scalar(kind, text),
            many => many.iter().map(|text| scalar(None, text)).collect(),
        },
        (Some(Kind::String), Node::Fields(_)) | (_, Node::Fields(_)) => untyped(node),
    }
}

/// A list is one text, several, or numbered places.
fn list(elements: &Field, node: &Node) -> Value {
    match node {
        Node::Texts(texts) => match texts.as_slice() {
            [text] if text.is_empty() => Value::Null,
            texts => texts.iter().map(|text| scalar(Some(&elements.kind), text)).collect(),
        },
        Node::Fields(fields) => {
            let mut places: Vec<(usize, &Node)> = Vec::with_capacity(fields.len());
            for (name, node) in fields {
                match name.parse() {
                    Ok(place) => places.push((place, node)),
                    Err(_) => return untyped(node),
                }
            }
            places.sort_by_key(|(place, _)| *place);
            if places.iter().enumerate().any(|(at, (place, _))| *place != at + 1) {
                return untyped(node); // a list with holes is none
            }
            places.into_iter().map(|(_, node)| value(Some(elements), node)).collect()
        }
    }
}

fn scalar(kind: Option<&Kind>, text: &str) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    match kind {
        Some(Kind::Integer | Kind::Number) => number(text).map_or_else(|| text.into(), Value::Number),
        Some(Kind::Boolean) => match text {
            "true" => true.into(),
            "false" => false.into(),
            other => other.into(),
        },
        Some(Kind::Json(_)) => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        _ => text.into(),
    }
}

fn number(text: &str) -> Option<Number> {
    match text.parse::<i64>() {
        Ok(whole) => Some(whole.into()),
        Err(_) => text.parse().ok().and_then(Number::from_f64),
    }
}

/// A tree that no schema describes.
fn untyped(node: &Node) -> Value {
    match node {
        Node::Texts(texts) => match texts.as_slice() {
            [text] => scalar(None, text),
            many => many.iter().map(|text| scalar(None, text)).collect(),
        },
        Node::Fields(fields) => {
            Value::Object(fields.iter().map(|(name, node)| (name.clone(), untyped(node))).collect())
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inferred(form: &str) -> Value {
        let redis = Record::new().field("port", Field::integer()).field("ssl", Field::boolean());
        let schema = Record::new()
            .field("paths", Field::array(Field::string()))
            .field("redis", Field::record(redis))
            .field("headers", Field::map(Field::string(), Field::array(Field::string())))
            .field("weight", Field::number())
            .field("name", Field::string())
            .field("service", Field::foreign("services"));
        Value::Object(record(&schema, &Node::from_urlencoded(form.as_bytes()).unwrap()))
    }

    #[test]
    fn texts_become_what_the_schema_asks_for() {
        assert_eq!(
            inferred("redis.port=6379&redis.ssl=true&weight=0.5"),
            json!({"redis": {"port": 6379, "ssl": true}, "weight": 0.5})
        );
        assert_eq!(inferred("weight=x&name=5"), json!({"weight": "x", "name": "5"}));
    }

    #[test]
    fn lists_are_written_in_three_ways() {
        for form in ["paths=/a&paths=/b", "paths[]=/a&paths[]=/b", "paths[2]=/b&paths[1]=/a"] {
            assert_eq!(inferred(form), json!({"paths": ["/a", "/b"]}), "{form}");
        }
        assert_eq!(inferred("paths=/a"), json!({"paths": ["/a"]}));
    }

    #[test]
    fn maps_and_references_nest() {
        assert_eq!(inferred("headers[x-a][]=1&headers.x-b[]=2"), json!({"headers": {"x-a": ["1"], "x-b": ["2"]}}));
        assert_eq!(inferred("service.name=s"), json!({"service": {"name": "s"}}));
    }

    #[test]
    fn an_empty_text_is_null() {
        assert_eq!(inferred("name=&paths="), json!({"name": null, "paths": null}));
    }
}
