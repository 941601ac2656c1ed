//! `name:value` as the transformers' settings write it: split at the first colon, further colons right behind it
//! belong to neither side.

use gibbon_schema::typedefs;
use serde_json::Value;

/// Both sides of a renaming of headers are header names.
pub fn check_renamed_header(value: &Value) -> Result<(), String> {
    let (old, new) = split(value.as_str().unwrap_or_default());
    for name in [old, new] {
        typedefs::check_header_name(&Value::from(name)).map_err(|_| format!("'{name}' is not a valid header"))?;
    }
    Ok(())
}

/// Splits a pair; the value is empty where there is none.
#[must_use]
pub fn split(text: &str) -> (&str, &str) {
    match text.split_once(':') {
        Some((name, rest)) => (name, rest.trim_start_matches(':')),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn only_the_first_colons_separate() {
        assert_eq!(split("a:b:c"), ("a", "b:c"));
        assert_eq!(split("a::b"), ("a", "b"));
        assert_eq!(split("a"), ("a", ""));
    }
}
