//! One field of a schema: its type, its rules, its marks. Pure data; what the rules mean is in `validate` and `fill`.
//!
//! Fields are built with chained methods, so that a schema written by hand reads like the documentation of it:
//!
//! ```
//! use gibbon_schema::Field;
//! let port = Field::integer().required().default(80).between(0, 65535);
//! # assert_eq!(port.required, Some(true));
//! ```

use std::{borrow::Cow, fmt, sync::Arc};

use serde_json::Value;

use crate::{errors::ErrorTree, record::Record};

/// The type of a field.
#[derive(Clone, Debug, Default)]
pub enum Kind {
    /// Only inside conditions of entity checks: the type of the field the condition looks at.
    #[default]
    Any,
    /// Only inside conditions: an array or set whose elements are as described.
    Elements(Box<Field>),
    String,
    Number,
    Integer,
    Boolean,
    Array(Box<Field>),
    /// An array without duplicates; the first occurrence keeps its place.
    Set(Box<Field>),
    Map {
        keys: Box<Field>,
        values: Box<Field>,
    },
    Record(Box<Record>),
    /// A reference to another entity, as `{"id": "…"}`.
    Foreign(Foreign),
    /// Any JSON. The schema given, if any, is shown but not enforced here.
    Json(Option<Value>),
}

/// The entity a foreign field points to, and what happens to this one when that goes.
#[derive(Clone, Debug)]
pub struct Foreign {
    pub entity: Cow<'static, str>,
    /// Without it, deleting the referenced entity is refused.
    pub on_delete: Option<OnDelete>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnDelete {
    /// Deleted together with what it points to.
    Cascade,
    /// The reference becomes null.
    Null,
    /// The deletion is refused.
    Restrict,
}

/// A Lua pattern with the message given when it is violated.
#[derive(Clone, Debug)]
pub struct PatternRule {
    pub pattern: Cow<'static, str>,
    pub err: Option<Cow<'static, str>>,
}

/// Lua patterns of which one must match.
#[derive(Clone, Debug)]
pub struct PatternSet {
    pub patterns: Vec<Cow<'static, str>>,
    pub err: Option<Cow<'static, str>>,
}

type Check = dyn Fn(&Value) -> Result<(), ErrorTree> + Send + Sync;

/// A rule written as code, known by a name.
#[derive(Clone)]
pub struct Validator {
    pub name: Cow<'static, str>,
    check: Arc<Check>,
}

impl Validator {
    /// A validator from a function whose error is a message.
    pub fn new<E: Into<ErrorTree>>(
        name: impl Into<Cow<'static, str>>,
        check: impl Fn(&Value) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        Validator { name: name.into(), check: Arc::new(move |value| check(value).map_err(Into::into)) }
    }

    pub(crate) fn run(&self, value: &Value) -> Result<(), ErrorTree> {
        (self.check)(value)
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validator({})", self.name)
    }
}

/// A field or shorthand that is on its way out.
#[derive(Clone, Debug, Default)]
pub struct Deprecation {
    pub message: Cow<'static, str>,
    pub removal_in_version: Option<Cow<'static, str>>,
    /// Setting the field to this value raises no warning.
    pub old_default: Option<Value>,
    /// Paths of the fields that took over.
    pub replaced_with: Vec<Vec<Cow<'static, str>>>,
}

/// A field: type, rules and marks. Absent rules are `None`, false or empty.
#[derive(Clone, Debug, Default)]
pub struct Field {
    pub kind: Kind,
    /// `Some(false)` also keeps a record of an entity from being filled when it is absent.
    pub required: Option<bool>,
    /// `Some(Null)` is shown as `"default": null`.
    pub default: Option<Value>,
    /// The default that replaces `default` when compatibility with 3.15 is asked for.
    pub default_3_15: Option<Value>,
    /// Filled by the gateway: ids, times, secrets.
    pub auto: bool,
    pub eq: Option<Value>,
    pub ne: Option<Value>,
    pub not_one_of: Vec<Value>,
    pub one_of: Option<Vec<Value>>,
    /// Values that later versions added: accepted, but neither published nor named in messages.
    pub also_one_of: Vec<Value>,
    /// Strict lower bound.
    pub gt: Option<f64>,
    pub timestamp: bool,
    pub uuid: bool,
    pub is_regex: bool,
    /// Inclusive bounds.
    pub between: Option<(f64, f64)>,
    pub len_eq: Option<usize>,
    /// Strings have 1 when this is unset.
    pub len_min: Option<usize>,
    pub len_max: Option<usize>,
    pub starts_with: Option<Cow<'static, str>>,
    pub not_match: Option<Cow<'static, str>>,
    pub match_none: Vec<PatternRule>,
    pub matches: Option<Cow<'static, str>>,
    pub match_all: Vec<PatternRule>,
    pub match_any: Option<PatternSet>,
    pub contains: Option<Value>,
    pub custom: Option<Validator>,
    pub mutually_exclusive_subsets: Vec<Vec<String>>,
    pub unique: Option<bool>,
    pub unique_across_ws: bool,
    /// May hold a vault reference instead of a value.
    pub referenceable: bool,
    /// A secret: kept out of logs.
    pub encrypted: bool,
    pub immutable: bool,
    pub indexed: bool,
    pub legacy: bool,
    /// Accepted and shown, but stored elsewhere.
    pub transient: bool,
    /// Filled in by a subschema (`config` of plugins).
    pub is_abstract: bool,
    /// Replaces the message of any violated rule.
    pub err: Option<Cow<'static, str>>,
    pub deprecation: Option<Deprecation>,
    pub description: Option<Cow<'static, str>>,
    /// The Kong version that brought the field, when later than 3.10. Such fields stay absent while unset.
    pub since: Option<Cow<'static, str>>,
    /// Not a field of Kong's. Stays absent while unset.
    pub ours: bool,
}

/// Vault references look like `{vault://env/name}`.
pub fn is_vault_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

fn with_kind(kind: Kind) -> Field {
    Field { kind, ..<Field as Default>::default() }
}

/// Types.
impl Field {
    /// A condition of an entity check; it takes its type from the field it looks at.
    pub fn condition() -> Self {
        with_kind(Kind::Any)
    }

