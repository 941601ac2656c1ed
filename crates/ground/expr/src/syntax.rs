//! The parser: a recursive descent over the grammar below, bounded in length and depth.
//!
//! ```text
//! matcher     = expression EOI
//! expression  = term ((&& | ||) term)*            || binds tighter than &&
//! term        = predicate | !? ( expression )
//! predicate   = lhs operator rhs
//! lhs         = name ( lhs ) | name
//! rhs         = "text" | r#"text"# | cidr | ip | int
//! ```
//!
//! It reports a fault as the rules that were tried at the furthest place reached, so that its texts agree
//! with those of Kong's engine (a packrat-style grammar); [`Parser::rule`] does that bookkeeping. Values are
//! converted only once the whole text is well-formed: a syntax error always comes first.

use std::ops::Range;

use crate::ast::{Ast, Left, Literal, Operator, Predicate};
use crate::{Pattern, SyntaxError, literal};

/// Longest expression in bytes: a bound on work and memory for text that comes from an API.
pub const MAX_LENGTH: usize = 256 * 1024;

/// Deepest nesting of parentheses and transformations: a bound on the stack.
pub const MAX_DEPTH: usize = 100;

/// Parses an expression; whether its fields exist is left to [`Ast::check`].
///
/// # Errors
/// The first syntax error or value that cannot be converted, drawn with its line.
pub fn parse(source: &str) -> Result<Ast, SyntaxError> {
    if source.len() > MAX_LENGTH {
        return Err(SyntaxError::whole(format!("expression is longer than {MAX_LENGTH} bytes")));
    }
    let mut parser = Parser { source, at: 0, depth: 0, too_deep: false, furthest: 0, tried: Vec::new() };
    match parser.matcher() {
        Some(raw) => typed(source, raw),
        None if parser.too_deep => {
            Err(SyntaxError::at(source, parser.furthest, format!("nested deeper than {MAX_DEPTH} levels")))
        }
        None => Err(SyntaxError::at(source, parser.furthest, parser.expected())),
    }
}

/// Grammar rules as they are named in error texts, in the order in which they are listed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(non_camel_case_types, clippy::upper_case_acronyms)]
enum Rule {
    EOI,
    ident,
    rhs,
    transform_func,
    lhs,
    int_literal,
    hex_digits,
    oct_digits,
    dec_digits,
    str_literal,
    str_char,
    str_esc,
    rawstr_literal,
    rawstr_char,
    ipv4_literal,
    ipv6_literal,
    ipv4_cidr_literal,
    ipv6_cidr_literal,
    binary_operator,
    and_op,
    or_op,
    not_op,
    predicate,
    parenthesised_expression,
    term,
    expression,
    matcher,
}

/// The tree before conversion of values.
enum Raw {
    All(Vec<Raw>),
    Any(Vec<Raw>),
    Not(Box<Raw>),
    Is { left: RawLeft, operator: Operator, value: RawValue },
}

struct RawLeft {
    name: Range<usize>,
    /// Innermost first: the function's name and the stretch of the whole call.
    calls: Vec<(Range<usize>, Range<usize>)>,
}

struct RawValue {
    span: Range<usize>,
    kind: RawKind,
}

enum RawKind {
    Text(String),
    Ipv4,
    Ipv6,
    Ipv4Cidr,
    Ipv6Cidr,
    Int { digits: Range<usize>, radix: u32 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Connective {
    And,
    Or,
}

struct Parser<'s> {
    source: &'s str,
    at: usize,
    depth: usize,
    too_deep: bool,
    /// The furthest place at which a rule failed, and the rules that failed there.
    furthest: usize,
    tried: Vec<Rule>,
}

impl Parser<'_> {
    /// Runs a rule; on failure goes back to where it began and notes that it was tried there.
    ///
    /// A rule whose inner rules failed at the same place replaces them in the list, unless there was
    /// exactly one, which says more than its parent.
    fn rule<T>(&mut self, rule: Rule, body: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let before = self.tried_at(start);
        let result = body(self);
        if result.is_none() {
            self.at = start;
            self.note(rule, start, before);
        }
        result
    }

    fn tried_at(&self, place: usize) -> usize {
        if place == self.furthest { self.tried.len() } else { 0 }
    }

    fn note(&mut self, rule: Rule, place: usize, before: usize) {
        if self.tried_at(place) == before + 1 || self.too_deep {
            return;
        }
        if place == self.furthest {
            self.tried.truncate(before);
        } else if place > self.furthest {
            self.tried.clear();
            self.furthest = place;
        }
        if place == self.furthest {
            self.tried.push(rule);
        }
    }

