//! Reading a few short values at the top of a JSON object that passes by, piece by piece: images and transcripts run to
//! megabytes and say at their end what they used. Nothing is kept but the values that are looked for.

/// Longer values are not what is looked for.
const MOST: usize = 4096;
/// Longer keys are none of those.
const LONGEST_KEY: usize = 32;

/// Watches an object for the values of some keys.
#[derive(Debug)]
pub struct Watch {
    keys: &'static [&'static str],
    found: Vec<(&'static str, Vec<u8>)>,
    /// Brackets that are open.
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// At the top, what a string would be.
    expects: Expects,
    /// The key that is being read.
    key: Vec<u8>,
    /// The value that is being kept, and of which key.
    kept: Option<(&'static str, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Key,
    Value,
}

impl Watch {
    /// Looks for these keys. They are compared as they are written: an escaped one is not found.
    #[must_use]
    pub fn new(keys: &'static [&'static str]) -> Self {
        Self {
            keys,
            found: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            expects: Expects::Key,
            key: Vec::new(),
            kept: None,
        }
    }

    /// The text of the value of `key`, if it has come by.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.found.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value.as_slice())
    }

    /// Takes the next bytes.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some((&byte, after)) = rest.split_first() {
            // Most of a large answer is one long text that nobody looks for.
            if self.in_string && !self.escaped && !self.reads() {
                let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                if end > 0 {
                    rest = rest.get(end..).unwrap_or_default();
                    continue;
                }
            }
            self.take(byte);
            rest = after;
        }
    }

    /// Whether the bytes of a string matter.
    fn reads(&self) -> bool {
        self.kept.is_some() || (self.depth == 1 && self.expects == Expects::Key)
    }

    fn take(&mut self, byte: u8) {
        if self.in_string {
            self.in_string(byte);
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                if self.depth == 1 && self.expects == Expects::Key {
                    self.key.clear();
                }
            }
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                if self.depth == 1 {
                    self.value_ends();
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 && self.expects == Expects::Key => {
                self.expects = Expects::Value;
                let wanted = self.keys.iter().find(|key| key.as_bytes() == self.key).copied();
                self.kept = wanted.map(|key| (key, Vec::new()));
                return;
            }
            b',' if self.depth == 1 => {
                self.value_ends();
                self.expects = Expects::Key;
            }
            _ => {}
        }
        self.keep(byte);
    }

    fn in_string(&mut self, byte: u8) {
        let key = self.depth == 1 && self.expects == Expects::Key;
        if self.escaped {
            self.escaped = false;
        } else if byte == b'\\' {
            self.escaped = true;
        } else if byte == b'"' {
            self.in_string = false;
        }
        if key && self.in_string && self.key.len() < LONGEST_KEY {
            self.key.push(byte);
        }
        self.keep(byte);
    }

    fn keep(&mut self, byte: u8) {
        let Some((_, value)) = &mut self.kept else { return };
        if value.len() == MOST {
            self.kept = None;
        } else if !value.is_empty() || !byte.is_ascii_whitespace() {
            value.push(byte);
        }
    }

    fn value_ends(&mut self) {
        let Some((key, mut value)) = self.kept.take() else { return };
        value.truncate(value.trim_ascii_end().len());
        self.found.retain(|(name, _)| *name != key);
        self.found.push((key, value));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn watched(text: &[u8], size: usize) -> Watch {
        let mut watch = Watch::new(&["usage", "model"]);
        text.chunks(size).for_each(|chunk| watch.push(chunk));
        watch
    }

    #[test]
    fn values_at_the_top_are_found_wherever_the_text_is_cut() {
        let text = br#" {"data":[{"usage":1,"b64":"\"usage\":{}"}], "model" : "m\"x" ,"usage": {"input_tokens":5, "x":[1,{}]} } "#;
        for size in 1..text.len() {
            let watch = watched(text, size);
            assert_eq!(watch.get("usage"), Some(&br#"{"input_tokens":5, "x":[1,{}]}"#[..]), "{size}");
            assert_eq!(watch.get("model"), Some(&br#""m\"x""#[..]), "{size}");
        }
    }

    #[test]
    fn only_short_values_are_kept_and_of_several_the_last() {
        let long = format!(r#"{{"model":"{}","usage":1,"usage":2}}"#, "x".repeat(2 * MOST));
        let watch = watched(long.as_bytes(), 1000);
        assert_eq!((watch.get("model"), watch.get("usage")), (None, Some(&b"2"[..])));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1usize..20) {
            watched(&bytes, size);
        }
    }
}
