//! YAML and JSON texts as trees. Whatever the bytes, this ends, and within bounds.

use serde::Deserialize as _;
use serde_json::Value;
use serde_saphyr::{Budget, DuplicateKeyPolicy, Options};
use thiserror::Error;

/// The largest text taken, in bytes. A hundred thousand routes are some 30 MiB.
pub const MAX_BYTES: usize = 256 * 1024 * 1024;

/// Bounds against files that are small but unfold to something large or deep (alias bombs).
const MAX_DEPTH: usize = 100;
const MAX_EVENTS: usize = 60_000_000;
const MAX_REPLAYED_EVENTS: usize = 5_000_000;

/// Why a text is neither YAML nor JSON.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}{}", place(*line, *column))]
pub struct SyntaxError {
    pub message: String,
    /// From one; zero if unknown.
    pub line: u64,
    pub column: u64,
}

fn place(line: u64, column: u64) -> String {
    if line == 0 { String::new() } else { format!(" (line {line}, column {column})") }
}

impl SyntaxError {
    fn new(message: impl Into<String>) -> Self {
        SyntaxError { message: message.into(), line: 0, column: 0 }
    }
}

/// Reads a tree from YAML (with the booleans of version 1.1) or JSON. Where a key is given twice, the last one counts.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn parse(text: &[u8]) -> Result<Value, SyntaxError> {
    if text.len() > MAX_BYTES {
        return Err(SyntaxError::new(format!("{} bytes are more than the {MAX_BYTES} allowed", text.len())));
    }
    let text = std::str::from_utf8(text).map_err(|e| SyntaxError::new(format!("not valid UTF-8: {e}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // YAML contains JSON, but a reader made for JSON is many times faster.
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(value);
    }
    parse_yaml(text)
}

fn parse_yaml(text: &str) -> Result<Value, SyntaxError> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::with_deserializer_from_str_with_options(text, options(), |de| Value::deserialize(de)).map_err(
        |error| {
            let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
            SyntaxError { message: error.without_snippet().to_string(), line, column }
        },
    )
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_events = MAX_EVENTS;
    budget.max_nodes = MAX_EVENTS;
    budget.max_depth = MAX_DEPTH;
    budget.max_total_scalar_bytes = MAX_BYTES;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits.max_total_replayed_events = MAX_REPLAYED_EVENTS;
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    options.with_snippet = false; // the text may hold secrets
    options
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn yaml(text: &str) -> Value {
        parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn booleans_are_those_of_yaml_1_1() {
        assert_eq!(
            yaml("a: yes\nb: No\nc: on\nd: OFF\ne: true\nf: 'yes'\n"),
            json!({"a": true, "b": false, "c": true, "d": false, "e": true, "f": "yes"})
        );
    }

    #[test]
    fn scalars_have_their_types() {
        assert_eq!(
            yaml("a: 5\nb: 1.5\nc: ~\nd: '3.0'\ne: /x\nf: ~/regex$\ng:\nh: \"5\"\n404: k\n"),
            json!({"a": 5, "b": 1.5, "c": null, "d": "3.0", "e": "/x", "f": "~/regex$", "g": null, "h": "5", "404": "k"})
        );
    }

    #[test]
    fn anchors_aliases_and_merge_keys() {
        assert_eq!(
            yaml("base: &b {x: 1, y: 2}\nuse: *b\nmore:\n  <<: *b\n  y: 3\n"),
            json!({"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 2}, "more": {"y": 3, "x": 1}})
        );
    }

    #[test]
    fn json_is_taken_as_it_is() {
        assert_eq!(yaml("  {\"a\": [1, \"yes\"]}"), json!({"a": [1, "yes"]}));
        assert_eq!(yaml("{a: [1, yes]}"), json!({"a": [1, true]}), "flow YAML looks like JSON but is not");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let list = vec![format!("*a{}", level - 1); 10].join(",");
            text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        assert!(parse(text.as_bytes()).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse("{\"a\":".repeat(100_000).as_bytes()).is_err());
        let nested: String = (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        assert!(parse(nested.as_bytes()).is_err());
    }

    #[test]
    fn errors_name_the_place_and_show_no_text() {
        let error = parse(b"a: 1\nsecret: [hunter2\n").unwrap_err();
        assert!(error.line >= 2, "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(parse(b"\xff").unwrap_err().to_string().contains("UTF-8"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_yaml_like_text_makes_it_panic(text in "[a-z0-9:\\-\\[\\]{}&*!|>'\"#,<? \n\t]{0,120}") {
            let _ = parse(text.as_bytes());
        }
    }
}
