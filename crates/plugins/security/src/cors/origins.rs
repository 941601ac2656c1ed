//! Which origins are allowed, compiled once per configuration.

use gibbon_pdk::BuildError;

use crate::pattern::Pattern;

/// What a configuration says of origins.
#[derive(Debug)]
pub enum Origins {
    /// Every origin.
    All,
    /// One, named literally: it is told to everybody, whoever asks.
    One(String),
    /// Each request's origin is looked for.
    Listed(Vec<Entry>),
}

/// One entry of a list.
#[derive(Debug)]
pub enum Entry {
    All,
    /// The whole origin.
    Exactly(String),
    /// A pattern for the host alone, since it has no `:`.
    Host(Pattern),
    /// A pattern for the whole origin.
    Whole(Pattern),
}

/// An origin of a request in its normal form: no port that the scheme implies.
#[derive(Debug, PartialEq, Eq)]
pub struct Origin {
    pub text: String,
    host: String,
}

impl Origins {
    /// # Errors
    /// A pattern that cannot be compiled.
    pub fn new(configured: &[String]) -> Result<Self, BuildError> {
        match configured {
            [] => Ok(Origins::All),
            [one] if one == "*" => Ok(Origins::All),
            [one] if is_literal(one) => Ok(Origins::One(one.clone())),
            many => Ok(Origins::Listed(many.iter().map(|text| Entry::new(text)).collect::<Result<_, _>>()?)),
        }
    }
}

impl Entry {
    fn new(text: &str) -> Result<Self, BuildError> {
        if text == "*" {
            return Ok(Entry::All);
        }
        if is_literal(text) {
            return Ok(Entry::Exactly(Origin::parse(text).text));
        }
        let pattern = text.strip_prefix('^').unwrap_or(text);
        let end = if pattern.ends_with('$') { "" } else { "$" };
        let pattern = Pattern::new(super::PART.name, &format!("^(?:{pattern}{end})"))?;
        Ok(if text.contains(':') { Entry::Whole(pattern) } else { Entry::Host(pattern) })
    }

    /// Whether the entry allows an origin. [`Entry::All`] is for the caller to look at first.
    pub fn allows(&self, origin: &Origin) -> bool {
        match self {
            Entry::All => true,
            Entry::Exactly(text) => *text == origin.text,
            Entry::Host(pattern) => pattern.is_match(origin.host.as_bytes()),
            Entry::Whole(pattern) => pattern.is_match(origin.text.as_bytes()),
        }
    }
}

impl Origin {
    pub fn parse(text: &str) -> Self {
        let as_it_is = || Origin { text: text.to_owned(), host: text.to_owned() };
        let Some((scheme, rest)) = text.split_once("://") else { return as_it_is() };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        if authority.is_empty() {
            return as_it_is();
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The colons inside of brackets are the address's own.
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = port.filter(|port| !matches!((scheme, *port), ("http", "80") | ("https", "443")));
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Origin { text: format!("{scheme}://{host}{port}"), host: host.to_owned() }
    }
}

/// Whether a text can only be meant literally. Dots count as literal ones: `a.test` is a host, not a pattern.
fn is_literal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_a_normal_form() {
        let text = |origin: &str| Origin::parse(origin).text;
        assert_eq!(text("http://a.test:80"), "http://a.test");
        assert_eq!(text("https://a.test:443/"), "https://a.test");
        assert_eq!(text("https://a.test:80"), "https://a.test:80");
        assert_eq!(text("http://[::1]:8080"), "http://[::1]:8080");
        assert_eq!(Origin::parse("http://[::1]"), Origin { text: "http://[::1]".into(), host: "[::1]".into() });
        assert_eq!(text("null"), "null");
    }

    #[test]
    fn patterns_are_anchored_and_look_at_the_host_unless_they_name_a_scheme() {
        let allows = |entry: &str, origin: &str| Entry::new(entry).unwrap().allows(&Origin::parse(origin));
        assert!(allows(r"(.*\.)?a\.test", "https://x.a.test:8443"));
        assert!(!allows(r"(.*\.)?a\.test", "https://a.test.evil"));
        assert!(!allows(r"^a\.test$|x", "https://evil-a.test"));
        assert!(allows(r"https://.+\.a\.test", "https://x.a.test"));
        assert!(!allows(r"https://.+\.a\.test", "http://x.a.test"));
        assert!(allows("https://a.test:443", "https://a.test"));
    }
}
