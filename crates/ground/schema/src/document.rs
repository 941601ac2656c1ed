//! Reading documents the way a schema sees them: by dotted path, with Lua's idea of empty tables and numbers.

use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at a path such as `config.redis.host`; null where there is none.
pub fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    let mut value = document;
    for name in path.split('.') {
        match value.get(name) {
            Some(inner) => value = inner,
            None => return &NULL,
        }
    }
    value
}

/// As `at`, for the fields of a record.
pub(crate) fn in_fields<'a>(fields: &'a Map<String, Value>, path: &str) -> &'a Value {
    match path.split_once('.') {
        None => fields.get(path).unwrap_or(&NULL),
        Some((head, rest)) => fields.get(head).map_or(&NULL, |value| at(value, rest)),
    }
}

/// Null, empty text and empty lists and objects count as "not given" for checks across fields.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Equality as Lua has it: `1` and `1.0` are the same number.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// A value inside a message, as Lua writes it.
pub(crate) fn show(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), show_number),
        other => other.to_string(),
    }
}

/// A number with at most 14 significant digits, without a fraction if it has none.
pub(crate) fn show_number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return format!("{number:.0}");
    }
    let text = format!("{number:.13e}");
    text.parse::<f64>().map_or(text, |rounded| rounded.to_string())
}

/// Turns `5.0` into `5`; a JSON reader that distinguishes them must not let clients see it.
#[allow(clippy::cast_possible_truncation)] // guarded by the bound of exact integers
pub(crate) fn normalise_number(value: &mut Value) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if let Value::Number(number) = value
        && number.is_f64()
        && let Some(float) = number.as_f64()
        && float.fract() == 0.0
        && float.abs() < EXACT
    {
        *value = Value::from(float as i64);
    }
}

/// `'a', 'b'`
pub(crate) fn quoted_list<S: AsRef<str>>(names: &[S]) -> String {
    names.iter().map(|n| format!("'{}'", n.as_ref())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_reach_into_records_and_answer_null_elsewhere() {
        let doc = json!({"config": {"redis": {"host": "h"}}});
        assert_eq!(at(&doc, "config.redis.host"), "h");
        assert!(at(&doc, "config.nope.host").is_null());
    }

    #[test]
    fn numbers_are_written_as_lua_writes_them() {
        assert_eq!(show_number(65535.0), "65535");
        assert_eq!(show_number(0.001), "0.001");
        assert_eq!(show_number(70_368_744_177_663.0), "70368744177663");
    }

    #[test]
    fn a_float_without_fraction_becomes_an_integer() {
        let mut value = json!(5.0);
        normalise_number(&mut value);
        assert_eq!(value.to_string(), "5");
    }
}