    /// A condition on every element of an array or set.
    pub fn elements_condition(elements: Field) -> Self {
        with_kind(Kind::Elements(Box::new(elements)))
    }

    pub fn string() -> Self {
        with_kind(Kind::String)
    }

    pub fn number() -> Self {
        with_kind(Kind::Number)
    }

    pub fn integer() -> Self {
        with_kind(Kind::Integer)
    }

    pub fn boolean() -> Self {
        with_kind(Kind::Boolean)
    }

    pub fn array(elements: Field) -> Self {
        with_kind(Kind::Array(Box::new(elements)))
    }

    pub fn set(elements: Field) -> Self {
        with_kind(Kind::Set(Box::new(elements)))
    }

    pub fn map(keys: Field, values: Field) -> Self {
        with_kind(Kind::Map { keys: Box::new(keys), values: Box::new(values) })
    }

    pub fn record(record: Record) -> Self {
        with_kind(Kind::Record(Box::new(record)))
    }

    pub fn foreign(entity: impl Into<Cow<'static, str>>) -> Self {
        with_kind(Kind::Foreign(Foreign { entity: entity.into(), on_delete: None }))
    }

    pub fn json() -> Self {
        with_kind(Kind::Json(None))
    }
}

/// Rules and marks.
impl Field {
    pub fn required(mut self) -> Self {
        self.required = Some(true);
        self
    }

    /// Required if `condition` holds and the field does not say otherwise.
    pub fn required_if(mut self, condition: bool) -> Self {
        if condition && self.required.is_none() {
            self.required = Some(true);
        }
        self
    }

    pub fn optional(mut self) -> Self {
        self.required = Some(false);
        self
    }

    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    pub fn default_3_15(mut self, value: impl Into<Value>) -> Self {
        self.default_3_15 = Some(value.into());
        self
    }

    pub fn auto(mut self) -> Self {
        self.auto = true;
        self
    }

    pub fn eq(mut self, value: impl Into<Value>) -> Self {
        self.eq = Some(value.into());
        self
    }

    pub fn eq_null(self) -> Self {
        self.eq(Value::Null)
    }

    pub fn ne(mut self, value: impl Into<Value>) -> Self {
        self.ne = Some(value.into());
        self
    }

    pub fn one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.one_of = Some(values.into_iter().map(Into::into).collect());
        self
    }