    fn expected(&self) -> String {
        let mut rules = self.tried.clone();
        rules.sort_unstable();
        rules.dedup();
        let names: Vec<String> = rules.iter().map(|rule| format!("{rule:?}")).collect();
        match names.as_slice() {
            [] => "unknown parsing error".into(),
            [one] => format!("expected {one}"),
            [one, two] => format!("expected {one} or {two}"),
            [first @ .., last] => format!("expected {}, or {last}", first.join(", ")),
        }
    }

    // Characters

    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn token(&mut self, text: &str) -> Option<()> {
        self.rest().starts_with(text).then(|| self.at += text.len())
    }

    /// Takes between `least` and `most` bytes of a class.
    fn bytes(&mut self, least: usize, most: usize, class: fn(u8) -> bool) -> Option<()> {
        let taken = self.rest().bytes().take(most).take_while(|&b| class(b)).count();
        (taken >= least).then(|| self.at += taken)
    }

    fn skip_blanks(&mut self) {
        let _ = self.bytes(0, usize::MAX, |b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'));
    }

    /// Tries `body`; goes back without a note when it fails.
    fn attempt<T>(&mut self, body: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let result = body(self);
        if result.is_none() {
            self.at = start;
        }
        result
    }

    fn nested<T>(&mut self, body: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            self.furthest = self.at;
            self.too_deep = true;
        }
        if self.too_deep {
            return None;
        }
        self.depth += 1;
        let result = body(self);
        self.depth -= 1;
        result
    }

    // Structure

    fn matcher(&mut self) -> Option<Raw> {
        self.rule(Rule::matcher, |p| {
            p.skip_blanks();
            let expression = p.expression()?;
            p.skip_blanks();
            p.rule(Rule::EOI, |p| p.rest().is_empty().then_some(()))?;
            Some(expression)
        })
    }

    fn expression(&mut self) -> Option<Raw> {
        self.rule(Rule::expression, |p| {
            let mut all = vec![vec![p.term()?]];
            while let Some((connective, term)) = p.attempt(Self::next_term) {
                match all.last_mut() {
                    Some(group) if connective == Connective::Or => group.push(term),
                    _ => all.push(vec![term]),
                }
            }
            Some(one_or(Raw::All, all.into_iter().map(|group| one_or(Raw::Any, group)).collect()))
        })
    }

    fn next_term(&mut self) -> Option<(Connective, Raw)> {
        self.skip_blanks();
        let connective = match self.rule(Rule::and_op, |p| p.token("&&")) {
            Some(()) => Connective::And,
            None => self.rule(Rule::or_op, |p| p.token("||")).map(|()| Connective::Or)?,
        };
        self.skip_blanks();
        Some((connective, self.term()?))
    }

    fn term(&mut self) -> Option<Raw> {
        self.rule(Rule::term, |p| match p.predicate() {
            Some(predicate) => Some(predicate),
            None => p.parenthesised(),
        })
    }

    fn parenthesised(&mut self) -> Option<Raw> {
        self.rule(Rule::parenthesised_expression, |p| {
            let negated = p.rule(Rule::not_op, |p| p.token("!")).is_some();
            p.skip_blanks();
            p.token("(")?;
            p.skip_blanks();
            let inner = p.nested(Self::expression)?;
            p.skip_blanks();
            p.token(")")?;
            Some(if negated { Raw::Not(Box::new(inner)) } else { inner })
        })
    }

    fn predicate(&mut self) -> Option<Raw> {
        self.rule(Rule::predicate, |p| {
            let left = p.lhs()?;
            p.skip_blanks();
            let operator = p.operator()?;
            p.skip_blanks();
            let value = p.rhs()?;
            Some(Raw::Is { left, operator, value })
        })
    }

    fn lhs(&mut self) -> Option<RawLeft> {
        self.rule(Rule::lhs, |p| match p.transform() {
            Some(left) => Some(left),
            None => p.ident().map(|name| RawLeft { name, calls: Vec::new() }),
        })
    }

    fn transform(&mut self) -> Option<RawLeft> {
        let start = self.at;
        self.rule(Rule::transform_func, |p| {
            let function = p.ident()?;
            p.skip_blanks();
            p.token("(")?;
            p.skip_blanks();
            let mut left = p.nested(Self::lhs)?;
            p.skip_blanks();
            p.token(")")?;
            left.calls.push((function, start..p.at));
            Some(left)
        })
    }

    fn ident(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        self.rule(Rule::ident, |p| {
            p.bytes(1, 1, |b| b.is_ascii_alphabetic())?;
            p.bytes(0, usize::MAX, |b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
        })?;
        Some(start..self.at)
    }

    fn operator(&mut self) -> Option<Operator> {
        const SYMBOLS: [(&str, Operator); 10] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("~", Operator::Regex),
            ("^=", Operator::Prefix),
            ("=^", Operator::Suffix),
            (">=", Operator::GreaterOrEqual),
            (">", Operator::Greater),
            ("<=", Operator::LessOrEqual),
            ("<", Operator::Less),
            ("in", Operator::In),
        ];
        self.rule(Rule::binary_operator, |p| {
            for (symbol, operator) in SYMBOLS {
                if p.token(symbol).is_some() {
                    return Some(operator);
                }
            }
            let not_in = p.attempt(|p| {
                p.token("not")?;
                p.skip_blanks();
                p.token("in")
            });
            match not_in {
                Some(()) => Some(Operator::NotIn),
                None => p.token("contains").map(|()| Operator::Contains),
            }
        })
    }

