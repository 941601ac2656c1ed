//! Regular expressions over bytes, with the syntax and the anchoring rules of the router.

use std::fmt;
use std::sync::Arc;

use regex::bytes::{Captures, Regex, RegexBuilder};

/// A regular expression that does not compile; the text is the regex engine's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

/// A compiled regular expression. Matching takes time linear in the input, so a hostile path cannot
/// make it explode.
#[derive(Clone)]
pub struct Pattern(Arc<Regex>);

impl Pattern {
    /// Compiles `text`; `.` and classes match Unicode characters, never a stray byte.
    ///
    /// # Errors
    /// The syntax error as the regex engine words it.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        Regex::new(text).map(|regex| Pattern(Arc::new(regex))).map_err(|e| PatternError(e.to_string()))
    }

    /// Compiles `text` with byte semantics: `.` matches any byte, `\d` only ASCII digits.
    ///
    /// # Errors
    /// The syntax error as the regex engine words it.
    pub fn new_for_bytes(text: &str) -> Result<Pattern, PatternError> {
        RegexBuilder::new(text)
            .unicode(false)
            .build()
            .map(|regex| Pattern(Arc::new(regex)))
            .map_err(|e| PatternError(e.to_string()))
    }

    #[must_use]
    pub fn is_match(&self, input: &[u8]) -> bool {
        self.0.is_match(input)
    }

    /// Start and end of the leftmost match.
    #[must_use]
    pub fn find(&self, input: &[u8]) -> Option<(usize, usize)> {
        self.0.find(input).map(|found| (found.start(), found.end()))
    }

    #[must_use]
    pub fn captures<'i>(&self, input: &'i [u8]) -> Option<Captures<'i>> {
        self.0.captures(input)
    }

    /// Names of the groups in order of their number; `None` for a nameless one.
    pub fn group_names(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.capture_names()
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.as_str())
    }
}
