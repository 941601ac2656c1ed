//! Names of form fields taken apart: `config.redis.host`, `paths[]`, `paths[1]`, `headers[x-a][]`, `headers.x-a[]`.

use std::borrow::Cow;

use gibbon_message::uri;
use indexmap::IndexMap;

/// How many fields are read (as many as nginx's default), and how deep names may nest.
const MAX_FIELDS: usize = 1000;
const MAX_DEPTH: usize = 16;

/// A tree of texts.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// One or more texts given under the same name.
    Texts(Vec<String>),
    /// By the next part of the name.
    Fields(IndexMap<String, Node>),
}

impl Default for Node {
    fn default() -> Self {
        Node::Fields(IndexMap::new())
    }
}

impl Node {
    /// From `a=b&c=d`; nothing if that is not UTF-8, which nothing that is stored may be.
    pub fn from_urlencoded(text: &[u8]) -> Option<Node> {
        let string = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).ok();
        let pairs = uri::arguments(text).map(|(name, value)| Some((string(name)?, string(value.unwrap_or_default())?)));
        pairs.collect::<Option<Vec<_>>>().map(Self::from_pairs)
    }

    /// From names and values.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Node {
        let mut root = Node::default();
        for (name, value) in pairs.into_iter().take(MAX_FIELDS) {
            root.put(&parts(&name), value);
        }
        root
    }

    fn put(&mut self, path: &[String], value: String) {
        let Some((first, rest)) = path.split_first() else {
            match self {
                Node::Texts(texts) => texts.push(value),
                Node::Fields(fields) if fields.is_empty() => *self = Node::Texts(vec![value]),
                Node::Fields(_) => {}
            }
            return;
        };
        if let Node::Texts(_) = self {
            // A name that was a value and is a prefix now: the longer name says more.
            *self = Node::default();
        }
        let Node::Fields(fields) = self else { return };
        let name = if first.is_empty() { (fields.len() + 1).to_string() } else { first.clone() };
        fields.entry(name).or_default().put(rest, value);
    }

    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match self {
            Node::Fields(fields) => fields.get(name),
            Node::Texts(_) => None,
        }
    }

    /// The only text of a leaf.
    pub fn text(&self) -> Option<&str> {
        match self {
            Node::Texts(texts) => texts.first().map(String::as_str),
            Node::Fields(_) => None,
        }
    }
}

/// The parts of a name; an empty one stands for the next free place of a list.
fn parts(name: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() && parts.len() < MAX_DEPTH {
        if let Some(inside) = rest.strip_prefix('[')
            && let Some((part, after)) = inside.split_once(']')
        {
            parts.push(part.to_owned());
            rest = after.strip_prefix('.').unwrap_or(after);
            continue;
        }
        let end = rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '[')).map_or(rest.len(), |(at, _)| at);
        let (part, after) = rest.split_at(end);
        parts.push(part.to_owned());
        rest = after.strip_prefix('.').unwrap_or(after);
    }
    parts
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_at_dots_and_brackets() {
        assert_eq!(parts("config.redis.host"), ["config", "redis", "host"]);
        assert_eq!(parts("paths[]"), ["paths", ""]);
        assert_eq!(parts("filters[1].name"), ["filters", "1", "name"]);
        assert_eq!(parts("headers[x-a][]"), ["headers", "x-a", ""]);
        assert_eq!(parts("headers.x-a[]"), ["headers", "x-a", ""]);
        assert_eq!(parts("a["), ["a", "["]);
    }

    #[test]
    fn a_repeated_name_collects_its_texts() {
        let form = Node::from_urlencoded(b"paths=%2Fa&paths=%2Fb").unwrap();
        assert_eq!(form.get("paths"), Some(&Node::Texts(vec!["/a".into(), "/b".into()])));
    }

    #[test]
    fn what_is_not_utf_8_is_no_form() {
        for form in [&b"name=%ff"[..], b"name=\xff", b"%c3=a"] {
            assert_eq!(Node::from_urlencoded(form), None);
        }
        assert!(Node::from_urlencoded("name=ü&b=%c3%bc".as_bytes()).is_some());
    }
}
