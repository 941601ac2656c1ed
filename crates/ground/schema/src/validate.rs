//! Checking a complete document (every field present, absent ones null) against a record: all faults at once.
//!
//! Filling comes first (`fill`); here nothing is changed. The order of the rules of one field is Kong's, because the
//! first one violated is the one reported.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{
    checks::Scope,
    document::{equal, show, show_number},
    errors::{ErrorTree, Faults},
    field::{Field, Kind, PatternRule, is_vault_reference},
    lua_pattern,
    record::Record,
    regex_syntax,
};

const REQUIRED: &str = "required field missing";
const UNKNOWN: &str = "unknown field";

/// The longest time to live, in seconds: a little over three years.
const MAX_TTL: i64 = 100_000_000;

/// Why a document is validated; some messages differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A new or fully replaced entity.
    #[default]
    Whole,
    /// An entity with some fields changed.
    Update,
}

impl Record {
    /// All faults of a complete document, or nothing.
    ///
    /// # Errors
    /// The faults, by field.
    pub fn validate(&self, document: &Value, purpose: Purpose) -> Result<(), Faults> {
        match document {
            Value::Object(fields) => self.validate_fields(fields, purpose),
            Value::Array(items) if items.is_empty() => self.validate_fields(&Map::new(), purpose),
            _ => Err(Faults { entity: vec!["expected a record".to_owned()], fields: BTreeMap::new() }),
        }
    }

    /// As `validate`, for the fields of a document.
    ///
    /// # Errors
    /// The faults, by field.
    pub fn validate_fields(&self, document: &Map<String, Value>, purpose: Purpose) -> Result<(), Faults> {
        let subschema = self.subschema_for(document);
        if let Some(faults) = self.unknown_subschema(document, subschema.is_some()) {
            return Err(faults);
        }
        let mut faults = Faults::default();
        let mut known = usize::from(self.ttl && document.contains_key("ttl"));
        for (name, field) in &self.fields {
            let field = subschema.as_deref().and_then(|s| s.get(name)).unwrap_or(field);
            let value = document.get(name.as_ref());
            known += usize::from(value.is_some());
            if field.is_abstract && subschema.is_none() {
                continue; // what it holds is not known without the name that says so, and that is at fault already
            }
            if let Err(tree) = validate_field(field, value.unwrap_or(&Value::Null)) {
                faults.insert_tree(name, tree);
            }
        }
        if self.ttl
            && let Some(ttl) = document.get("ttl")
            && let Err(tree) = validate_field(&Field::integer().between(0, MAX_TTL), ttl)
        {
            faults.insert_tree("ttl", tree);
        }
        if known < document.len() {
            self.note_unknown(document, &mut faults);
        }
        self.run_checks(document, subschema.as_deref(), purpose, &mut faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn unknown_subschema(&self, document: &Map<String, Value>, found: bool) -> Option<Faults> {
        let subschemas = self.subschemas.as_ref()?;
        let name = match document.get(subschemas.key.as_ref()) {
            _ if found => return None,
            Some(Value::String(name)) => name.clone(),
            Some(Value::Array(names)) => names.first().map_or_else(|| "nil".to_owned(), show),
            _ => return None, // null or of the wrong type: the rules of the field say so
        };
        let message = subschemas.error.as_deref().unwrap_or("unknown type: %s").replacen("%s", &name, 1);
        let mut faults = Faults::default();
        faults.insert(&subschemas.key, message);
        Some(faults)
    }

    fn note_unknown(&self, document: &Map<String, Value>, faults: &mut Faults) {
        for name in document.keys() {
            if self.get(name).is_none() && !(self.ttl && name == "ttl") {
                faults.insert(name, UNKNOWN);
            }
        }
    }

    fn run_checks(
        &self,
        document: &Map<String, Value>,
        subschema: Option<&Record>,
        purpose: Purpose,
        faults: &mut Faults,
    ) {
        let scope = Scope { record: self, subschema, updating: purpose == Purpose::Update };
        let more = subschema.map_or(&[][..], |s| &s.checks);
        for check in self.checks.iter().chain(more) {
            check.run(&scope, document, faults);
        }
    }
}

/// The faults of one value.
///
/// # Errors
/// A message, or a tree for lists and records.
pub fn validate_field(field: &Field, value: &Value) -> Result<(), ErrorTree> {
    Rules { own: field, inherited: None, quiet: false }.check(value)
}

/// Whether a value satisfies a condition of an entity check. What the condition does not state comes from the field.
pub(crate) fn condition(condition: &Field, field: Option<&Field>, value: &Value) -> Result<(), ErrorTree> {
    Rules { own: condition, inherited: field, quiet: false }.check(value)
}

/// As `condition` where nobody wants to know why not. Most conditions do not hold, so no message is made.
pub(crate) fn holds(condition: &Field, field: Option<&Field>, value: &Value) -> bool {
    Rules { own: condition, inherited: field, quiet: true }.check(value).is_ok()
}

/// The rules of a field, or those of a condition backed by those of the field it looks at.
struct Rules<'a> {
    own: &'a Field,
    inherited: Option<&'a Field>,
    /// Faults carry no message.
    quiet: bool,
}

type Verdict = Result<(), ErrorTree>;

fn fail(message: impl Into<String>) -> Verdict {
    Err(ErrorTree::Message(message.into()))
}

impl<'a> Rules<'a> {
    fn get<T: ?Sized>(&self, rule: impl Fn(&'a Field) -> Option<&'a T>) -> Option<&'a T> {
        rule(self.own).or_else(|| rule(self.inherited?))
    }

