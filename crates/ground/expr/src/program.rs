//! An expression ready to run: fields resolved, connectives flattened, constants folded.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use memchr::memmem;
use smallvec::SmallVec;

use crate::{Ast, Field, Literal, Operator, Pattern, Predicate, Schema, Subject};

/// A compiled expression. Evaluation allocates only for query arguments that need decoding and for `lower()`
/// of text that is not ASCII.
#[derive(Debug, Clone)]
pub struct Program {
    root: Node,
}

/// The compiled tree: nested connectives of one kind are merged, double negation is gone.
#[derive(Debug, Clone)]
pub enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Test(Test),
    /// What folding found out.
    Constant(bool),
}

/// One comparison of one field.
#[derive(Debug, Clone)]
pub struct Test {
    pub field: Field,
    pub lower: bool,
    pub any: bool,
    pub comparison: Comparison,
}

#[derive(Debug, Clone)]
pub enum Comparison {
    Equal(Box<[u8]>),
    NotEqual(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    Contains(Box<[u8]>),
    Pattern(Pattern),
    /// True when the value's order relative to the number is one of the two.
    Int(Ordering, Option<Ordering>, i64),
    NotInt(i64),
    Ip(IpAddr),
    NotIp(IpAddr),
    In(IpNet),
    NotIn(IpNet),
}

/// What the satisfied comparisons of `http.path` matched, in the order of evaluation; branches that failed later count
/// too.
#[derive(Debug, Clone, Default)]
pub struct PathHits<'p> {
    /// The last one: what `strip_path` removes.
    pub last: Option<PathHit<'p>>,
    /// All regular expressions: groups of later ones replace those of earlier ones.
    pub patterns: SmallVec<[PatternHit<'p>; 2]>,
}

/// A regular expression that matched the path, which was lower-cased first if `lower`.
#[derive(Debug, Clone, Copy)]
pub struct PatternHit<'p> {
    pub pattern: &'p Pattern,
    pub lower: bool,
}

/// One satisfied comparison of the path.
#[derive(Debug, Clone, Copy)]
pub enum PathHit<'p> {
    /// `==`, `^=` or `=^` with this text.
    Text(&'p [u8]),
    /// `~`: the match lies here.
    Pattern { start: usize, end: usize },
}

impl Program {
    /// Compiles a tree that passed [`Ast::check`] for `schema`; an unknown field is never present.
    #[must_use]
    pub fn new(ast: Ast, schema: Schema) -> Program {
        Program { root: fold(ast, schema) }
    }

    #[must_use]
    pub fn root(&self) -> &Node {
        &self.root
    }

    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.find(subject, &mut PathHits::default())
    }

    /// As [`matches`](Self::matches), and tells in `hits` what of the path matched.
    pub fn find<'p>(&'p self, subject: &Subject<'_>, hits: &mut PathHits<'p>) -> bool {
        self.root.eval(subject, hits)
    }
}

impl Node {
    /// Evaluates from left to right and stops as soon as the result is known.
    pub fn eval<'p>(&'p self, subject: &Subject<'_>, hits: &mut PathHits<'p>) -> bool {
        match self {
            Node::All(parts) => parts.iter().all(|part| part.eval(subject, hits)),
            Node::Any(parts) => parts.iter().any(|part| part.eval(subject, hits)),
            Node::Not(inner) => !inner.eval(subject, hits),
            Node::Test(test) => test.eval(subject, hits),
            Node::Constant(value) => *value,
        }
    }
}

fn fold(ast: Ast, schema: Schema) -> Node {
    match ast {
        Ast::All(parts) => connective(parts, schema, true),
        Ast::Any(parts) => connective(parts, schema, false),
        Ast::Not(inner) => match fold(*inner, schema) {
            Node::Not(twice) => *twice,
            Node::Constant(value) => Node::Constant(!value),
            other => Node::Not(Box::new(other)),
        },
        Ast::Is(predicate) => Test::new(predicate, schema).map_or(Node::Constant(false), Node::Test),
    }
}

fn connective(parts: Vec<Ast>, schema: Schema, all: bool) -> Node {
    let mut nodes = Vec::with_capacity(parts.len());
    for part in parts {
        match fold(part, schema) {
            Node::All(inner) if all => nodes.extend(inner),
            Node::Any(inner) if !all => nodes.extend(inner),
            // `true && x` is x, `false || x` is x. The opposite constant decides only what follows: what
            // stands before it may still tell which part of the path matched.
            Node::Constant(value) if value == all => {}
            Node::Constant(value) => {
                nodes.push(Node::Constant(value));
                break;
            }
            node => nodes.push(node),
        }
    }
    match (nodes.len(), nodes.pop()) {
        (1, Some(only)) => only,
        (_, Some(last)) => {
            nodes.push(last);
            if all { Node::All(nodes.into()) } else { Node::Any(nodes.into()) }
        }
        (_, None) => Node::Constant(all),
    }
}

impl Test {
    fn new(predicate: Predicate, schema: Schema) -> Option<Test> {
        let field = Field::resolve(&predicate.left.name, schema).ok()?;
        let comparison = Comparison::new(predicate.operator, predicate.value)?;
        Some(Test { field, lower: predicate.left.lower, any: predicate.left.any, comparison })
    }

