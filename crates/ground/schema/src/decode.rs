//! From validated documents to Rust values.
//!
//! Documents were filled and validated before, so that errors here mean a schema and a struct disagree; they are
//! reported, not panicked about.

use std::hash::BuildHasher;

use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{field::Field, validate::is_uuid};

/// A value that does not fit the Rust type it is to become.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {what}", path = if path.is_empty() { "document" } else { path.as_str() })]
pub struct DecodeError {
    /// Where, as in `config.redis.host`.
    pub path: String,
    pub what: String,
}

impl DecodeError {
    pub fn new(what: impl Into<String>) -> Self {
        DecodeError { path: String::new(), what: what.into() }
    }

    /// The same error seen from one level further out.
    #[must_use]
    pub fn within(mut self, name: &str) -> Self {
        self.path = if self.path.is_empty() { name.to_owned() } else { format!("{name}.{}", self.path) };
        self
    }
}

/// A Rust type that is a field of a schema.
pub trait SchemaType: Sized {
    /// The field, without rules.
    fn field() -> Field;

    /// # Errors
    /// Where the value does not fit.
    fn decode(value: &Value) -> Result<Self, DecodeError>;

    /// What stands for null: nothing, unless the type has an obvious empty value.
    fn absent() -> Option<Self> {
        None
    }

    /// Whether a field of this type needs a value: it has neither an empty value nor is it an option.
    fn needs_value() -> bool {
        true
    }
}

fn expected(what: &str, value: &Value) -> DecodeError {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    DecodeError::new(format!("expected {what}, found {found}"))
}

impl SchemaType for String {
    fn field() -> Field {
        Field::string()
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        value.as_str().map(ToOwned::to_owned).ok_or_else(|| expected("a text", value))
    }
}

impl SchemaType for bool {
    fn field() -> Field {
        Field::boolean()
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        value.as_bool().ok_or_else(|| expected("a boolean", value))
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl SchemaType for $t {
            fn field() -> Field {
                Field::integer()
            }

            fn decode(value: &Value) -> Result<Self, DecodeError> {
                let number = value.as_i64().ok_or_else(|| expected("an integer", value))?;
                <$t>::try_from(number).map_err(|_| DecodeError::new(format!("{number} is out of range")))
            }
        }
    )*};
}
integers!(i64, u64, i32, u32, u16, u8, usize);

impl SchemaType for f64 {
    fn field() -> Field {
        Field::number()
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        value.as_f64().ok_or_else(|| expected("a number", value))
    }
}

impl SchemaType for f32 {
    fn field() -> Field {
        Field::number()
    }

    #[allow(clippy::cast_possible_truncation)] // that is what asking for the smaller type means
    fn decode(value: &Value) -> Result<Self, DecodeError> {
        f64::decode(value).map(|number| number as f32)
    }
}

impl SchemaType for Value {
    fn field() -> Field {
        Field::json()
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        Ok(value.clone())
    }

    fn absent() -> Option<Self> {
        Some(Value::Null)
    }

    fn needs_value() -> bool {
        false
    }
}

impl<T: SchemaType> SchemaType for Option<T> {
    fn field() -> Field {
        T::field()
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        if value.is_null() { Ok(None) } else { T::decode(value).map(Some) }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn needs_value() -> bool {
        false
    }
}

impl<T: SchemaType> SchemaType for Box<T> {
    fn field() -> Field {
        T::field()
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        T::decode(value).map(Box::new)
    }

    fn absent() -> Option<Self> {
        T::absent().map(Box::new)
    }

    fn needs_value() -> bool {
        T::needs_value()
    }
}

fn decode_items<T: SchemaType>(value: &Value) -> impl Iterator<Item = Result<T, DecodeError>> + '_ {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    items.iter().enumerate().map(|(i, item)| T::decode(item).map_err(|e| e.within(&(i + 1).to_string())))
}

