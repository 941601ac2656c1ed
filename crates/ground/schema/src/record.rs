//! A record: named fields in order, checks across them, and shorthand inputs. Whole entities are records too.

use std::{borrow::Cow, fmt, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    checks::EntityCheck,
    field::{Deprecation, Field, Kind, Validator},
};

/// Named fields in order, with what concerns several of them.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub fields: Vec<(Cow<'static, str>, Field)>,
    pub checks: Vec<EntityCheck>,
    /// Of a plugin's `config`: checks that are reported at the plugin; their paths start with `config.`.
    pub plugin_checks: Vec<EntityCheck>,
    pub shorthands: Vec<Shorthand>,
    /// Run when every field and check is sound.
    pub custom: Option<Validator>,
    /// The entity takes a `ttl` in seconds beside its fields.
    pub ttl: bool,
    pub subschemas: Option<Subschemas>,
}

impl Record {
    pub fn new() -> Self {
        Record::default()
    }

    pub fn field(mut self, name: impl Into<Cow<'static, str>>, field: Field) -> Self {
        self.fields.push((name.into(), field));
        self
    }

    /// Takes in another record's fields, checks and shorthands: `#[schema(flatten)]`.
    pub fn with(mut self, other: Record) -> Self {
        self.fields.extend(other.fields);
        self.checks.extend(other.checks);
        self.shorthands.extend(other.shorthands);
        self
    }

    pub fn check(mut self, check: EntityCheck) -> Self {
        self.checks.push(check);
        self
    }

    pub fn plugin_check(mut self, check: EntityCheck) -> Self {
        self.plugin_checks.push(check);
        self
    }

    pub fn shorthand(mut self, shorthand: Shorthand) -> Self {
        self.shorthands.push(shorthand);
        self
    }

    pub fn custom(mut self, validator: Validator) -> Self {
        self.custom = Some(validator);
        self
    }

    pub fn ttl(mut self) -> Self {
        self.ttl = true;
        self
    }

    pub fn subschemas(mut self, subschemas: Subschemas) -> Self {
        self.subschemas = Some(subschemas);
        self
    }

    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, f)| f)
    }

    /// The field at a path such as `config.redis.host`.
    pub fn at(&self, path: &str) -> Option<&Field> {
        match path.split_once('.') {
            None => self.get(path),
            Some((head, rest)) => match &self.get(head)?.kind {
                Kind::Record(record) => record.at(rest),
                _ => None,
            },
        }
    }

    /// Marks every record in here as required unless it says that it is not, so that answers show the full structure.
    /// This is what entities and plugin configurations are subject to.
    pub fn require_records(mut self) -> Self {
        require_records(&mut self.fields);
        self
    }

    pub(crate) fn subschema_for(&self, document: &Map<String, Value>) -> Option<Arc<Record>> {
        let subschemas = self.subschemas.as_ref()?;
        match document.get(subschemas.key.as_ref())? {
            Value::String(name) => (subschemas.lookup)(name),
            Value::Array(names) => names.iter().find_map(|n| (subschemas.lookup)(n.as_str()?)),
            _ => None,
        }
    }
}

fn require_records(fields: &mut [(Cow<'static, str>, Field)]) {
    for (_, field) in fields {
        if let Kind::Record(record) = &mut field.kind {
            field.required.get_or_insert(true);
            require_records(&mut record.fields);
        }
    }
}

/// Finds a subschema by the value that chooses it.
pub type SubschemaLookup = dyn Fn(&str) -> Option<Arc<Record>> + Send + Sync;

/// More fields and checks, chosen by the value of one field: the `config` of a plugin by its name, the rules for a
/// route by its protocols. Fields of the subschema stand in for fields of the same name.
#[derive(Clone)]
pub struct Subschemas {
    /// The field whose value (or first known item) chooses.
    pub key: Cow<'static, str>,
    /// The message for an unknown value, with `%s` where it stands. Without: `unknown type: %s`.
    pub error: Option<Cow<'static, str>>,
    pub lookup: Arc<SubschemaLookup>,
}

impl fmt::Debug for Subschemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subschemas({})", self.key)
    }
}

type Expand = dyn Fn(&Value, &Map<String, Value>) -> Map<String, Value> + Send + Sync;

/// An input that is turned into other fields: `url` of services, old names of moved settings.
#[derive(Clone)]
pub struct Shorthand {
    pub name: Cow<'static, str>,
    /// Type and rules of the input.
    pub field: Field,
    expand: Arc<Expand>,
}

impl Shorthand {
    /// A shorthand whose fields are computed from the value given and the document it stands in.
    pub fn new(
        name: impl Into<Cow<'static, str>>,
        field: Field,
        expand: impl Fn(&Value, &Map<String, Value>) -> Map<String, Value> + Send + Sync + 'static,
    ) -> Self {
        Shorthand { name: name.into(), field, expand: Arc::new(expand) }
    }

    /// The old name of a setting that moved to `path`. Shown in answers with the value of its successor; when both are
    /// given they must agree.
    pub fn replaced_with(
        name: &'static str,
        field: Field,
        path: &[&'static str],
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let path: Vec<Cow<'static, str>> = path.iter().map(|p| Cow::Borrowed(*p)).collect();
        let field = field.deprecated(Deprecation {
            message: message.into(),
            removal_in_version: Some("4.0".into()),
            old_default: None,
            replaced_with: vec![path.clone()],
        });
        Shorthand::new(name, field, move |value, _| {
            let mut nested = value.clone();
            for name in path.iter().rev() {
                let mut object = Map::new();
                object.insert(name.to_string(), nested);
                nested = Value::Object(object);
            }
            match nested {
                Value::Object(object) => object,
                _ => Map::new(),
            }
        })
    }

    pub(crate) fn expand(&self, value: &Value, document: &Map<String, Value>) -> Map<String, Value> {
        (self.expand)(value, document)
    }

    /// Where the successor of this input is, if it has exactly one.
    pub(crate) fn successor(&self) -> Option<&[Cow<'static, str>]> {
        self.field.deprecation.as_ref()?.replaced_with.first().map(Vec::as_slice)
    }
}

impl fmt::Debug for Shorthand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shorthand").field("name", &self.name).field("field", &self.field).finish_non_exhaustive()
    }
}
