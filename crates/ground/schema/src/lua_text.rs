//! Error trees written as Lua tables, as they stand inside Kong's error messages.
//!
//! Two layouts exist: one line without blanks (messages about declarative files) and indented by two (nested parts of
//! a `schema violation`). Keys come sorted, list items first, holes as `[n]=`.

use serde_json::Value;

use crate::errors::{ErrorTree, Faults};

/// `{services={{host="required field missing"}}}`
pub fn compact(tree: &ErrorTree) -> String {
    let mut out = String::new();
    Writer { indent: "", newline: "", assign: "=" }.tree(&mut out, tree, 0);
    out
}

/// The same with line breaks and an indent of two.
pub fn indented(tree: &ErrorTree) -> String {
    let mut out = String::new();
    Writer { indent: "  ", newline: "\n", assign: " = " }.tree(&mut out, tree, 0);
    out
}

/// A JSON value as a Lua table on one line with sorted keys: `{consumer=null,name="cors"}`.
pub fn value(value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, value);
    out
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => quote(out, text),
        Value::Array(items) => {
            out.push('{');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item);
            }
            out.push('}');
        }
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            out.push('{');
            for (index, name) in names.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&key(name));
                out.push('=');
                write_value(out, fields.get(name).unwrap_or(&Value::Null));
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

struct Writer {
    indent: &'static str,
    newline: &'static str,
    assign: &'static str,
}

impl Writer {
    fn tree(&self, out: &mut String, tree: &ErrorTree, depth: usize) {
        match tree {
            ErrorTree::Message(text) => quote(out, text),
            ErrorTree::Items(items) => {
                let entries: Vec<Row> = items
                    .iter()
                    .enumerate()
                    .map(|(expected, (index, item))| {
                        // Items after a hole carry their number.
                        let key = (expected != *index).then(|| format!("[{}]", index + 1));
                        (key, Entry::Tree(item))
                    })
                    .collect();
                self.table(out, &entries, depth);
            }
            ErrorTree::Fields(faults) => self.faults(out, faults, depth),
        }
    }

    fn faults(&self, out: &mut String, faults: &Faults, depth: usize) {
        let mut entries: Vec<Row> = Vec::with_capacity(faults.fields.len() + 1);
        if !faults.entity.is_empty() {
            entries.push((Some(key("@entity")), Entry::List(&faults.entity)));
        }
        entries.extend(faults.fields.iter().map(|(name, tree)| (Some(key(name)), Entry::Tree(tree))));
        self.table(out, &entries, depth);
    }

    fn table(&self, out: &mut String, entries: &[Row<'_>], depth: usize) {
        out.push('{');
        for (index, (key, entry)) in entries.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            self.line(out, depth + 1);
            if let Some(key) = key {
                out.push_str(key);
                out.push_str(self.assign);
            }
            match entry {
                Entry::Tree(tree) => self.tree(out, tree, depth + 1),
                Entry::Text(text) => quote(out, text),
                Entry::List(texts) => {
                    let rows: Vec<Row> = texts.iter().map(|text| (None, Entry::Text(text))).collect();
                    self.table(out, &rows, depth + 1);
                }
            }
        }
        if !entries.is_empty() {
            self.line(out, depth);
        }
        out.push('}');
    }

    fn line(&self, out: &mut String, depth: usize) {
        out.push_str(self.newline);
        for _ in 0..depth {
            out.push_str(self.indent);
        }
    }
}

type Row<'a> = (Option<String>, Entry<'a>);

#[derive(Clone, Copy)]
enum Entry<'a> {
    Tree(&'a ErrorTree),
    List(&'a [String]),
    Text(&'a str),
}

const KEYWORDS: [&str; 22] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
    "not", "or", "repeat", "return", "then", "true", "until", "while",
];

fn key(name: &str) -> String {
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if starts_well && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') && !KEYWORDS.contains(&name) {
        return name.to_owned();
    }
    let mut out = String::from("[");
    quote(&mut out, name);
    out.push(']');
    out
}

/// A Lua string literal: double quotes, or long brackets when the text has a line break or brackets of that kind.
fn quote(out: &mut String, text: &str) {
    let level = long_bracket_level(text);
    if (text.contains('\n') || level.is_some()) && !text.contains('\r') {
        let equals = "=".repeat(level.map_or(0, |l| l + 1));
        out.push('[');
        out.push_str(&equals);
        out.push('[');
        if text.starts_with('\n') {
            out.push('\n');
        }
        out.push_str(text);
        out.push(']');
        out.push_str(&equals);
        out.push(']');
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\\n"),
            '\0' => out.push_str("\\000"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The most equal signs between two brackets of one kind in the text (a final `]` is imagined at its end).
fn long_bracket_level(text: &str) -> Option<usize> {
    let mut bytes: Vec<u8> = text.bytes().collect();
    bytes.push(b']');
    let mut best = None;
    let mut open: Option<(u8, usize)> = None;
    for byte in bytes {
        open = match (byte, open) {
            (b'[' | b']', Some((bracket, count))) if bracket == byte => {
                best = best.max(Some(count));
                None
            }
            (b'[' | b']', _) => Some((byte, 0)),
            (b'=', Some((bracket, count))) => Some((bracket, count + 1)),
            _ => None,
        };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> ErrorTree {
        let mut inner = Faults::default();
        inner.entity.push("failed".into());
        inner.insert("sample_rate", "required field missing");
        let mut top = Faults::default();
        top.insert_tree("metrics", ErrorTree::items([(0, ErrorTree::Fields(inner))]));
        ErrorTree::Fields(top)
    }

    #[test]
    fn compact_is_one_line_without_blanks() {
        assert_eq!(compact(&tree()), r#"{metrics={{["@entity"]={"failed"},sample_rate="required field missing"}}}"#);
    }

    #[test]
    fn indented_breaks_lines() {
        assert_eq!(
            indented(&tree()),
            "{\n  metrics = {\n    {\n      [\"@entity\"] = {\n        \"failed\"\n      },\n      sample_rate = \"required field missing\"\n    }\n  }\n}"
        );
    }

    #[test]
    fn values_have_sorted_keys() {
        let keys = serde_json::json!({"name": "cors", "consumer": null, "service": {"id": "x"}, "n": 1});
        assert_eq!(value(&keys), r#"{consumer=null,n=1,name="cors",service={id="x"}}"#);
    }

    #[test]
    fn a_hole_in_a_list_is_written_with_its_number() {
        let list = ErrorTree::items([(1, ErrorTree::from("bad"))]);
        assert_eq!(compact(&list), r#"{[2]="bad"}"#);
    }

    #[test]
    fn text_with_line_breaks_stands_in_long_brackets() {
        let mut out = String::new();
        quote(&mut out, "a\nb");
        assert_eq!(out, "[[a\nb]]");
        out.clear();
        quote(&mut out, "x[[y]]");
        assert_eq!(out, "[=[x[[y]]]=]");
        out.clear();
        quote(&mut out, "say \"hi\"");
        assert_eq!(out, r#""say \"hi\"""#);
    }
}
