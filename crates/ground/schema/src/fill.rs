//! Completing a document: shorthands resolved, automatic fields set, defaults and nulls put in, sets deduplicated.
//!
//! After this every field of the schema is present, in the order of the schema. Time, identifiers and random text come
//! from outside, so that the same input gives the same output in a test.

use serde_json::{Map, Value};

use crate::{
    document::{equal, in_fields, normalise_number, show},
    errors::{ErrorTree, Faults},
    field::{Field, Kind},
    record::{Record, Shorthand},
    validate::validate_field,
};

/// Where automatic values come from.
pub trait Sources {
    /// Seconds since the Unix epoch, with a fraction.
    fn now(&mut self) -> f64;
    /// A fresh UUID (version 4).
    fn uuid(&mut self) -> String;
    /// A fresh secret of 32 letters and digits.
    fn secret(&mut self) -> String;
}

/// What the document is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A new entity, or one replaced as a whole.
    Insert,
    /// Some fields of an entity: nothing missing is filled in.
    Update,
    /// An entity as it was stored, perhaps by an older version: missing fields are filled in, nothing is generated.
    Select,
}

/// Which Kong the defaults are those of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    #[default]
    V3_10,
    V3_15,
}

/// Fills documents in. Borrow one per document or batch.
pub struct Filler<'a> {
    pub context: Context,
    pub compat: Compat,
    pub sources: &'a mut dyn Sources,
}

