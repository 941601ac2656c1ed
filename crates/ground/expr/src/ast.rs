//! The tree of an expression, as written: fields are still names, values already typed.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::Pattern;

/// A boolean combination of predicates. `||` binds tighter than `&&`, as in Kong's engine: `a && b || c`
/// is `a && (b || c)`.
#[derive(Debug, Clone)]
pub enum Ast {
    All(Vec<Ast>),
    Any(Vec<Ast>),
    Not(Box<Ast>),
    Is(Predicate),
}

/// `left operator value`.
#[derive(Debug, Clone)]
pub struct Predicate {
    pub left: Left,
    pub operator: Operator,
    pub value: Literal,
}

/// A field with its transformations; their order and number does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub name: Box<str>,
    /// `lower(...)`: compare the lower-cased value.
    pub lower: bool,
    /// `any(...)`: one value of a multi-valued field suffices; without it all must satisfy.
    pub any: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    Equal,
    NotEqual,
    Regex,
    Prefix,
    Suffix,
    Contains,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    In,
    NotIn,
}

#[derive(Debug, Clone)]
pub enum Literal {
    Text(Box<str>),
    Int(i64),
    Ip(IpAddr),
    Cidr(IpNet),
    Pattern(Pattern),
}

impl Ast {
    /// Calls `visit` for each predicate from left to right.
    pub fn each_predicate<'a>(&'a self, visit: &mut dyn FnMut(&'a Predicate)) {
        match self {
            Ast::All(parts) | Ast::Any(parts) => parts.iter().for_each(|part| part.each_predicate(visit)),
            Ast::Not(inner) => inner.each_predicate(visit),
            Ast::Is(predicate) => visit(predicate),
        }
    }
}
