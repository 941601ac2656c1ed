//! Checks across fields of one record (`entity_checks`).
//!
//! The constructors carry the names Kong's schemas use; fields are given by path (`config.redis.host`).

use std::{borrow::Cow, fmt, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    document::{self, equal, in_fields, is_empty, quoted_list},
    errors::{ErrorTree, Faults},
    field::Field,
    record::Record,
    validate,
};

type Paths = Vec<Cow<'static, str>>;
type CustomCheck = dyn Fn(&Map<String, Value>) -> Result<(), CheckError> + Send + Sync;

/// A check across several fields of a record.
#[derive(Clone)]
pub enum EntityCheck {
    AtLeastOneOf(Paths),
    OnlyOneOf(Paths),
    MutuallyExclusive(Paths),
    MutuallyRequired(Paths),
    Distinct(Paths),
    /// Either some of the first or some of the second may be set, not both.
    MutuallyExclusiveSets(Paths, Paths),
    Conditional(Box<Conditional>),
    ConditionalAtLeastOneOf(Box<ConditionalAtLeastOneOf>),
    Custom(Custom),
}

/// If one field is as described, another must be as described.
#[derive(Clone, Debug)]
pub struct Conditional {
    pub if_field: Cow<'static, str>,
    pub if_match: Field,
    pub then_field: Cow<'static, str>,
    pub then_match: Field,
    pub then_err: Option<Cow<'static, str>>,
}

/// If one field is as described, one of several others must be set; otherwise, if it is as described in the second
/// place, one of several others.
#[derive(Clone, Debug)]
pub struct ConditionalAtLeastOneOf {
    pub if_field: Cow<'static, str>,
    pub if_match: Field,
    pub then_at_least_one_of: Paths,
    /// `%s` stands for the quoted list of fields.
    pub then_err: Option<Cow<'static, str>>,
    pub otherwise: Option<Otherwise>,
}

/// The second place of `ConditionalAtLeastOneOf`.
#[derive(Clone, Debug)]
pub struct Otherwise {
    pub else_match: Field,
    pub then_at_least_one_of: Paths,
    pub then_err: Option<Cow<'static, str>>,
}

/// A check written as code.
#[derive(Clone)]
pub struct Custom {
    pub name: Cow<'static, str>,
    pub fields: Paths,
    /// Also run when none of the fields is set.
    pub run_with_missing_fields: bool,
    /// Also run when one of the fields is at fault.
    pub run_with_invalid_fields: bool,
    pub check: Arc<CustomCheck>,
}

/// What a check written as code found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckError {
    /// Shown under `@entity`.
    pub entity: Option<String>,
    /// Faults of single fields.
    pub fields: Faults,
}

impl From<String> for CheckError {
    fn from(message: String) -> Self {
        CheckError { entity: Some(message), fields: Faults::default() }
    }
}