    pub fn also_one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.also_one_of = values.into_iter().map(Into::into).collect();
        self
    }

    pub fn not_one_of<V: Into<Value>>(mut self, values: impl IntoIterator<Item = V>) -> Self {
        self.not_one_of = values.into_iter().map(Into::into).collect();
        self
    }

    pub fn gt(mut self, bound: impl IntoBound) -> Self {
        self.gt = Some(bound.into_bound());
        self
    }

    pub fn between(mut self, low: impl IntoBound, high: impl IntoBound) -> Self {
        self.between = Some((low.into_bound(), high.into_bound()));
        self
    }

    pub fn len_eq(mut self, length: usize) -> Self {
        self.len_eq = Some(length);
        self
    }

    pub fn len_min(mut self, length: usize) -> Self {
        self.len_min = Some(length);
        self
    }

    pub fn len_max(mut self, length: usize) -> Self {
        self.len_max = Some(length);
        self
    }

    pub fn starts_with(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        self.starts_with = Some(prefix.into());
        self
    }

    /// The value must match this Lua pattern.
    pub fn matches(mut self, pattern: impl Into<Cow<'static, str>>) -> Self {
        self.matches = Some(pattern.into());
        self
    }

    pub fn not_match(mut self, pattern: impl Into<Cow<'static, str>>) -> Self {
        self.not_match = Some(pattern.into());
        self
    }

    /// The value must match this Lua pattern too; `err` is said otherwise.
    pub fn match_all(mut self, pattern: &'static str, err: &'static str) -> Self {
        self.match_all.push(pattern_rule(pattern, err));
        self
    }

    /// The value may not match this Lua pattern; `err` is said otherwise.
    pub fn match_none(mut self, pattern: &'static str, err: &'static str) -> Self {
        self.match_none.push(pattern_rule(pattern, err));
        self
    }

    /// The value must match one of these Lua patterns; `err` is said otherwise.
    pub fn match_any(mut self, patterns: impl IntoIterator<Item = &'static str>, err: &'static str) -> Self {
        self.match_any =
            Some(PatternSet { patterns: patterns.into_iter().map(Cow::Borrowed).collect(), err: message(err) });
        self
    }

    pub fn contains(mut self, value: impl Into<Value>) -> Self {
        self.contains = Some(value.into());
        self
    }

    pub fn uuid(mut self) -> Self {
        self.uuid = true;
        self
    }

    pub fn timestamp(mut self) -> Self {
        self.timestamp = true;
        self
    }

    pub fn is_regex(mut self) -> Self {
        self.is_regex = true;
        self
    }

    pub fn custom(mut self, validator: Validator) -> Self {
        self.custom = Some(validator);
        self
    }

    pub fn mutually_exclusive_subsets(mut self, subsets: &[&[&str]]) -> Self {
        self.mutually_exclusive_subsets = subsets.iter().map(|s| s.iter().map(|v| (*v).to_owned()).collect()).collect();
        self
    }

    pub fn unique(mut self) -> Self {
        self.unique = Some(true);
        self
    }

    pub fn unique_across_ws(mut self) -> Self {
        self.unique_across_ws = true;
        self
    }

    pub fn referenceable(mut self) -> Self {
        self.referenceable = true;
        self
    }

    pub fn encrypted(mut self) -> Self {
        self.encrypted = true;
        self
    }

    pub fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    pub fn indexed(mut self) -> Self {
        self.indexed = true;
        self
    }

    pub fn legacy(mut self) -> Self {
        self.legacy = true;
        self
    }

    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    pub fn is_abstract(mut self) -> Self {
        self.is_abstract = true;
        self
    }

    pub fn err(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.err = Some(message.into());
        self
    }

    pub fn deprecated(mut self, deprecation: Deprecation) -> Self {
        self.deprecation = Some(deprecation);
        self
    }

    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.description = Some(text.into());
        self
    }

    pub fn since(mut self, version: impl Into<Cow<'static, str>>) -> Self {
        self.since = Some(version.into());
        self
    }

    pub fn ours(mut self) -> Self {
        self.ours = true;
        self
    }

    /// What becomes of this entity when the one it points to is deleted. Only for foreign fields.
    pub fn on_delete(mut self, action: OnDelete) -> Self {
        if let Kind::Foreign(foreign) = &mut self.kind {
            foreign.on_delete = Some(action);
        }
        self
    }

    /// Makes this a reference to `entity`, whatever type it had.
    pub fn referencing(mut self, entity: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Kind::Foreign(Foreign { entity: entity.into(), on_delete: None });
        self
    }

    /// Changes the field of the elements of an array or set.
    pub fn map_elements(mut self, change: impl FnOnce(Field) -> Field) -> Self {
        if let Kind::Array(inner) | Kind::Set(inner) = &mut self.kind {
            **inner = change(std::mem::take(inner));
        }
        self
    }

    /// Changes the field of the keys of a map.
    pub fn map_keys(mut self, change: impl FnOnce(Field) -> Field) -> Self {
        if let Kind::Map { keys, .. } = &mut self.kind {
            **keys = change(std::mem::take(keys));
        }
        self
    }

    /// Changes the field of the values of a map.
    pub fn map_values(mut self, change: impl FnOnce(Field) -> Field) -> Self {
        if let Kind::Map { values, .. } = &mut self.kind {
            **values = change(std::mem::take(values));
        }
        self
    }
}

/// Questions.
impl Field {
    pub fn is_required(&self) -> bool {
        self.required == Some(true)
    }

    /// Fields that Kong 3.10 does not have: without default, absent from documents while unset.
    pub fn is_additive(&self) -> bool {
        self.ours || self.since.is_some()
    }
}

/// A numeric bound of a rule.
pub trait IntoBound {
    fn into_bound(self) -> f64;
}

macro_rules! bounds {
    ($($t:ty),*) => {$(
        impl IntoBound for $t {
            #[allow(clippy::cast_precision_loss)] // bounds in schemas are far below 2^53
            fn into_bound(self) -> f64 {
                self as f64
            }
        }
    )*};
}
bounds!(i32, u32, i64, u64, f64);

fn message(err: &'static str) -> Option<Cow<'static, str>> {
    (!err.is_empty()).then_some(Cow::Borrowed(err))
}

fn pattern_rule(pattern: &'static str, err: &'static str) -> PatternRule {
    PatternRule { pattern: Cow::Borrowed(pattern), err: message(err) }
}
