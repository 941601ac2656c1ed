//! The hash of a document's content, without making a text of it first: it is taken of every entity of a configuration.

use std::hash::{Hash, Hasher};

use serde_json::Value;

/// A document, to be hashed. Fields count in their order: a document that was stored and read again has the same.
pub struct Content<'a>(pub &'a Value);

impl Hash for Content<'_> {
    /// Each kind of value begins with a number of its own, and lists with their length, so that different documents feed
    /// the hasher differently.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.0 {
            Value::Null => state.write_u8(0),
            Value::Bool(value) => state.write_u8(1 + u8::from(*value)),
            Value::Number(number) => {
                state.write_u8(3);
                match (number.as_u64(), number.as_i64()) {
                    (Some(whole), _) => state.write_u64(whole),
                    (None, Some(whole)) => state.write_i64(whole),
                    (None, None) => state.write_u64(number.as_f64().unwrap_or_default().to_bits()),
                }
            }
            Value::String(text) => {
                state.write_u8(4);
                text.hash(state);
            }
            Value::Array(items) => {
                state.write_u8(5);
                state.write_usize(items.len());
                items.iter().for_each(|item| Content(item).hash(state));
            }
            Value::Object(fields) => {
                state.write_u8(6);
                state.write_usize(fields.len());
                for (name, value) in fields {
                    name.hash(state);
                    Content(value).hash(state);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sharded::hash_of;

    #[test]
    fn equal_documents_have_equal_hashes_and_different_ones_do_not() {
        let documents = [
            json!(null),
            json!(false),
            json!(true),
            json!(0),
            json!(-1),
            json!(0.5),
            json!("0"),
            json!(""),
            json!([]),
            json!([null]),
            json!([[], []]),
            json!([[[]]]),
            json!({}),
            json!({"a": 1}),
            json!({"a": "1"}),
            json!({"a": {"b": null}}),
            json!({"a": {}, "b": null}),
        ];
        for (place, one) in documents.iter().enumerate() {
            for (other_place, other) in documents.iter().enumerate() {
                assert_eq!(hash_of(&Content(one)) == hash_of(&Content(other)), place == other_place, "{one} {other}");
            }
        }
    }
}
