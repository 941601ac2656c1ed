//! Taking a JSON object apart, field by field. What was not taken is left over: that is how unknown
//! fields are noticed and kept. `null` counts as absent, as providers treat it.

use crate::{Error, Result};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Where in a body a value stands. Built on the stack, written out only for an error.
#[derive(Debug, Clone, Copy)]
pub enum Path<'p> {
    /// The body itself.
    Root,
    /// A field of an object.
    Key(&'p Path<'p>, &'p str),
    /// An element of an array.
    Index(&'p Path<'p>, usize),
}

impl<'p> Path<'p> {
    /// The field `key` of the value here.
    #[must_use]
    pub fn key(&'p self, key: &'p str) -> Path<'p> {
        Path::Key(self, key)
    }

    /// The element `at` of the array here.
    #[must_use]
    pub fn index(&'p self, at: usize) -> Path<'p> {
        Path::Index(self, at)
    }

    /// The error that the value here must be `want`.
    #[must_use]
    pub fn must_be(&self, want: &'static str) -> Error {
        Error::Shape { path: self.to_string(), want }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("the body"),
            Path::Key(Path::Root, key) => f.write_str(key),
            Path::Key(parent, key) => write!(f, "{parent}.{key}"),
            Path::Index(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}

/// An object being taken apart.
#[derive(Debug)]
pub struct Fields<'p> {
    map: Map<String, Value>,
    at: Path<'p>,
}

impl Fields<'static> {
    /// The body of a message, which must be a JSON object. `what` names it in errors.
    ///
    /// # Errors
    /// [`Error::NotJson`] or [`Error::Shape`].
    pub fn parse(body: &[u8], what: &'static str) -> Result<Self> {
        let value = serde_json::from_slice(body).map_err(|_| Error::NotJson { what })?;
        Self::of(value, Path::Root)
    }
}