    fn fail(&self, message: impl FnOnce() -> String) -> Verdict {
        fail(if self.quiet { String::new() } else { message() })
    }

    fn has(&self, mark: impl Fn(&Field) -> bool) -> bool {
        mark(self.own) || self.inherited.is_some_and(mark)
    }

    fn kind(&self) -> &'a Kind {
        match (&self.own.kind, self.inherited) {
            (Kind::Any, Some(field)) => &field.kind,
            (kind, _) => kind,
        }
    }

    fn check(&self, value: &Value) -> Verdict {
        let verdict = self.check_type_and_rules(value);
        match (verdict, self.get(|f| f.err.as_ref())) {
            (Err(ErrorTree::Message(text)), Some(err)) if text != REQUIRED => fail(err.to_string()),
            (verdict, _) => verdict,
        }
    }

    fn check_type_and_rules(&self, value: &Value) -> Verdict {
        if value.is_null() {
            return self.check_null();
        }
        if self.get(|f| f.eq.as_ref()).is_some_and(Value::is_null) {
            return fail("value must be null");
        }
        if let Value::String(text) = value
            && self.has(|f| f.referenceable)
            && is_vault_reference(text)
        {
            return Ok(());
        }
        self.check_type(value)?;
        self.check_rules(value)
    }

    fn check_null(&self) -> Verdict {
        if self.get(|f| f.ne.as_ref()).is_some_and(Value::is_null) {
            return fail("value must not be null");
        }
        if let Some(expected) = self.get(|f| f.eq.as_ref()).filter(|v| !v.is_null()) {
            return self.fail(|| format!("value must be {}", show(expected)));
        }
        if self.get(|f| f.required.as_ref()) == Some(&true) {
            return fail(REQUIRED);
        }
        Ok(())
    }

    fn check_type(&self, value: &Value) -> Verdict {
        let sound = match self.kind() {
            Kind::Any | Kind::Json(_) => true,
            Kind::String => match value {
                Value::String(text) => return self.check_string_length(text),
                _ => false,
            },
            Kind::Number => value.is_number(),
            Kind::Integer => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
            Kind::Boolean => value.is_boolean(),
            Kind::Array(elements) | Kind::Set(elements) | Kind::Elements(elements) => match as_list(value) {
                Some(items) if self.quiet => return all_hold(elements, items),
                Some(items) => return check_elements(elements, items),
                None => false,
            },
            Kind::Map { keys, values } => return check_map(keys, values, value),
            Kind::Record(record) => return check_record(record, value),
            Kind::Foreign(_) => return check_foreign(value),
        };
        if sound { Ok(()) } else { fail(self.type_message()) }
    }

