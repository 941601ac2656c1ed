//! The expression language of routes and plugin conditions: text in, a compiled predicate out.
//!
//! `http.host == "a.test" && http.path ^= "/v1"` is parsed into a tree ([`parse`]), checked against
//! the fields of a subsystem ([`Ast::check`]) and compiled into a [`Program`] that is evaluated against
//! a [`Subject`]. Grammar, types and error texts are those of Kong's own engine; what a match means
//! (which route wins, what is stripped) is left to the router.

mod ast;
mod check;
mod diagnostic;
mod field;
mod literal;
mod pattern;
mod program;
mod subject;
mod syntax;

pub use ast::{Ast, Left, Literal, Operator, Predicate};
pub use check::CheckError;
pub use diagnostic::SyntaxError;
pub use field::{Field, FieldType, Schema};
pub use pattern::{Pattern, PatternError};
pub use program::{Comparison, Node, PathHit, PathHits, PatternHit, Program, Test};
pub use subject::Subject;
pub use syntax::{MAX_DEPTH, MAX_LENGTH, parse};

/// Why a text is not a usable expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// Parses, checks and compiles in one go.
///
/// # Errors
/// The text that Kong's engine would give, without a prefix.
pub fn compile(text: &str, schema: Schema) -> Result<Program, Error> {
    let ast = parse(text)?;
    ast.check(schema)?;
    Ok(Program::new(ast, schema))
}
