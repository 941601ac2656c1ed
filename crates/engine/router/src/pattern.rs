//! Regular expressions of route paths and headers: linear time where possible, PCRE where a `traditional` route
//! needs what only PCRE has.

use std::sync::Arc;

use gibbon_expr::Pattern;
use regex_syntax::hir::{Hir, HirKind, Look};

use crate::spec::Flavor;

/// Steps after which PCRE gives up, so that a pattern cannot be made to backtrack for seconds.
const MATCH_LIMIT: &str = "(*LIMIT_MATCH=10000)";

/// A regular expression with what is known of every text it matches.
#[derive(Debug, Clone)]
pub(crate) struct Regex {
    engine: Engine,
    shape: Shape,
}

#[derive(Debug, Clone)]
pub(crate) enum Engine {
    Linear(Pattern),
    /// Look-around or back-references.
    Backtracking(Arc<pcre2::bytes::Regex>),
}

impl Regex {
    /// A path's regular expression (without the `~`), anchored at the start.
    pub(crate) fn of_path(flavor: Flavor, text: &str) -> Result<Regex, String> {
        match flavor {
            Flavor::Traditional => Regex::traditional(&format!("^(?:{text})")),
            _ => Regex::linear(&compatible(text)),
        }
    }

    /// A header value's regular expression (without the `~*`), found anywhere in the lower-cased value.
    pub(crate) fn of_header(flavor: Flavor, text: &str) -> Result<Regex, String> {
        match flavor {
            Flavor::Traditional => Regex::traditional(text),
            _ => Regex::linear(&text.to_ascii_lowercase()),
        }
    }

    fn linear(text: &str) -> Result<Regex, String> {
        let pattern = Pattern::new(text).map_err(|e| e.to_string())?;
        Ok(Regex { shape: Shape::of(text), engine: Engine::Linear(pattern) })
    }

    fn traditional(text: &str) -> Result<Regex, String> {
        if let Ok(pattern) = Pattern::new_for_bytes(text) {
            return Ok(Regex { shape: Shape::of(text), engine: Engine::Linear(pattern) });
        }
        pcre2::bytes::Regex::new(&format!("{MATCH_LIMIT}{text}"))
            .map(|regex| Regex { shape: Shape::default(), engine: Engine::Backtracking(Arc::new(regex)) })
            .map_err(|e| e.to_string())
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn find(&self, input: &[u8]) -> Option<(usize, usize)> {
        if !self.shape.allows(input) {
            return None;
        }
        match &self.engine {
            Engine::Linear(pattern) => pattern.find(input),
            // An exceeded limit counts as no match.
            Engine::Backtracking(regex) => regex.find(input).ok().flatten().map(|m| (m.start(), m.end())),
        }
    }

    pub(crate) fn is_match(&self, input: &[u8]) -> bool {
        if !self.shape.allows(input) {
            return false;
        }
        match &self.engine {
            Engine::Linear(pattern) => pattern.is_match(input),
            Engine::Backtracking(regex) => regex.is_match(input).unwrap_or(false),
        }
    }

    /// What every text that matches begins with.
    pub(crate) fn literal_prefix(&self) -> &[u8] {
        &self.shape.prefix
    }
}

/// What the syntax of an expression tells about the texts it matches. Many routes share the start of their path and
/// differ behind a parameter (`/users/\d+/orders$`, `/users/\d+/groups$`): comparing the end is far cheaper than
/// running each expression.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// The literal start, if the expression is anchored there.
    pub(crate) prefix: Box<[u8]>,
    /// The literal end, if it is anchored there.
    suffix: Box<[u8]>,
}

impl Shape {
    /// Of an expression that may be wrong, which then tells nothing.
    pub(crate) fn of(text: &str) -> Shape {
        let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(text);
        let Ok(hir) = parsed else { return Shape::default() };
        let (mut prefix, mut suffix) = (Literal::default(), Literal::default());
        prefix.collect(&hir, End::Start);
        suffix.collect(&hir, End::End);
        suffix.text.reverse();
        Shape { prefix: prefix.text.into(), suffix: suffix.text.into() }
    }

    fn allows(&self, input: &[u8]) -> bool {
        input.ends_with(&self.suffix)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Start,
    End,
}

/// The literal text at one end of an expression, gathered from that end inwards.
#[derive(Default)]
struct Literal {
    anchored: bool,
    text: Vec<u8>,
}

impl Literal {
    /// Tells whether all of `hir` was literal, so that what lies further in may follow.
    fn collect(&mut self, hir: &Hir, end: End) -> bool {
        let anchor = if end == End::Start { Look::Start } else { Look::End };
        match hir.kind() {
            HirKind::Empty => true,
            HirKind::Look(look) if *look == anchor => {
                self.anchored = true;
                true
            }
            HirKind::Literal(literal) if self.anchored => {
                match end {
                    End::Start => self.text.extend_from_slice(&literal.0),
                    End::End => self.text.extend(literal.0.iter().rev()),
                }
                true
            }
            HirKind::Capture(group) => self.collect(&group.sub, end),
            HirKind::Concat(parts) if end == End::Start => parts.iter().all(|part| self.collect(part, end)),
            HirKind::Concat(parts) => parts.iter().rev().all(|part| self.collect(part, end)),
            _ => false,
        }
    }
}

/// How a path's regular expression is handed to the engine of the newer flavours.
pub(crate) fn compatible(text: &str) -> String {
    format!("^{}", text.replace("?<", "?P<"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_start_ends_where_choice_begins() {
        let prefix = |text: &str| String::from_utf8(Shape::of(text).prefix.into()).unwrap();
        assert_eq!(prefix(r"^/api/v1/\d+"), "/api/v1/");
        assert_eq!(prefix(r"^/api(/v1)/x?"), "/api/v1/");
        assert_eq!(prefix(r"^/(?i)abc"), "/");
        assert_eq!(prefix(r"^/a|/b"), "");
        assert_eq!(prefix(r"/a"), "");
        assert_eq!(prefix(r"^/a\.b$"), "/a.b");
        assert_eq!(prefix(r"^/ab*"), "/a");
    }

    #[test]
    fn the_literal_end_begins_where_choice_ends() {
        let suffix = |text: &str| String::from_utf8(Shape::of(text).suffix.into()).unwrap();
        assert_eq!(suffix(r"^/users/\d+/orders$"), "/orders");
        assert_eq!(suffix(r"^/users/(?<id>\d+)(/orders)$"), "/orders");
        assert_eq!(suffix(r"^/users/\d+/orders"), "");
        assert_eq!(suffix(r"^/a$|^/b$"), "");
        assert_eq!(suffix(r"^/a$"), "/a");
        assert_eq!(suffix(r"(?m)^/a$"), "");
    }

    #[test]
    fn traditional_falls_back_to_pcre_for_look_around() {
        let regex = Regex::of_path(Flavor::Traditional, r"/a(?!b)").unwrap();
        assert!(matches!(regex.engine, Engine::Backtracking(_)));
        assert!(regex.is_match(b"/ac") && !regex.is_match(b"/ab") && !regex.is_match(b"/x/ac"));
        assert!(Regex::of_path(Flavor::TraditionalCompatible, r"/a(?!b)").is_err());
    }
}
