//! Regular expressions of configurations, run on what clients send.
//!
//! Most patterns mean the same to an engine whose time is linear in the text, so that engine runs them. What only
//! PCRE has (look-around, back references) runs there, with a bound on its steps: a pattern that takes exponential
//! time on a hostile text must not hold a worker.

use gibbon_pdk::BuildError;

/// Steps that a match may take, a few hundred microseconds; a text that needs more does not match.
const STEPS: &str = "(*LIMIT_MATCH=100000)(*LIMIT_DEPTH=100000)";

/// A compiled pattern.
#[derive(Debug)]
pub enum Pattern {
    Linear(regex::bytes::Regex),
    Perl(Box<pcre2::bytes::Regex>),
}

impl Pattern {
    /// # Errors
    /// What is wrong with the pattern.
    pub fn new(plugin: &str, text: &str) -> Result<Self, BuildError> {
        if let Ok(regex) = regex::bytes::RegexBuilder::new(text).unicode(false).size_limit(4 << 20).build() {
            return Ok(Pattern::Linear(regex));
        }
        match pcre2::bytes::RegexBuilder::new().jit_if_available(false).build(&format!("{STEPS}{text}")) {
            Ok(regex) => Ok(Pattern::Perl(Box::new(regex))),
            Err(error) => {
                let cause = format!("'{text}' is no regular expression: {error}");
                Err(BuildError { plugin: plugin.to_owned(), cause })
            }
        }
    }

    /// Whether the pattern is found in a text.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Pattern::Linear(regex) => regex.is_match(text),
            Pattern::Perl(regex) => regex.is_match(text).unwrap_or_else(|error| {
                tracing::warn!("a pattern was given up on a text of {} bytes: {error}", text.len());
                false
            }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new("test", text).unwrap()
    }

    #[test]
    fn plain_patterns_take_linear_time() {
        let plain = pattern("^(a+)+$");
        assert!(matches!(plain, Pattern::Linear(_)));
        assert!(plain.is_match(b"aaa") && !plain.is_match(format!("{}b", "a".repeat(100_000)).as_bytes()));
    }

    #[test]
    fn what_only_perl_has_is_bounded() {
        let perl = pattern("^(?!x)(a+)+$");
        assert!(matches!(perl, Pattern::Perl(_)));
        assert!(perl.is_match(b"aaa"));
        assert!(!perl.is_match(format!("{}b", "a".repeat(64)).as_bytes()), "given up");
    }

    #[test]
    fn a_broken_pattern_is_told() {
        let error = Pattern::new("test", "(").unwrap_err();
        assert!(error.to_string().contains("'(' is no regular expression"), "{error}");
    }
}
