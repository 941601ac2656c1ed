//! Names as they are looked up: lower case, bounded, and in the order in which search domains are tried.

use smallvec::SmallVec;

use crate::DnsError;

/// Longest name in text form (RFC 1035, section 2.3.4), with a final dot.
const MAX_NAME: usize = 254;

/// A name in lower case, without allocating for the common lengths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LowerName(SmallVec<[u8; 64]>);

impl LowerName {
    pub fn new(name: &str) -> Result<Self, DnsError> {
        let bare = name.strip_suffix('.').unwrap_or(name);
        let labels_fit = bare.split('.').all(|label| (1..=63).contains(&label.len()));
        if name.len() > MAX_NAME || !labels_fit || !name.is_ascii() {
            return Err(DnsError::BadName);
        }
        Ok(Self(name.bytes().map(|byte| byte.to_ascii_lowercase()).collect()))
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII was let in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The full names to ask for. A final dot means that the name is complete.
pub(crate) fn full_names(name: &str, search: &[String], ndots: usize) -> Vec<String> {
    if let Some(bare) = name.strip_suffix('.') {
        return vec![bare.to_owned()];
    }
    let dots = name.bytes().filter(|byte| *byte == b'.').count();
    let mut names: Vec<String> =
        search.iter().map(|domain| format!("{name}.{}", domain.trim_matches('.').to_ascii_lowercase())).collect();
    let bare = if dots < ndots { names.len() } else { 0 };
    names.insert(bare, name.to_owned());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_few_dots_are_searched_first_and_others_last() {
        let search = ["a.test".to_owned(), "b.test".to_owned()];
        assert_eq!(full_names("web", &search, 1), ["web.a.test", "web.b.test", "web"]);
        assert_eq!(full_names("web.x", &search, 1), ["web.x", "web.x.a.test", "web.x.b.test"]);
        assert_eq!(full_names("web.x", &search, 2), ["web.x.a.test", "web.x.b.test", "web.x"]);
        assert_eq!(full_names("web.", &search, 5), ["web"]);
    }

    #[test]
    fn names_that_cannot_be_asked_for_are_refused() {
        assert_eq!(LowerName::new("Web.Test").map(|name| name.as_str().to_owned()), Ok("web.test".to_owned()));
        for bad in ["", ".", "a..b", ".a", &"x".repeat(64), &"a.".repeat(200), "ä.test"] {
            assert_eq!(LowerName::new(bad), Err(DnsError::BadName), "{bad:?}");
        }
    }
}
