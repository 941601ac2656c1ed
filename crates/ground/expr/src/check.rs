//! Type checking of a parsed expression against the fields of a subsystem.

use crate::field::FieldError;
use crate::{Ast, Field, FieldType, Literal, Operator, Predicate, Schema};

/// A well-formed expression that makes no sense. The texts are those of Kong's engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    #[error("Unknown LHS field")]
    UnknownField,
    #[error("Type mismatch between the LHS and RHS values of predicate")]
    TypeMismatch,
    #[error("lower-case transformation function only supported with String type fields")]
    LowerOfNonText,
    #[error("Regex operators only supports string operands")]
    RegexOfNonText,
    #[error("Regex/Prefix/Postfix operators only supports string operands")]
    PrefixOfNonText,
    #[error("Greater/GreaterOrEqual/Lesser/LesserOrEqual operators only supports integer operands")]
    OrderOfNonInt,
    #[error("In/NotIn operators only supports IP in CIDR")]
    InOfNonCidr,
    #[error("Contains operator only supports string operands")]
    ContainsOfNonText,
    #[error("illformed http.path.segments.* field")]
    BadSegments,
}

impl Ast {
    /// Checks every predicate: known field, matching types, sensible operator.
    ///
    /// # Errors
    /// The first fault from the left; a malformed segment field is reported only if all else is right.
    pub fn check(&self, schema: Schema) -> Result<(), CheckError> {
        let mut first = Ok(());
        let mut bad_segments = false;
        self.each_predicate(&mut |predicate| {
            if first.is_ok() {
                match check_predicate(predicate, schema) {
                    Err(CheckError::BadSegments) => bad_segments = true,
                    other => first = other,
                }
            }
        });
        first?;
        if bad_segments { Err(CheckError::BadSegments) } else { Ok(()) }
    }

    /// Whether the deprecated field `net.port` occurs, which the caller should warn about.
    #[must_use]
    pub fn uses_net_port(&self) -> bool {
        let mut found = false;
        self.each_predicate(&mut |predicate| found |= &*predicate.left.name == "net.port");
        found
    }
}

fn check_predicate(predicate: &Predicate, schema: Schema) -> Result<(), CheckError> {
    let (left, malformed) = match Field::resolve(&predicate.left.name, schema) {
        Ok(field) => (field.field_type(), false),
        Err(FieldError::BadSegments) => (FieldType::Text, true),
        Err(FieldError::Unknown) => return Err(CheckError::UnknownField),
    };
    let operator = predicate.operator;
    let typed_by_operator = matches!(operator, Operator::Regex | Operator::In | Operator::NotIn);
    if !typed_by_operator && !same_type(left, &predicate.value) {
        return Err(CheckError::TypeMismatch);
    }
    if predicate.left.lower && left != FieldType::Text {
        return Err(CheckError::LowerOfNonText);
    }
    check_operator(operator, left, &predicate.value)?;
    if malformed { Err(CheckError::BadSegments) } else { Ok(()) }
}

fn same_type(left: FieldType, value: &Literal) -> bool {
    matches!(
        (left, value),
        (FieldType::Text, Literal::Text(_)) | (FieldType::Int, Literal::Int(_)) | (FieldType::Ip, Literal::Ip(_))
    )
}

fn check_operator(operator: Operator, left: FieldType, value: &Literal) -> Result<(), CheckError> {
    let (sensible, otherwise) = match operator {
        Operator::Equal | Operator::NotEqual => return Ok(()),
        Operator::Regex => (left == FieldType::Text, CheckError::RegexOfNonText),
        Operator::Prefix | Operator::Suffix => (left == FieldType::Text, CheckError::PrefixOfNonText),
        Operator::Contains => (left == FieldType::Text, CheckError::ContainsOfNonText),
        Operator::Greater | Operator::GreaterOrEqual | Operator::Less | Operator::LessOrEqual => {
            (left == FieldType::Int, CheckError::OrderOfNonInt)
        }
        Operator::In | Operator::NotIn => {
            (left == FieldType::Ip && matches!(value, Literal::Cidr(_)), CheckError::InOfNonCidr)
        }
    };
    if sensible { Ok(()) } else { Err(otherwise) }
}
