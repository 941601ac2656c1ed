//! Regular expressions over bytes, with the syntax and the anchoring rules of the router.

use std::fmt;
use std::sync::Arc;

use regex_automata::PatternID;
use regex_automata::meta::{Config, Regex};
use regex_automata::util::captures;
use regex_automata::util::syntax;

/// A regular expression that does not compile; the text is the regex engine's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub String);

/// A compiled regular expression. Matching takes time linear in the input, so a hostile path cannot
/// make it explode.
#[derive(Clone)]
pub struct Pattern {
    text: Arc<str>,
    regex: Regex,
}

/// Largest compiled size in bytes, as in Kong: a counted repetition of a repetition must not eat the memory.
const SIZE_LIMIT: usize = 10 << 20;

impl Pattern {
    /// Compiles `text`; `.` and classes match Unicode characters, never a stray byte.
    ///
    /// # Errors
    /// The syntax error as the regex engine words it.
    pub fn new(text: &str) -> Result<Pattern, PatternError> {
        Pattern::compiled(text, syntax::Config::new())
    }

    /// Compiles `text` with byte semantics: `.` matches any byte, `\d` only ASCII digits.
    ///
    /// # Errors
    /// The syntax error as the regex engine words it.
    pub fn new_for_bytes(text: &str) -> Result<Pattern, PatternError> {
        Pattern::compiled(text, syntax::Config::new().unicode(false).utf8(false))
    }

    fn compiled(text: &str, syntax: syntax::Config) -> Result<Pattern, PatternError> {
        // The one-pass automaton would only speed up captures, and takes four fifths of the memory of a pattern with
        // `\d` or `\w`: with tens of thousands of patterns that is what counts.
        let config = Config::new().nfa_size_limit(Some(SIZE_LIMIT)).onepass(false).utf8_empty(syntax.get_utf8());
        match Regex::builder().configure(config).syntax(syntax).build(text) {
            Ok(regex) => Ok(Pattern { text: text.into(), regex }),
            Err(error) => Err(PatternError(wording(text).unwrap_or_else(|| error.to_string()))),
        }
    }

    #[must_use]
    pub fn is_match(&self, input: &[u8]) -> bool {
        self.regex.is_match(input)
    }

    /// Start and end of the leftmost match.
    #[must_use]
    pub fn find(&self, input: &[u8]) -> Option<(usize, usize)> {
        self.regex.find(input).map(|found| (found.start(), found.end()))
    }

    /// Calls `visit` with number, name and text of each group of the leftmost match; the whole match is group 0.
    pub fn each_group<'s, 'i>(
        &'s self,
        input: &'i [u8],
        mut visit: impl FnMut(usize, Option<&'s str>, Option<&'i [u8]>),
    ) {
        let mut groups: captures::Captures = self.regex.create_captures();
        self.regex.captures(input, &mut groups);
        if !groups.is_match() {
            return;
        }
        for (number, name) in self.regex.group_info().pattern_names(PatternID::ZERO).enumerate() {
            visit(number, name, groups.get_group(number).and_then(|span| input.get(span.range())));
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The error text that people know, drawn with the pattern.
fn wording(text: &str) -> Option<String> {
    regex::bytes::Regex::new(text).err().map(|error| error.to_string())
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn unicode_and_bytes_differ_in_what_a_dot_is() {
        assert!(!Pattern::new("^a.$").unwrap().is_match(b"a\xff"));
        assert!(Pattern::new("^a.$").unwrap().is_match("aé".as_bytes()));
        assert!(Pattern::new_for_bytes("^a.$").unwrap().is_match(b"a\xff"));
    }

    #[test]
    fn groups_come_with_number_name_and_text() {
        let mut seen = Vec::new();
        Pattern::new(r"^/(?<id>\d+)(x)?").unwrap().each_group(b"/12", |number, name, text| {
            seen.push((number, name.map(str::to_owned), text.map(<[u8]>::to_vec)));
        });
        let id = (1, Some("id".to_owned()), Some(b"12".to_vec()));
        assert_eq!(seen, [(0, None, Some(b"/12".to_vec())), id, (2, None, None)]);
    }

    #[test]
    fn a_pattern_that_would_eat_the_memory_is_refused() {
        let error = Pattern::new(r"(\w{1000}){1000}").unwrap_err();
        assert_eq!(error.to_string(), "Compiled regex exceeds size limit of 10485760 bytes.");
    }
}