    fn type_message(&self) -> &'static str {
        match self.kind() {
            Kind::String => "expected a string",
            Kind::Number => "expected a number",
            Kind::Integer => "expected an integer",
            Kind::Boolean => "expected a boolean",
            Kind::Array(_) | Kind::Elements(_) => "expected an array",
            Kind::Set(_) => "expected a set",
            Kind::Map { .. } => "expected a map",
            Kind::Record(_) => "expected a record",
            Kind::Foreign(_) => "expected a foreign reference",
            Kind::Any | Kind::Json(_) => "expected a JSON value",
        }
    }

    /// Texts have a minimum length of one unless the field says otherwise. That rule comes before the others only for
    /// the empty text, which would otherwise pass many patterns.
    fn check_string_length(&self, text: &str) -> Verdict {
        if text.is_empty() && self.get(|f| f.len_min.as_ref()).is_none() && !self.has(|f| f.uuid) {
            return fail("length must be at least 1");
        }
        Ok(())
    }

    fn check_rules(&self, value: &Value) -> Verdict {
        self.check_equality(value)?;
        self.check_number(value)?;
        if let Value::String(text) = value {
            self.check_form(text)?;
        }
        self.check_between(value)?;
        self.check_length(value)?;
        if let Value::String(text) = value {
            self.check_patterns(text)?;
        }
        if let Some(expected) = self.get(|f| f.contains.as_ref())
            && !value.as_array().is_some_and(|items| items.iter().any(|i| equal(i, expected)))
        {
            return self.fail(|| format!("expected to contain: {}", show(expected)));
        }
        if let Some(validator) = self.get(|f| f.custom.as_ref()) {
            validator.run(value)?;
        }
        self.check_exclusive_subsets(value)
    }

    fn check_equality(&self, value: &Value) -> Verdict {
        if let Some(expected) = self.get(|f| f.eq.as_ref())
            && !equal(value, expected)
        {
            return self.fail(|| format!("value must be {}", show(expected)));
        }
        if let Some(refused) = self.get(|f| f.ne.as_ref())
            && equal(value, refused)
        {
            return self.fail(|| format!("value must not be {}", show(refused)));
        }
        if let Some(refused) = self.get(|f| (!f.not_one_of.is_empty()).then_some(&f.not_one_of))
            && refused.iter().any(|r| equal(r, value))
        {
            return self.fail(|| format!("must not be one of: {}", show_list(refused)));
        }
        if let Some(allowed) = self.get(|f| f.one_of.as_ref())
            && !allowed.iter().chain(self.later_values()).any(|a| equal(a, value))
        {
            return self.fail(|| format!("expected one of: {}", show_list(allowed)));
        }
        Ok(())
    }

    /// Values of later versions, unless a condition states its own list.
    fn later_values(&self) -> &'a [Value] {
        match self.inherited {
            Some(field) if self.own.one_of.is_none() => &field.also_one_of,
            _ => &self.own.also_one_of,
        }
    }

    fn check_number(&self, value: &Value) -> Verdict {
        let Some(number) = value.as_f64() else { return Ok(()) };
        if let Some(bound) = self.get(|f| f.gt.as_ref())
            && number <= *bound
        {
            return self.fail(|| format!("value must be greater than {}", show_number(*bound)));
        }
        if self.has(|f| f.timestamp) && number <= 0.0 {
            return fail("expected a valid timestamp");
        }
        Ok(())
    }

    fn check_between(&self, value: &Value) -> Verdict {
        if let Some(number) = value.as_f64()
            && let Some((low, high)) = self.get(|f| f.between.as_ref())
            && !(*low..=*high).contains(&number)
        {
            return self.fail(|| format!("value should be between {} and {}", show_number(*low), show_number(*high)));
        }
        Ok(())
    }

    fn check_form(&self, text: &str) -> Verdict {
        if self.has(|f| f.uuid) && !is_uuid(text) {
            return fail("expected a valid UUID");
        }
        if self.has(|f| f.is_regex) && regex_syntax::check(text).is_err() {
            return self.fail(|| format!("not a valid regex: {text}"));
        }
        Ok(())
    }

    fn check_length(&self, value: &Value) -> Verdict {
        let length = match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => return Ok(()),
        };
        if let Some(exact) = self.get(|f| f.len_eq.as_ref())
            && length != *exact
        {
            return self.fail(|| format!("length must be {exact}"));
        }
        if let Some(least) = self.get(|f| f.len_min.as_ref())
            && length < *least
        {
            return self.fail(|| format!("length must be at least {least}"));
        }
        if let Some(most) = self.get(|f| f.len_max.as_ref())
            && length > *most
        {
            return self.fail(|| format!("length must be at most {most}"));
        }
        Ok(())
    }

    fn check_patterns(&self, text: &str) -> Verdict {
        let invalid = || format!("invalid value: {text}");
        if let Some(prefix) = self.get(|f| f.starts_with.as_ref())
            && !text.starts_with(prefix.as_ref())
        {
            return self.fail(|| format!("should start with: {prefix}"));
        }
        if let Some(pattern) = self.get(|f| f.not_match.as_ref())
            && lua_pattern::is_match(text, pattern)
        {
            return self.fail(invalid);
        }
        for rule in self.rules(|f| &f.match_none) {
            if lua_pattern::is_match(text, &rule.pattern) {
                return self.fail(|| rule.err.as_ref().map_or_else(invalid, ToString::to_string));
            }
        }
        if let Some(pattern) = self.get(|f| f.matches.as_ref())
            && !lua_pattern::is_match(text, pattern)
        {
            return self.fail(invalid);
        }
        for rule in self.rules(|f| &f.match_all) {
            if !lua_pattern::is_match(text, &rule.pattern) {
                return self.fail(|| rule.err.as_ref().map_or_else(invalid, ToString::to_string));
            }
        }
        if let Some(set) = self.get(|f| f.match_any.as_ref())
            && !set.patterns.iter().any(|p| lua_pattern::is_match(text, p))
        {
            return self.fail(|| set.err.as_ref().map_or_else(invalid, ToString::to_string));
        }
        Ok(())
    }

    fn rules(&self, rules: impl Fn(&'a Field) -> &'a Vec<PatternRule>) -> &'a [PatternRule] {
        self.get(|f| Some(rules(f)).filter(|r| !r.is_empty())).map_or(&[], Vec::as_slice)
    }

    fn check_exclusive_subsets(&self, value: &Value) -> Verdict {
        let Some(subsets) =
            self.get(|f| (!f.mutually_exclusive_subsets.is_empty()).then_some(&f.mutually_exclusive_subsets))
        else {
            return Ok(());
        };
        let Some(items) = value.as_array() else { return Ok(()) };
        let has = |member: &String| items.iter().any(|i| i.as_str() == Some(member));
        let touched: Vec<String> = subsets
            .iter()
            .filter(|subset| subset.iter().any(has))
            .map(|subset| format!("({})", crate::document::quoted_list(subset)))
            .collect();
        if touched.len() > 1 {
            return self.fail(|| format!("these sets are mutually exclusive: {}", touched.join(", ")));
        }
        Ok(())
    }
}

