//! Finds what is meant for a server name: exact names first, then a wildcard for the first label, then one for
//! the last, then what is there for everybody.

use std::collections::HashMap;

/// Values by server name pattern: `a.example.com`, `*.example.com`, `a.example.*` or `*`. Case does not matter.
#[derive(Debug, Clone)]
pub struct ServerNames<T> {
    exact: HashMap<Box<str>, T>,
    /// By what follows the star.
    any_first: HashMap<Box<str>, T>,
    /// By what precedes the star.
    any_last: HashMap<Box<str>, T>,
    everybody: Option<T>,
}

impl<T> Default for ServerNames<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), any_first: HashMap::new(), any_last: HashMap::new(), everybody: None }
    }
}

impl<T> ServerNames<T> {
    /// Sets the value of a pattern and returns the one it had. A star stands for exactly one label.
    pub fn insert(&mut self, pattern: &str, value: T) -> Option<T> {
        let pattern = pattern.to_ascii_lowercase();
        if pattern == "*" {
            return self.everybody.replace(value);
        }
        if let Some(rest) = pattern.strip_prefix("*.") {
            return self.any_first.insert(rest.into(), value);
        }
        match pattern.strip_suffix(".*") {
            Some(rest) => self.any_last.insert(rest.into(), value),
            None => self.exact.insert(pattern.into(), value),
        }
    }

    /// The value for a name as a greeting carries it (lower case), or for a client that sent none.
    pub fn find(&self, name: Option<&str>) -> Option<&T> {
        let found = name.and_then(|name| {
            self.exact
                .get(name)
                .or_else(|| self.any_first.get(name.split_once('.')?.1))
                .or_else(|| self.any_last.get(name.rsplit_once('.')?.0))
        });
        found.or(self.everybody.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_pattern_wins() {
        let mut names = ServerNames::default();
        for pattern in ["a.b.test", "*.b.test", "a.b.*", "*", "*.TEST"] {
            assert_eq!(names.insert(pattern, pattern), None);
        }
        for (name, expected) in [
            (Some("a.b.test"), "a.b.test"),
            (Some("x.b.test"), "*.b.test"),
            (Some("a.b.example"), "a.b.*"),
            (Some("b.test"), "*.TEST"),
            (Some("x.a.b.test"), "*"),
            (Some("a.b.example.com"), "*"),
            (Some("localhost"), "*"),
            (None, "*"),
        ] {
            assert_eq!(names.find(name), Some(&expected), "{name:?}");
        }
        assert_eq!(ServerNames::<()>::default().find(Some("a.test")), None);
    }
}