fn check_list(value: &Value) -> Result<(), DecodeError> {
    match value {
        Value::Array(_) => Ok(()),
        Value::Object(fields) if fields.is_empty() => Ok(()),
        _ => Err(expected("a list", value)),
    }
}

impl<T: SchemaType> SchemaType for Vec<T> {
    fn field() -> Field {
        Field::array(T::field())
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        check_list(value)?;
        decode_items(value).collect()
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }

    fn needs_value() -> bool {
        false
    }
}

/// A list without duplicates, in the order of first occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set<T>(IndexSet<T>)
where
    T: std::hash::Hash + Eq;

impl<T: std::hash::Hash + Eq> Default for Set<T> {
    fn default() -> Self {
        Set(IndexSet::new())
    }
}

impl<T: std::hash::Hash + Eq> Set<T> {
    pub fn contains<Q>(&self, item: &Q) -> bool
    where
        Q: ?Sized + std::hash::Hash + indexmap::Equivalent<T>,
    {
        self.0.contains(item)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: std::hash::Hash + Eq> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Set(items.into_iter().collect())
    }
}

impl<'a, T: std::hash::Hash + Eq> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = indexmap::set::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: SchemaType + std::hash::Hash + Eq> SchemaType for Set<T> {
    fn field() -> Field {
        Field::set(T::field())
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        check_list(value)?;
        decode_items(value).collect()
    }

    fn absent() -> Option<Self> {
        Some(Set::default())
    }

    fn needs_value() -> bool {
        false
    }
}

impl<T: SchemaType, S: BuildHasher + Default> SchemaType for IndexMap<String, T, S> {
    fn field() -> Field {
        Field::map(Field::string(), T::field())
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::Object(entries) => entries
                .iter()
                .map(|(key, entry)| Ok((key.clone(), T::decode(entry).map_err(|e| e.within(key))?)))
                .collect(),
            Value::Array(items) if items.is_empty() => Ok(IndexMap::default()),
            _ => Err(expected("a map", value)),
        }
    }

    fn absent() -> Option<Self> {
        Some(IndexMap::default())
    }

    fn needs_value() -> bool {
        false
    }
}

/// A reference to another entity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForeignKey {
    /// The UUID of the entity referred to.
    pub id: String,
}

impl SchemaType for ForeignKey {
    fn field() -> Field {
        Field::foreign("")
    }

    fn decode(value: &Value) -> Result<Self, DecodeError> {
        match value.get("id").and_then(Value::as_str) {
            Some(id) if is_uuid(id) => Ok(ForeignKey { id: id.to_owned() }),
            _ => Err(expected("a reference by id", value)),
        }
    }
}

/// Reads one field of a record; for the code `derive(Schema)` writes.
///
/// # Errors
/// Where the value does not fit, with the name of the field.
pub fn decode_field<T: SchemaType>(
    fields: &Map<String, Value>,
    name: &str,
    default: Option<Value>,
) -> Result<T, DecodeError> {
    let given = fields.get(name).filter(|value| !value.is_null());
    let decoded = match (given, default) {
        (Some(value), _) => T::decode(value),
        (None, Some(default)) if !default.is_null() => T::decode(&default),
        (None, _) => T::absent().ok_or_else(|| DecodeError::new("required, but not given")),
    };
    decoded.map_err(|error| error.within(name))
}

/// The fields of a record; for the code `derive(Schema)` writes. Nothing and an empty list are an empty record.
///
/// # Errors
/// If the value is no record.
pub fn record_fields(value: &Value) -> Result<std::borrow::Cow<'_, Map<String, Value>>, DecodeError> {
    match value {
        Value::Object(fields) => Ok(std::borrow::Cow::Borrowed(fields)),
        Value::Null => Ok(std::borrow::Cow::Owned(Map::new())),
        Value::Array(items) if items.is_empty() => Ok(std::borrow::Cow::Owned(Map::new())),
        _ => Err(expected("a record", value)),
    }
}