impl<'p> Fields<'p> {
    /// A value that must be an object.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn of(value: Value, at: Path<'p>) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { map, at }),
            _ => Err(at.must_be("an object")),
        }
    }

    /// The path of a field, for values inside it.
    #[must_use]
    pub fn path<'s>(&'s self, key: &'s str) -> Path<'s> {
        self.at.key(key)
    }

    /// Where this object stands.
    #[must_use]
    pub fn at(&self) -> Path<'p> {
        self.at
    }

    /// Takes a field of any type.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.shift_remove(key).filter(|v| !v.is_null())
    }

    /// Whether a field is there and not null.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|v| !v.is_null())
    }

    /// All that was not taken yet, as it is.
    #[must_use]
    pub fn peek_all(&self) -> Value {
        Value::Object(self.map.clone())
    }

    /// Looks at a string without taking it.
    #[must_use]
    pub fn peek_str(&self, key: &str) -> Option<&str> {
        self.map.get(key).and_then(Value::as_str)
    }

    /// Looks at a string further inside, by its path in keys, without taking it.
    #[must_use]
    pub fn peek_in(&self, outer: &str, inner: &str) -> Option<&str> {
        self.map.get(outer).and_then(|v| v.get(inner)).and_then(Value::as_str)
    }

    /// The error that `key` must be `want`.
    #[must_use]
    pub fn must_be(&self, key: &str, want: &'static str) -> Error {
        self.path(key).must_be(want)
    }

    /// Takes a string.
    ///
    /// # Errors
    /// [`Error::Shape`] if it is something else. So do all that follow.
    pub fn string(&mut self, key: &str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(_) => Err(self.must_be(key, "a string")),
        }
    }

    /// Takes a string that must be there.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn need_string(&mut self, key: &str) -> Result<String> {
        self.string(key)?.ok_or_else(|| self.must_be(key, "a string"))
    }

    /// Takes a string and ignores any other type.
    pub fn lenient_string(&mut self, key: &str) -> Option<String> {
        match self.take(key) {
            Some(Value::String(s)) => Some(s),
            _ => None,
        }
    }

    /// Takes a boolean.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn boolean(&mut self, key: &str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(b)),
            Some(_) => Err(self.must_be(key, "true or false")),
        }
    }

    /// Takes a number as it is written.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn number(&mut self, key: &str) -> Result<Option<Number>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Number(n)) => Ok(Some(n)),
            Some(_) => Err(self.must_be(key, "a number")),
        }
    }

    /// Takes a whole number that is not negative (`33.0` counts).
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn integer(&mut self, key: &str) -> Result<Option<u64>> {
        match self.take(key) {
            None => Ok(None),
            Some(v) => whole(&v).map(Some).ok_or_else(|| self.must_be(key, "a whole number, 0 or more")),
        }
    }

    /// A whole number, or 0 when it is absent or anything else: for counters of a provider.
    pub fn count(&mut self, key: &str) -> u64 {
        self.take(key).as_ref().and_then(whole).unwrap_or(0)
    }

    /// Takes an array.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn array(&mut self, key: &str) -> Result<Option<Vec<Value>>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(a)) => Ok(Some(a)),
            Some(_) => Err(self.must_be(key, "an array")),
        }
    }

    /// Takes an object as it is.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn object(&mut self, key: &str) -> Result<Option<Map<String, Value>>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(o)) => Ok(Some(o)),
            Some(_) => Err(self.must_be(key, "an object")),
        }
    }

    /// Takes an object to be taken apart in turn, by `read`.
    ///
    /// # Errors
    /// [`Error::Shape`], or what `read` returns.
    pub fn inner<T>(&mut self, key: &str, read: impl FnOnce(Fields<'_>) -> Result<T>) -> Result<Option<T>> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => read(Fields::of(value, self.at.key(key))?).map(Some),
        }
    }

    /// Takes an array of objects, each taken apart by `read`.
    ///
    /// # Errors
    /// [`Error::Shape`], or what `read` returns.
    pub fn each<T>(&mut self, key: &str, mut read: impl FnMut(Fields<'_>) -> Result<T>) -> Result<Option<Vec<T>>> {
        let Some(items) = self.array(key)? else { return Ok(None) };
        let path = self.at.key(key);
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            out.push(read(Fields::of(item, path.index(i))?)?);
        }
        Ok(Some(out))
    }

    /// Takes an array of strings.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn strings(&mut self, key: &str) -> Result<Option<Vec<String>>> {
        let Some(items) = self.array(key)? else { return Ok(None) };
        let path = self.at.key(key);
        let read = |(i, v)| match v {
            Value::String(s) => Ok(s),
            _ => Err(path.index(i).must_be("a string")),
        };
        items.into_iter().enumerate().map(read).collect::<Result<_>>().map(Some)
    }

    /// What nobody took, nulls left out.
    #[must_use]
    pub fn rest(mut self) -> Map<String, Value> {
        self.map.retain(|_, v| !v.is_null());
        self.map
    }
}

fn whole(value: &Value) -> Option<u64> {
    // 2^53: above it a float no longer names one whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..=EXACT).contains(f)).map(|f| f as u64))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_name_the_path_and_what_would_be_right() {
        let mut f = Fields::parse(br#"{"messages":[{"role":"user"},{"role":5}]}"#, "request body").unwrap();
        let err = f.each("messages", |mut m| m.need_string("role")).unwrap_err();
        assert_eq!(err.to_string(), "messages[1].role must be a string");
    }

    #[test]
    fn null_is_absent_and_the_rest_is_left_over() {
        let mut f = Fields::of(json!({"a": null, "b": 1.0, "c": "x", "d": null}), Path::Root).unwrap();
        assert_eq!(f.string("a").unwrap(), None);
        assert_eq!(f.integer("b").unwrap(), Some(1));
        assert_eq!(Value::Object(f.rest()), json!({"c": "x"}));
    }

    #[test]
    fn fractions_and_negative_numbers_are_no_counts() {
        for bad in [json!(1.5), json!(-1), json!("1"), json!(1e300)] {
            let mut f = Fields::of(json!({"n": bad}), Path::Root).unwrap();
            assert!(f.integer("n").is_err());
        }
    }
}