fn show_list(values: &[Value]) -> String {
    values.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// An empty object is an empty list: that is how Lua writes one.
fn as_list(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(items) => Some(items),
        Value::Object(fields) if fields.is_empty() => Some(&[]),
        _ => None,
    }
}

fn check_elements(elements: &Field, items: &[Value]) -> Verdict {
    let mut faults = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        if let Err(tree) = check_present(elements, item) {
            faults.insert(index, tree);
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(ErrorTree::Items(faults)) }
}

fn all_hold(elements: &Field, items: &[Value]) -> Verdict {
    if items.iter().all(|item| !item.is_null() && holds(elements, None, item)) { Ok(()) } else { fail("") }
}

/// Elements, keys and values are always required.
fn check_present(field: &Field, value: &Value) -> Verdict {
    if value.is_null() {
        return fail(REQUIRED);
    }
    validate_field(field, value)
}

/// Of a map only the first fault is reported, without its key: that is what clients of Kong see.
fn check_map(keys: &Field, values: &Field, value: &Value) -> Verdict {
    match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                validate_field(keys, &Value::String(key.clone()))?;
                check_present(values, entry)?;
            }
            Ok(())
        }
        Value::Array(items) if items.is_empty() => Ok(()),
        Value::Array(_) => fail("expected a string"), // the keys would be numbers
        _ => fail("expected a map"),
    }
}

fn check_record(record: &Record, value: &Value) -> Verdict {
    let empty = Map::new();
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Array(items) if items.is_empty() => &empty,
        _ => return fail("expected a record"),
    };
    record.validate_fields(fields, Purpose::Whole).map_err(ErrorTree::Fields)?;
    match &record.custom {
        Some(validator) => validator.run(value),
        None => Ok(()),
    }
}

/// Only the identifier counts; resolving a reference by name happens before.
fn check_foreign(value: &Value) -> Verdict {
    let message = match value.get("id") {
        Some(Value::String(id)) if is_uuid(id) => return Ok(()),
        Some(Value::String(_)) => "expected a valid UUID",
        Some(Value::Null) | None => "missing primary key",
        Some(_) => "expected a string",
    };
    let mut faults = Faults::default();
    faults.insert("id", message);
    Err(ErrorTree::Fields(faults))
}

/// 8-4-4-4-12 hexadecimal digits, in either case.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