    fn eval<'p>(&'p self, subject: &Subject<'_>, hits: &mut PathHits<'p>) -> bool {
        match &self.comparison {
            Comparison::Int(..) | Comparison::NotInt(_) => {
                subject.int(&self.field).is_some_and(|value| self.comparison.int(value))
            }
            Comparison::Ip(_) | Comparison::NotIp(_) | Comparison::In(_) | Comparison::NotIn(_) => {
                subject.ip(&self.field).is_some_and(|value| self.comparison.ip(value))
            }
            _ => self.eval_text(subject, hits),
        }
    }

    /// `any`: one value suffices. Otherwise there is at least one value and all satisfy.
    fn eval_text<'p>(&'p self, subject: &Subject<'_>, hits: &mut PathHits<'p>) -> bool {
        let mut result = false;
        subject.each_text(&self.field, &mut |value| {
            result = self.text(value, hits);
            result != self.any
        });
        result
    }

    fn text<'p>(&'p self, value: &[u8], hits: &mut PathHits<'p>) -> bool {
        let value = if self.lower { lowered(value) } else { Cow::Borrowed(value) };
        let is_path = self.field == Field::Path;
        match &self.comparison {
            Comparison::Pattern(pattern) if is_path => {
                let Some((start, end)) = pattern.find(&value) else { return false };
                hits.last = Some(PathHit::Pattern { start, end });
                hits.patterns.push(PatternHit { pattern, lower: self.lower });
                true
            }
            comparison => {
                let matched = comparison.text(&value);
                if let Comparison::Equal(text) | Comparison::Prefix(text) | Comparison::Suffix(text) = comparison
                    && matched
                    && is_path
                {
                    hits.last = Some(PathHit::Text(text));
                }
                matched
            }
        }
    }
}

/// Lower case as Unicode has it; bytes that are not UTF-8 are lowered as ASCII.
fn lowered(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.iter().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) {
        return Cow::Borrowed(value);
    }
    match std::str::from_utf8(value) {
        Ok(text) => Cow::Owned(text.to_lowercase().into_bytes()),
        Err(_) => Cow::Owned(value.to_ascii_lowercase()),
    }
}

impl Comparison {
    fn new(operator: Operator, value: Literal) -> Option<Comparison> {
        Some(match (operator, value) {
            (Operator::Equal, Literal::Text(text)) => Comparison::Equal(bytes(text)),
            (Operator::NotEqual, Literal::Text(text)) => Comparison::NotEqual(bytes(text)),
            (Operator::Prefix, Literal::Text(text)) => Comparison::Prefix(bytes(text)),
            (Operator::Suffix, Literal::Text(text)) => Comparison::Suffix(bytes(text)),
            (Operator::Contains, Literal::Text(text)) => Comparison::Contains(bytes(text)),
            (Operator::Regex, Literal::Pattern(pattern)) => Comparison::Pattern(pattern),
            (Operator::Equal, Literal::Int(i)) => Comparison::Int(Ordering::Equal, None, i),
            (Operator::NotEqual, Literal::Int(i)) => Comparison::NotInt(i),
            (Operator::Greater, Literal::Int(i)) => Comparison::Int(Ordering::Greater, None, i),
            (Operator::GreaterOrEqual, Literal::Int(i)) => Comparison::Int(Ordering::Greater, Some(Ordering::Equal), i),
            (Operator::Less, Literal::Int(i)) => Comparison::Int(Ordering::Less, None, i),
            (Operator::LessOrEqual, Literal::Int(i)) => Comparison::Int(Ordering::Less, Some(Ordering::Equal), i),
            (Operator::Equal, Literal::Ip(ip)) => Comparison::Ip(ip),
            (Operator::NotEqual, Literal::Ip(ip)) => Comparison::NotIp(ip),
            (Operator::In, Literal::Cidr(net)) => Comparison::In(net),
            (Operator::NotIn, Literal::Cidr(net)) => Comparison::NotIn(net),
            _ => return None,
        })
    }

    fn text(&self, value: &[u8]) -> bool {
        match self {
            Comparison::Equal(text) => value == &**text,
            Comparison::NotEqual(text) => value != &**text,
            Comparison::Prefix(text) => value.starts_with(text),
            Comparison::Suffix(text) => value.ends_with(text),
            Comparison::Contains(text) => memmem::find(value, text).is_some(),
            Comparison::Pattern(pattern) => pattern.is_match(value),
            _ => false,
        }
    }

    fn int(&self, value: i64) -> bool {
        match self {
            Comparison::Int(one, other, number) => {
                let order = value.cmp(number);
                order == *one || Some(order) == *other
            }
            Comparison::NotInt(number) => value != *number,
            _ => false,
        }
    }

    fn ip(&self, value: IpAddr) -> bool {
        match self {
            Comparison::Ip(ip) => value == *ip,
            Comparison::NotIp(ip) => value != *ip,
            Comparison::In(net) => net.contains(&value),
            Comparison::NotIn(net) => !net.contains(&value),
            _ => false,
        }
    }
}

fn bytes(text: Box<str>) -> Box<[u8]> {
    text.into_boxed_bytes()
}
