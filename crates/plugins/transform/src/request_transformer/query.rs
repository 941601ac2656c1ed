//! A query string taken apart, changed and put together again, as Kong does it: decoded, sorted by name, encoded
//! anew.

use gibbon_message::uri;

/// Arguments by name; a name without `=` has no value.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Arguments(Vec<(String, Vec<Option<String>>)>);

impl Arguments {
    /// Reads a query string or a form.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut all = Arguments::default();
        for (name, value) in uri::arguments(text) {
            let value = value.map(|v| String::from_utf8_lossy(&v).into_owned());
            all.push(&String::from_utf8_lossy(&name), value);
        }
        all
    }

    fn push(&mut self, name: &str, value: Option<String>) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name.to_owned(), vec![value])),
        }
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| n != name);
    }

    pub fn rename(&mut self, old: &str, new: &str) {
        if let Some(at) = self.0.iter().position(|(n, _)| n == old) {
            let (_, values) = self.0.remove(at);
            self.remove(new);
            self.0.push((new.to_owned(), values));
        }
    }

    pub fn set(&mut self, name: &str, value: String) {
        self.remove(name);
        self.0.push((name.to_owned(), vec![Some(value)]));
    }

    pub fn append(&mut self, name: &str, value: String) {
        self.push(name, Some(value));
    }

    /// The encoded text; `sorted` by name, or in order.
    #[must_use]
    pub fn encode(mut self, sorted: bool) -> Vec<u8> {
        if sorted {
            self.0.sort_by(|a, b| a.0.cmp(&b.0));
        }
        let mut out = Vec::new();
        for (name, values) in &self.0 {
            for value in values {
                if !out.is_empty() {
                    out.push(b'&');
                }
                escape(&mut out, name);
                if let Some(value) = value {
                    out.push(b'=');
                    escape(&mut out, value);
                }
            }
        }
        out
    }
}

/// Leaves letters, digits and `-_.~` as they are.
fn escape(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte);
        } else {
            let digit = |n: u8| HEX.get(usize::from(n)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}