impl From<&str> for CheckError {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl From<Faults> for CheckError {
    fn from(fields: Faults) -> Self {
        CheckError { entity: None, fields }
    }
}

fn paths(names: &[&'static str]) -> Paths {
    names.iter().map(|n| Cow::Borrowed(*n)).collect()
}

/// One of the fields must be set.
pub fn at_least_one_of(fields: &[&'static str]) -> EntityCheck {
    EntityCheck::AtLeastOneOf(paths(fields))
}

/// Exactly one of the fields must be set.
pub fn only_one_of(fields: &[&'static str]) -> EntityCheck {
    EntityCheck::OnlyOneOf(paths(fields))
}

/// At most one of the fields may be set.
pub fn mutually_exclusive(fields: &[&'static str]) -> EntityCheck {
    EntityCheck::MutuallyExclusive(paths(fields))
}

/// All of the fields must be set, or none.
pub fn mutually_required(fields: &[&'static str]) -> EntityCheck {
    EntityCheck::MutuallyRequired(paths(fields))
}

/// The fields must differ from each other where they are set.
pub fn distinct(fields: &[&'static str]) -> EntityCheck {
    EntityCheck::Distinct(paths(fields))
}

/// Fields of the one group and fields of the other may not be set together.
pub fn mutually_exclusive_sets(first: &[&'static str], second: &[&'static str]) -> EntityCheck {
    EntityCheck::MutuallyExclusiveSets(paths(first), paths(second))
}

/// If `if_field` is as `if_match` says, `then_field` must be as `then_match` says. Conditions are built with
/// `Field::condition()` and take everything they do not state from the field itself.
pub fn conditional(
    if_field: &'static str,
    if_match: Field,
    then_field: &'static str,
    then_match: Field,
) -> EntityCheck {
    EntityCheck::Conditional(Box::new(Conditional {
        if_field: if_field.into(),
        if_match,
        then_field: then_field.into(),
        then_match,
        then_err: None,
    }))
}

/// If `if_field` is as `if_match` says, one of `then_at_least_one_of` must be set; `%s` in `then_err` stands for them.
pub fn conditional_at_least_one_of(
    if_field: &'static str,
    if_match: Field,
    then_at_least_one_of: &[&'static str],
    then_err: &'static str,
) -> EntityCheck {
    EntityCheck::ConditionalAtLeastOneOf(Box::new(ConditionalAtLeastOneOf {
        if_field: if_field.into(),
        if_match,
        then_at_least_one_of: paths(then_at_least_one_of),
        then_err: (!then_err.is_empty()).then_some(then_err.into()),
        otherwise: None,
    }))
}

/// A check written as code over the given fields. It is not run when one of them is at fault, or none is set.
pub fn custom<E: Into<CheckError>>(
    name: &'static str,
    fields: &[&'static str],
    check: impl Fn(&Map<String, Value>) -> Result<(), E> + Send + Sync + 'static,
) -> EntityCheck {
    EntityCheck::Custom(Custom {
        name: name.into(),
        fields: paths(fields),
        run_with_missing_fields: false,
        run_with_invalid_fields: false,
        check: Arc::new(move |document| check(document).map_err(Into::into)),
    })
}

impl EntityCheck {
    /// Replaces the message of a conditional check.
    pub fn then_err(mut self, message: &'static str) -> Self {
        match &mut self {
            EntityCheck::Conditional(check) => check.then_err = Some(message.into()),
            EntityCheck::ConditionalAtLeastOneOf(check) => check.then_err = Some(message.into()),
            _ => {}
        }
        self
    }

    /// Adds the second place to a `conditional_at_least_one_of`.
    pub fn otherwise(
        mut self,
        else_match: Field,
        then_at_least_one_of: &[&'static str],
        then_err: &'static str,
    ) -> Self {
        if let EntityCheck::ConditionalAtLeastOneOf(check) = &mut self {
            check.otherwise = Some(Otherwise {
                else_match,
                then_at_least_one_of: paths(then_at_least_one_of),
                then_err: (!then_err.is_empty()).then_some(then_err.into()),
            });
        }
        self
    }

    /// Runs a custom check also when none of its fields is set.
    pub fn run_with_missing_fields(mut self) -> Self {
        if let EntityCheck::Custom(check) = &mut self {
            check.run_with_missing_fields = true;
        }
        self
    }

    /// Runs a custom check also when one of its fields is at fault.
    pub fn run_with_invalid_fields(mut self) -> Self {
        if let EntityCheck::Custom(check) = &mut self {
            check.run_with_invalid_fields = true;
        }
        self
    }

    /// Runs the check on a complete document and adds what it finds to `faults`.
    pub(crate) fn run(&self, scope: &Scope<'_>, document: &Map<String, Value>, faults: &mut Faults) {
        match self {
            EntityCheck::AtLeastOneOf(fields) => {
                if count_set(document, fields) == 0 {
                    faults.entity.push(
                        scope.prefixed(format!(
                            "at least one of these fields must be non-empty: {}",
                            quoted_list(fields)
                        )),
                    );
                }
            }
            EntityCheck::OnlyOneOf(fields) => {
                if count_set(document, fields) != 1 {
                    faults
                        .entity
                        .push(format!("exactly one of these fields must be non-empty: {}", quoted_list(fields)));
                }
            }
            EntityCheck::MutuallyExclusive(fields) => {
                if count_set(document, fields) > 1 {
                    faults
                        .entity
                        .push(format!("only one or none of these fields must be set: {}", quoted_list(fields)));
                }
            }
            EntityCheck::MutuallyRequired(fields) => {
                let set = count_set(document, fields);
                if set != 0 && set != fields.len() {
                    faults.entity.push(format!("all or none of these fields must be set: {}", quoted_list(fields)));
                }
            }
            EntityCheck::Distinct(fields) => {
                if has_duplicates(document, fields) {
                    faults.entity.push(format!("values of these fields must be distinct: {}", quoted_list(fields)));
                }
            }
            EntityCheck::MutuallyExclusiveSets(first, second) => {
                run_exclusive_sets(document, first, second, faults);
            }
            EntityCheck::Conditional(check) => check.run(scope, document, faults),
            EntityCheck::ConditionalAtLeastOneOf(check) => check.run(scope, document, faults),
            EntityCheck::Custom(check) => check.run(document, faults),
        }
    }
}

/// What a check may look up besides the document.
pub(crate) struct Scope<'a> {
    pub record: &'a Record,
    pub subschema: Option<&'a Record>,
    /// Faults of an update say so.
    pub updating: bool,
}

impl Scope<'_> {
    fn field(&self, path: &str) -> Option<&Field> {
        self.subschema.and_then(|s| s.at(path)).or_else(|| self.record.at(path))
    }

    fn prefixed(&self, message: String) -> String {
        if self.updating { format!("when updating, {message}") } else { message }
    }

    /// Whether `value` satisfies a condition; what the condition does not state comes from the field at `path`.
    fn satisfies(&self, path: &str, condition: &Field, value: &Value) -> Result<(), ErrorTree> {
        validate::condition(condition, self.field(path), value)
    }

    fn holds(&self, path: &str, condition: &Field, value: &Value) -> bool {
        validate::holds(condition, self.field(path), value)
    }
}

fn count_set(document: &Map<String, Value>, fields: &[Cow<'static, str>]) -> usize {
    fields.iter().filter(|f| !is_empty(in_fields(document, f))).count()
}

fn has_duplicates(document: &Map<String, Value>, fields: &[Cow<'static, str>]) -> bool {
    let mut seen: Vec<&Value> = Vec::with_capacity(fields.len());
    for field in fields {
        let value = in_fields(document, field);
        if value.is_null() {
            continue;
        }
        if seen.iter().any(|s| equal(s, value)) {
            return true;
        }
        seen.push(value);
    }
    false
}

fn run_exclusive_sets(
    document: &Map<String, Value>,
    first: &[Cow<'static, str>],
    second: &[Cow<'static, str>],
    faults: &mut Faults,
) {
    let set_of = |fields: &[Cow<'static, str>]| -> Vec<String> {
        fields.iter().filter(|f| !is_empty(in_fields(document, f))).map(ToString::to_string).collect()
    };
    let (a, b) = (set_of(first), set_of(second));
    if !a.is_empty() && !b.is_empty() {
        faults.entity.push(format!("these sets are mutually exclusive: ({}), ({})", quoted_list(&a), quoted_list(&b)));
    }
}

impl Conditional {
    fn run(&self, scope: &Scope<'_>, document: &Map<String, Value>, faults: &mut Faults) {
        if !scope.holds(&self.if_field, &self.if_match, in_fields(document, &self.if_field)) {
            return;
        }
        let then_value = in_fields(document, &self.then_field);
        let Err(tree) = scope.satisfies(&self.then_field, &self.then_match, then_value) else { return };
        faults.insert_at(&self.then_field, tree);
        faults.entity.push(match &self.then_err {
            Some(message) => message.to_string(),
            None => scope.prefixed(format!("failed conditional validation given value of field '{}'", self.if_field)),
        });
    }
}

impl ConditionalAtLeastOneOf {
    fn run(&self, scope: &Scope<'_>, document: &Map<String, Value>, faults: &mut Faults) {
        let value = in_fields(document, &self.if_field);
        let (fields, message) = if scope.holds(&self.if_field, &self.if_match, value) {
            (&self.then_at_least_one_of, &self.then_err)
        } else if let Some(otherwise) = &self.otherwise
            && scope.holds(&self.if_field, &otherwise.else_match, value)
        {
            (&otherwise.then_at_least_one_of, &otherwise.then_err)
        } else {
            return;
        };
        if count_set(document, fields) > 0 {
            return;
        }
        let list = quoted_list(fields);
        faults.entity.push(match message {
            Some(message) => message.replacen("%s", &list, 1),
            None => scope.prefixed(format!("at least one of these fields must be non-empty: {list}")),
        });
    }
}

impl Custom {
    fn run(&self, document: &Map<String, Value>, faults: &mut Faults) {
        if !self.run_with_missing_fields && self.fields.iter().all(|f| in_fields(document, f).is_null()) {
            return;
        }
        if !self.run_with_invalid_fields && self.fields.iter().any(|f| faults.at(f).is_some()) {
            return;
        }
        if let Err(error) = (self.check)(document) {
            faults.merge(error.fields);
            faults.entity.extend(error.entity);
        }
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("name", &self.name).field("fields", &self.fields).finish_non_exhaustive()
    }
}

impl fmt::Debug for EntityCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&document::show(&crate::render::check(self)))
    }
}
