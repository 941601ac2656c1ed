//! Regular expressions of route paths and headers: linear time where possible, PCRE where a `traditional` route
//! needs what only PCRE has.

use std::sync::Arc;

use gibbon_expr::Pattern;
use regex_syntax::hir::{Hir, HirKind, Look};

use crate::spec::Flavor;

/// Steps after which PCRE gives up, so that a pattern cannot be made to backtrack for seconds.
const MATCH_LIMIT: &str = "(*LIMIT_MATCH=10000)";

#[derive(Debug, Clone)]
pub(crate) enum Regex {
    Linear(Pattern),
    /// Look-around or back-references.
    Backtracking(Arc<pcre2::bytes::Regex>),
}

impl Regex {
    /// A path's regular expression (without the `~`), anchored at the start.
    pub(crate) fn of_path(flavor: Flavor, text: &str) -> Result<Regex, String> {
        match flavor {
            Flavor::Traditional => Regex::traditional(&format!("^(?:{text})")),
            _ => Pattern::new(&compatible(text)).map(Regex::Linear).map_err(|e| e.to_string()),
        }
    }

    /// A header value's regular expression (without the `~*`), found anywhere in the lower-cased value.
    pub(crate) fn of_header(flavor: Flavor, text: &str) -> Result<Regex, String> {
        match flavor {
            Flavor::Traditional => Regex::traditional(text),
            _ => Pattern::new(&text.to_ascii_lowercase()).map(Regex::Linear).map_err(|e| e.to_string()),
        }
    }

    fn traditional(text: &str) -> Result<Regex, String> {
        if let Ok(pattern) = Pattern::new_for_bytes(text) {
            return Ok(Regex::Linear(pattern));
        }
        pcre2::bytes::Regex::new(&format!("{MATCH_LIMIT}{text}"))
            .map(|regex| Regex::Backtracking(Arc::new(regex)))
            .map_err(|e| e.to_string())
    }

    pub(crate) fn find(&self, input: &[u8]) -> Option<(usize, usize)> {
        match self {
            Regex::Linear(pattern) => pattern.find(input),
            // An exceeded limit counts as no match.
            Regex::Backtracking(regex) => regex.find(input).ok().flatten().map(|m| (m.start(), m.end())),
        }
    }

    pub(crate) fn is_match(&self, input: &[u8]) -> bool {
        match self {
            Regex::Linear(pattern) => pattern.is_match(input),
            Regex::Backtracking(regex) => regex.is_match(input).unwrap_or(false),
        }
    }

    /// What every path that matches begins with.
    pub(crate) fn literal_prefix(&self) -> Vec<u8> {
        match self {
            Regex::Linear(pattern) => literal_prefix(pattern.as_str()),
            Regex::Backtracking(_) => Vec::new(),
        }
    }
}

/// How a path's regular expression is handed to the engine of the newer flavours.
pub(crate) fn compatible(text: &str) -> String {
    format!("^{}", text.replace("?<", "?P<"))
}

/// The literal bytes behind a leading `^`; empty if there is no such anchor.
pub(crate) fn literal_prefix(text: &str) -> Vec<u8> {
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
    let mut prefix = Vec::new();
    if let Ok(hir) = parsed {
        let mut anchored = false;
        collect_literal(&hir, &mut anchored, &mut prefix);
    }
    prefix
}

/// Appends the literal start of `hir`; tells whether all of it was literal.
fn collect_literal(hir: &Hir, anchored: &mut bool, prefix: &mut Vec<u8>) -> bool {
    match hir.kind() {
        HirKind::Empty => true,
        HirKind::Look(Look::Start) => {
            *anchored = true;
            true
        }
        HirKind::Literal(literal) if *anchored => {
            prefix.extend_from_slice(&literal.0);
            true
        }
        HirKind::Capture(group) => collect_literal(&group.sub, anchored, prefix),
        HirKind::Concat(parts) => parts.iter().all(|part| collect_literal(part, anchored, prefix)),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_start_ends_where_choice_begins() {
        let prefix = |text: &str| String::from_utf8(literal_prefix(text)).unwrap();
        assert_eq!(prefix(r"^/api/v1/\d+"), "/api/v1/");
        assert_eq!(prefix(r"^/api(/v1)/x?"), "/api/v1/");
        assert_eq!(prefix(r"^/(?i)abc"), "/");
        assert_eq!(prefix(r"^/a|/b"), "");
        assert_eq!(prefix(r"/a"), "");
        assert_eq!(prefix(r"^/a\.b$"), "/a.b");
        assert_eq!(prefix(r"^/ab*"), "/a");
    }

    #[test]
    fn traditional_falls_back_to_pcre_for_look_around() {
        let regex = Regex::of_path(Flavor::Traditional, r"/a(?!b)").unwrap();
        assert!(matches!(regex, Regex::Backtracking(_)));
        assert!(regex.is_match(b"/ac") && !regex.is_match(b"/ab") && !regex.is_match(b"/x/ac"));
        assert!(Regex::of_path(Flavor::TraditionalCompatible, r"/a(?!b)").is_err());
    }
}
