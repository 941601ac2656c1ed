//! Walking over the members of a JSON object without building anything: for reading `model` and
//! `usage` out of traffic that passes through, thousands of times per second.
//!
//! The walk matches quotes and brackets; it does not check the text between them. Keys are compared
//! after unescaping, so that `"mod\u0065l"` cannot hide a field from the gateway that the provider
//! would see.

use memchr::memchr2;
use std::borrow::Cow;

/// Bytes of a short string.
const SHORT: usize = 24;

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<'a> {
    /// The key, unescaped.
    pub key: Cow<'a, str>,
    /// The text of the value.
    pub value: &'a [u8],
    /// Where the member starts: at its key's quote.
    pub start: usize,
    /// Where the value starts.
    pub value_start: usize,
    /// Where the value ends.
    pub end: usize,
}

/// Walks over the members of an object.
#[derive(Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    at: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    First,
    Next,
    Done,
    Broken,
}

/// The members of the object that `text` holds.
#[must_use]
pub fn members(text: &[u8]) -> Members<'_> {
    let at = skip_space(text, 0);
    let state = if text.get(at) == Some(&b'{') { State::First } else { State::Broken };
    Members { text, at: at + 1, state }
}

impl<'a> Members<'a> {
    /// Whether the walk ended at the closing bracket. False while it goes on, after an error, and
    /// when `text` is no object.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.state == State::Done
    }

    /// Where the walk stands: after its end, just behind the closing bracket.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    fn step(&mut self) -> Option<Member<'a>> {
        let text = self.text;
        let mut at = skip_space(text, self.at);
        match (text.get(at)?, &self.state) {
            (b'}', _) => {
                self.state = State::Done;
                self.at = at + 1;
                return None;
            }
            (b',', State::Next) => at = skip_space(text, at + 1),
            (_, State::First) => {}
            _ => return None,
        }
        let start = at;
        let key_end = string_end(text, at)?;
        let key = unescape(text.get(start + 1..key_end - 1)?)?;
        at = skip_space(text, key_end);
        if text.get(at) != Some(&b':') {
            return None;
        }
        let value_start = skip_space(text, at + 1);
        let end = value_end(text, value_start)?;
        self.at = end;
        self.state = State::Next;
        Some(Member { key, value: text.get(value_start..end)?, start, value_start, end })
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        if matches!(self.state, State::Done | State::Broken) {
            return None;
        }
        let member = self.step();
        if member.is_none() && self.state != State::Done {
            self.state = State::Broken;
        }
        member
    }
}

/// The text of the value of `key` at the top level of the object `text`. Of several the last, as
/// JSON parsers have it.
#[must_use]
pub fn get<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    members(text).filter(|m| m.key == key).last().map(|m| m.value)
}

/// The string a value's text stands for.
#[must_use]
pub fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    unescape(inner)
}

/// The elements of the array that `text` holds, as texts. Ends early at an error.
pub fn elements(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let start = skip_space(text, 0);
    let mut at = if text.get(start) == Some(&b'[') { Some(start + 1) } else { None };
    std::iter::from_fn(move || {
        let mut from = skip_space(text, at?);
        if text.get(from) == Some(&b',') {
            from = skip_space(text, from + 1);
        }
        if matches!(text.get(from), None | Some(b']')) {
            at = None;
            return None;
        }
        at = value_end(text, from);
        text.get(from..at?)
    })
}

fn unescape(inner: &[u8]) -> Option<Cow<'_, str>> {
    let escapes = if inner.len() <= SHORT { inner.contains(&b'\\') } else { memchr::memchr(b'\\', inner).is_some() };
    if !escapes {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let quoted = [b"\"", inner, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(Cow::Owned)
}

pub(super) fn skip_space(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

/// The end of the string whose opening quote is at `at`, behind its closing quote.
fn string_end(text: &[u8], at: usize) -> Option<usize> {
    if text.get(at) != Some(&b'"') {
        return None;
    }
    let mut from = at + 1;
    // Keys and most values are short: looking at their bytes costs less than the call of a search.
    let near = text.get(from..)?.iter().take(SHORT).position(|b| matches!(b, b'"' | b'\\'));
    match near {
        Some(n) if text.get(from + n) == Some(&b'"') => return Some(from + n + 1),
        Some(n) => from += n,
        None => from = (from + SHORT).min(text.len()),
    }
    loop {
        let found = from + memchr2(b'"', b'\\', text.get(from..)?)?;
        if text.get(found) == Some(&b'"') {
            return Some(found + 1);
        }
        from = found + 2;
    }
}

/// The end of the value that starts at `at`.
fn value_end(text: &[u8], at: usize) -> Option<usize> {
    match text.get(at)? {
        b'"' => string_end(text, at),
        b'{' | b'[' => {
            let mut depth = 0usize;
            let mut at = at;
            loop {
                match text.get(at)? {
                    b'"' => {
                        at = string_end(text, at)?;
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => {
                        depth -= 1;
                        if depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        b',' | b'}' | b']' | b':' => None,
        _ => {
            let end = text.get(at..)?.iter().position(|b| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace());
            Some(end.map_or(text.len(), |n| at + n))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn top_level_values_are_found_whatever_the_prompt_holds() {
        let text = br#" { "messages":[{"content":"\"model\":\"evil\" } ]"}], "model" : "m\u0031" , "n": 5 }"#;
        assert_eq!(get(text, "model").and_then(string).as_deref(), Some("m1"));
        assert_eq!(get(text, "n"), Some(&b"5"[..]));
        assert_eq!(get(text, "content"), None);
    }

    #[test]
    fn an_escaped_key_is_the_key() {
        assert_eq!(get(br#"{"mod\u0065l":"x"}"#, "model"), Some(&br#""x""#[..]));
    }

    #[test]
    fn of_several_the_last_counts() {
        assert_eq!(get(br#"{"a":1,"a":2}"#, "a"), Some(&b"2"[..]));
    }

    #[test]
    fn a_walk_knows_whether_it_reached_the_end() {
        for (text, complete) in
            [("{}", true), ("{\"a\":[1,{}]}", true), ("{\"a\":1", false), ("[]", false), ("{\"a\" 1}", false)]
        {
            let mut m = members(text.as_bytes());
            while m.next().is_some() {}
            assert_eq!(m.is_complete(), complete, "{text}");
        }
    }

    #[test]
    fn elements_of_an_array_come_as_texts() {
        let got: Vec<&[u8]> = elements(br#" [1, "a,b" ,{"c":[2]}] "#).collect();
        assert_eq!(got, [&b"1"[..], br#""a,b""#, br#"{"c":[2]}"#]);
        assert_eq!(elements(b"5").count(), 0);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a-z\"\\\\{}\\[\\],:é\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\]{1,4}", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_walk_agrees_with_a_parser(map in prop::collection::btree_map("[a-z\"\\\\é]{1,4}", json(), 0..6), pretty: bool) {
            let value = Value::Object(map.clone().into_iter().collect());
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            let mut walk = members(&text);
            let got: std::collections::BTreeMap<String, Value> = walk
                .by_ref()
                .map(|m| (m.key.into_owned(), serde_json::from_slice(m.value).unwrap()))
                .collect();
            prop_assert!(walk.is_complete());
            prop_assert_eq!(got, map);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[{}\\[\\]\",:a\\\\ ]{0,60}") {
            members(&bytes).for_each(drop);
            members(text.as_bytes()).for_each(drop);
            elements(text.as_bytes()).for_each(drop);
        }
    }
}