    // Values

    fn rhs(&mut self) -> Option<RawValue> {
        let start = self.at;
        let kind = self.rule(Rule::rhs, |p| {
            p.text()
                .or_else(|| p.raw_text())
                .or_else(|| p.rule(Rule::ipv4_cidr_literal, Self::ipv4_cidr).map(|()| RawKind::Ipv4Cidr))
                .or_else(|| p.rule(Rule::ipv6_cidr_literal, Self::ipv6_cidr).map(|()| RawKind::Ipv6Cidr))
                .or_else(|| p.rule(Rule::ipv4_literal, Self::ipv4).map(|()| RawKind::Ipv4))
                .or_else(|| p.rule(Rule::ipv6_literal, Self::ipv6).map(|()| RawKind::Ipv6))
                .or_else(|| p.int())
        })?;
        Some(RawValue { span: start..self.at, kind })
    }

    fn text(&mut self) -> Option<RawKind> {
        self.rule(Rule::str_literal, |p| {
            p.token("\"")?;
            let mut text = String::new();
            while let Some(c) = p.escape().or_else(|| p.plain_char()) {
                text.push(c);
            }
            p.token("\"")?;
            Some(RawKind::Text(text))
        })
    }

    fn escape(&mut self) -> Option<char> {
        self.rule(Rule::str_esc, |p| {
            p.token("\\")?;
            let c = match p.peek()? {
                b'"' => '"',
                b'\\' => '\\',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                _ => return None,
            };
            p.at += 1;
            Some(c)
        })
    }

    fn plain_char(&mut self) -> Option<char> {
        self.rule(Rule::str_char, |p| p.char_unless(&["\"", "\\"]))
    }

    fn raw_text(&mut self) -> Option<RawKind> {
        self.rule(Rule::rawstr_literal, |p| {
            p.token("r#\"")?;
            let mut text = String::new();
            while let Some(c) = p.rule(Rule::rawstr_char, |p| p.char_unless(&["\"#"])) {
                text.push(c);
            }
            p.token("\"#")?;
            Some(RawKind::Text(text))
        })
    }