impl Record {
    /// Completes a document in place.
    ///
    /// # Errors
    /// Shorthand inputs that are at fault by themselves; everything else is left to `validate`.
    pub fn fill(&self, document: &mut Map<String, Value>, filler: &mut Filler<'_>) -> Result<(), Faults> {
        self.resolve_shorthands(document, filler.context)?;
        let subschema = self.subschema_for(document);
        if let Some(subschema) = &subschema {
            subschema.resolve_shorthands(document, filler.context)?;
        }
        let mut faults = Faults::default();
        let mut given = std::mem::replace(document, Map::with_capacity(self.fields.len()));
        for (name, field) in &self.fields {
            let field = subschema.as_deref().and_then(|s| s.get(name)).unwrap_or(field);
            let value = given.swap_remove(name.as_ref());
            match filler.value(name, field, value) {
                Ok(Some(value)) => {
                    document.insert(name.to_string(), value);
                }
                Ok(None) => {}
                Err(tree) => faults.insert_tree(name, tree),
            }
        }
        document.extend(given); // unknown fields: for `validate` to complain about
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn resolve_shorthands(&self, document: &mut Map<String, Value>, context: Context) -> Result<(), Faults> {
        let mut faults = Faults::default();
        for shorthand in &self.shorthands {
            let Some(value) = document.get(shorthand.name.as_ref()) else { continue };
            let checked =
                validate_field(&shorthand.field, value).and_then(|()| shorthand.agrees_with_successor(value, document));
            if let Err(tree) = checked {
                faults.insert_tree(&shorthand.name, tree);
                continue;
            }
            let is_also_field = self.get(&shorthand.name).is_some();
            let new = shorthand.expand(value, document);
            if !is_also_field {
                document.shift_remove(shorthand.name.as_ref());
            }
            if context != Context::Select {
                apply(document, new, shorthand.field.deprecation.is_some());
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Whether [`Self::echo_shorthands`] may add anything to a document of this kind.
    #[must_use]
    pub fn may_echo_shorthands(&self) -> bool {
        let within = |record: &Record| self.subschemas.is_some() || record.may_echo_shorthands();
        let fields =
            || self.fields.iter().any(|(_, field)| matches!(&field.kind, Kind::Record(record) if within(record)));
        self.shorthands.iter().any(|shorthand| shorthand.successor().is_some()) || fields()
    }

    /// Adds the old names of moved settings to a document that is about to be shown, at every depth.
    pub fn echo_shorthands(&self, document: &mut Map<String, Value>) {
        let subschema = self.subschema_for(document);
        for (name, field) in &self.fields {
            let field = subschema.as_deref().and_then(|s| s.get(name)).unwrap_or(field);
            if let (Kind::Record(record), Some(Value::Object(inner))) = (&field.kind, document.get_mut(name.as_ref())) {
                record.echo_shorthands(inner);
            }
        }
        for shorthand in &self.shorthands {
            if let Some(path) = shorthand.successor() {
                let value = in_fields(document, &path.join(".")).clone();
                document.insert(shorthand.name.to_string(), value);
            }
        }
    }
}

impl Shorthand {
    fn agrees_with_successor(&self, value: &Value, document: &Map<String, Value>) -> Result<(), ErrorTree> {
        if value.is_null() {
            return Ok(());
        }
        let Some(path) = self.successor() else { return Ok(()) };
        let path = path.join(".");
        let successor = in_fields(document, &path);
        if successor.is_null() || equal(successor, value) {
            return Ok(());
        }
        Err(ErrorTree::Message(format!(
            "both deprecated and new field are used but their values mismatch: {} = {} vs {path} = {}",
            self.name,
            show(value),
            show(successor)
        )))
    }
}

/// Puts the fields a shorthand stands for into the document. Where a deprecated input and its successor meet, the
/// successor wins; otherwise the shorthand does.
fn apply(document: &mut Map<String, Value>, new: Map<String, Value>, deprecated: bool) {
    for (name, value) in new {
        match (document.get_mut(&name), value) {
            (Some(Value::Object(present)), Value::Object(more)) => {
                for (key, inner) in more {
                    if deprecated && present.contains_key(&key) {
                        continue;
                    }
                    present.insert(key, inner);
                }
            }
            (Some(present), value) => {
                if !deprecated || present.is_null() {
                    *present = value;
                }
            }
            (None, value) => {
                document.insert(name, value);
            }
        }
    }
}

impl Filler<'_> {
    /// The value a field gets; `None` leaves it out.
    fn value(&mut self, name: &str, field: &Field, value: Option<Value>) -> Result<Option<Value>, ErrorTree> {
        let value = self.automatic(name, field, value);
        let value = match value {
            None if self.context == Context::Update => return Ok(None),
            None if field.is_additive() && !field.is_required() => return Ok(None),
            None => self.missing(field),
            Some(Value::Null) if self.context == Context::Select && field.is_required() => self.missing(field),
            Some(value) => value,
        };
        self.complete(field, value).map(Some)
    }

    fn automatic(&mut self, name: &str, field: &Field, value: Option<Value>) -> Option<Value> {
        if !field.auto || self.context == Context::Select {
            return value;
        }
        if name == "updated_at" || (name == "created_at" && value.as_ref().is_none_or(Value::is_null)) {
            let stamped = name == "updated_at" || self.context == Context::Insert;
            return if stamped { Some(self.time(field)) } else { value };
        }
        if value.is_some() || self.context == Context::Update {
            return value;
        }
        match field.kind {
            Kind::String if field.uuid => Some(Value::String(self.sources.uuid())),
            Kind::String => Some(Value::String(self.sources.secret())),
            _ => None,
        }
    }

    /// Seconds; whole ones unless the field is a `number`, which has milliseconds.
    #[allow(clippy::cast_possible_truncation)] // seconds since 1970
    fn time(&mut self, field: &Field) -> Value {
        let now = self.sources.now();
        match field.kind {
            Kind::Number => Value::from((now * 1000.0).round() / 1000.0),
            _ => Value::from(now.floor() as i64),
        }
    }

    fn missing(&self, field: &Field) -> Value {
        let newer = field.default_3_15.as_ref().filter(|_| self.compat == Compat::V3_15);
        if let Some(default) = newer.or(field.default.as_ref()) {
            return default.clone();
        }
        match field.kind {
            Kind::Record(_) if field.is_required() => Value::Object(Map::new()),
            _ => Value::Null,
        }
    }

    /// Completes what is inside a value.
    fn complete(&mut self, field: &Field, mut value: Value) -> Result<Value, ErrorTree> {
        match (&field.kind, &mut value) {
            (Kind::Integer | Kind::Number, number) => normalise_number(number),
            (Kind::Record(_) | Kind::Map { .. }, Value::Array(items)) if items.is_empty() => {
                return self.complete(field, Value::Object(Map::new()));
            }
            (Kind::Array(_) | Kind::Set(_), Value::Object(fields)) if fields.is_empty() => {
                value = Value::Array(Vec::new());
            }
            (Kind::Record(record), Value::Object(fields)) if !field.is_abstract => {
                record.fill(fields, self).map_err(ErrorTree::Fields)?;
            }
            (Kind::Map { values, .. }, Value::Object(entries)) if has_inside(values) => {
                self.inside(|filler| {
                    for entry in entries.values_mut() {
                        *entry = filler.complete(values, entry.take())?;
                    }
                    Ok::<(), ErrorTree>(())
                })?;
            }
            (Kind::Array(elements) | Kind::Set(elements), Value::Array(items)) => {
                if has_inside(elements) {
                    self.elements(elements, items)?;
                }
                if matches!(field.kind, Kind::Set(_)) {
                    deduplicate(items);
                }
            }
            _ => {}
        }
        Ok(value)
    }

    fn elements(&mut self, elements: &Field, items: &mut [Value]) -> Result<(), ErrorTree> {
        self.inside(|filler| {
            let mut faults = Vec::new();
            for (index, item) in items.iter_mut().enumerate() {
                match filler.complete(elements, item.take()) {
                    Ok(value) => *item = value,
                    Err(tree) => faults.push((index, tree)),
                }
            }
            if faults.is_empty() { Ok(()) } else { Err(ErrorTree::items(faults)) }
        })
    }

    /// Lists and maps are replaced as a whole by an update, so what is inside them is complete even then.
    fn inside<T>(&mut self, fill: impl FnOnce(&mut Self) -> T) -> T {
        let context = self.context;
        if context == Context::Update {
            self.context = Context::Insert;
        }
        let result = fill(self);
        self.context = context;
        result
    }
}

/// Whether values of this field may need completion.
fn has_inside(field: &Field) -> bool {
    !matches!(field.kind, Kind::String | Kind::Boolean | Kind::Any | Kind::Json(_) | Kind::Foreign(_))
}

fn deduplicate(items: &mut Vec<Value>) {
    // Sets in configurations are short; above a handful a hash of the texts keeps this linear.
    if items.len() <= 8 {
        let mut at = 0;
        while at < items.len() {
            let (before, rest) = items.split_at(at);
            let duplicate = rest.first().is_some_and(|item| before.contains(item));
            if duplicate {
                items.remove(at);
            } else {
                at += 1;
            }
        }
        return;
    }
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    items.retain(|item| seen.insert(item.to_string()));
}
