//! Values inside error messages, as Kong writes them: `{name="x",service={id="…"}}`.

use serde_json::Value;

/// A table, keys sorted.
pub fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}\""),
        Value::Object(fields) => {
            let mut parts: Vec<String> =
                fields.iter().map(|(name, value)| format!("{name}={}", literal(value))).collect();
            parts.sort();
            format!("{{{}}}", parts.join(","))
        }
        Value::Array(items) => format!("{{{}}}", items.iter().map(literal).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_are_written_with_sorted_keys_and_nulls() {
        let value = json!({"name": "cors", "consumer": null, "service": {"id": "x"}});
        assert_eq!(literal(&value), r#"{consumer=null,name="cors",service={id="x"}}"#);
    }
}