    fn char_unless(&mut self, ends: &[&str]) -> Option<char> {
        let rest = self.rest();
        if ends.iter().any(|end| rest.starts_with(end)) {
            return None;
        }
        let c = rest.chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn ipv4(&mut self) -> Option<()> {
        self.bytes(1, 3, |b| b.is_ascii_digit())?;
        for _ in 0..3 {
            self.token(".")?;
            self.bytes(1, 3, |b| b.is_ascii_digit())?;
        }
        Some(())
    }

    fn ipv6(&mut self) -> Option<()> {
        self.token(":").or_else(|| self.bytes(1, 4, |b| b.is_ascii_hexdigit()))?;
        self.token(":")?;
        self.bytes(0, usize::MAX, |b| b.is_ascii_hexdigit() || b == b':')
    }

    fn ipv4_cidr(&mut self) -> Option<()> {
        self.ipv4()?;
        self.token("/")?;
        self.bytes(1, 2, |b| b.is_ascii_digit())
    }

    fn ipv6_cidr(&mut self) -> Option<()> {
        self.ipv6()?;
        self.token("/")?;
        self.bytes(1, 3, |b| b.is_ascii_digit())
    }

    fn int(&mut self) -> Option<RawKind> {
        self.rule(Rule::int_literal, |p| {
            let _ = p.token("-");
            p.digits(Rule::oct_digits, "0", 8, |b| matches!(b, b'0'..=b'7'))
                .or_else(|| p.hex_digits())
                .or_else(|| p.digits(Rule::dec_digits, "", 10, |b| b.is_ascii_digit()))
        })
    }

    fn digits(&mut self, rule: Rule, lead: &str, radix: u32, class: fn(u8) -> bool) -> Option<RawKind> {
        let start = self.at;
        self.rule(rule, |p| {
            p.token(lead)?;
            p.bytes(1, usize::MAX, class)
        })?;
        Some(RawKind::Int { digits: start..self.at, radix })
    }

    fn hex_digits(&mut self) -> Option<RawKind> {
        self.attempt(|p| {
            p.token("0x")?;
            p.digits(Rule::hex_digits, "", 16, |b| b.is_ascii_hexdigit())
        })
    }
}

fn one_or(many: fn(Vec<Raw>) -> Raw, mut parts: Vec<Raw>) -> Raw {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}

// From spans to values

fn typed(source: &str, raw: Raw) -> Result<Ast, SyntaxError> {
    let each = |parts: Vec<Raw>| parts.into_iter().map(|part| typed(source, part)).collect::<Result<Vec<_>, _>>();
    Ok(match raw {
        Raw::All(parts) => Ast::All(each(parts)?),
        Raw::Any(parts) => Ast::Any(each(parts)?),
        Raw::Not(inner) => Ast::Not(Box::new(typed(source, *inner)?)),
        Raw::Is { left, operator, value } => {
            let left = typed_left(source, left)?;
            Ast::Is(Predicate { left, operator, value: typed_value(source, operator, value)? })
        }
    })
}

fn typed_left(source: &str, raw: RawLeft) -> Result<Left, SyntaxError> {
    let slice = |span: &Range<usize>| source.get(span.clone()).unwrap_or_default();
    let mut left = Left { name: slice(&raw.name).into(), lower: false, any: false };
    for (function, call) in &raw.calls {
        match slice(function) {
            "lower" => left.lower = true,
            "any" => left.any = true,
            unknown => {
                let message = format!("unknown transformation function: {unknown}");
                return Err(SyntaxError::over(source, call.clone(), message));
            }
        }
    }
    Ok(left)
}

fn typed_value(source: &str, operator: Operator, raw: RawValue) -> Result<Literal, SyntaxError> {
    let text = source.get(raw.span.clone()).unwrap_or_default();
    let wrong = |message: String| SyntaxError::over(source, raw.span.clone(), message);
    let value = match raw.kind {
        RawKind::Text(text) => Literal::Text(text.into()),
        RawKind::Ipv4 => Literal::Ip(literal::ipv4(text).map_err(wrong)?),
        RawKind::Ipv6 => Literal::Ip(literal::ipv6(text).map_err(wrong)?),
        RawKind::Ipv4Cidr => Literal::Cidr(literal::cidr(text, "Ipv4").map_err(wrong)?),
        RawKind::Ipv6Cidr => Literal::Cidr(literal::cidr(text, "Ipv6").map_err(wrong)?),
        RawKind::Int { digits, radix } => {
            let written = source.get(digits.clone()).unwrap_or_default();
            let value = literal::int(written, radix, text.starts_with('-'));
            Literal::Int(value.map_err(|message| SyntaxError::over(source, digits, message))?)
        }
    };
    match (operator, value) {
        (Operator::Regex, Literal::Text(text)) => {
            Pattern::new(&text).map(Literal::Pattern).map_err(|e| wrong(e.to_string()))
        }
        (Operator::Regex, _) => Err(wrong("regex operator can only be used with String operands".into())),
        (_, value) => Ok(value),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_missing_value_is_shown_with_a_caret() {
        assert_eq!(
            error("http.path ^= "),
            " --> 1:14\n  |\n1 | http.path ^= \n  |              ^---\n  |\n  = expected rhs"
        );
        assert_eq!(error("()"), " --> 1:2\n  |\n1 | ()\n  |  ^---\n  |\n  = expected term");
    }

    #[test]
    fn a_bad_regex_is_underlined() {
        assert_eq!(
            error("http.path ~ \"(\""),
            " --> 1:13\n  |\n1 | http.path ~ \"(\"\n  |             ^-^\n  |\n  = regex parse error:\n    (\n    ^\nerror: unclosed group"
        );
    }

    #[test]
    fn or_binds_tighter_than_and() {
        let Ast::All(parts) = parse("a == 1 && b == 2 || c == 3 && d == 4").unwrap() else { unreachable!() };
        assert!(matches!(parts.as_slice(), [Ast::Is(_), Ast::Any(_), Ast::Is(_)]));
    }

    #[test]
    fn nesting_and_length_are_bounded() {
        let deep = format!("{}a == 1{}", "(".repeat(5000), ")".repeat(5000));
        assert!(error(&deep).contains("nested deeper than 100 levels"));
        assert!(error(&"a".repeat(MAX_LENGTH + 1)).contains("longer than"));
        let calls = format!("{}a{} == \"x\"", "lower(".repeat(5000), ")".repeat(5000));
        assert!(error(&calls).contains("nested deeper"));
    }

    #[test]
    fn numbers_are_decimal_octal_or_hexadecimal() {
        let value = |text: &str| match parse(&format!("a == {text}")).unwrap() {
            Ast::Is(Predicate { value: Literal::Int(i), .. }) => i,
            _ => unreachable!(),
        };
        assert_eq!([value("123"), value("-0x1F"), value("0123"), value("089")], [123, -31, 83, 89]);
    }
}
