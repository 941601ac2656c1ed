//! What is known of one kind of entity, and the way a document of it takes from request to store.

use std::borrow::Cow;

use gibbon_schema::{Compat, Context, Faults, Field, Filler, Foreign, Kind, Purpose, Record, Sources};
use serde_json::{Map, Value};

use crate::partials;

type Name = Cow<'static, str>;
type Document = Map<String, Value>;

/// One kind of entity.
#[derive(Clone, Debug)]
pub struct EntityDef {
    /// As in declarative files: `keyauth_credentials`.
    pub name: Name,
    pub record: Record,
    /// Usually `id`.
    pub primary_key: Vec<Name>,
    /// The unique field that may stand for the identifier in paths and references.
    pub endpoint_key: Option<Name>,
    /// Fields that identify an entity in caches; together they are unique. Empty: the identifier alone.
    pub cache_key: Vec<Name>,
    /// As in paths: `key-auths`.
    pub admin_path: Name,
    /// As in paths below a parent: `key-auth`.
    pub nested_path: Name,
    pub workspaceable: bool,
    /// Entities may expire; `ttl` is in seconds.
    pub ttl: bool,
    /// Whether the usual paths exist for it.
    pub generated_api: bool,
    /// Whether it is part of exports and of what data planes receive.
    pub exported: bool,
    /// The version that brought it, when later than 3.10.
    pub since: Option<&'static str>,
    /// Brings a document into its canonical form before anything is checked.
    pub canonicalise: Option<fn(&mut Document)>,
    pub transforms: Vec<Transform>,
    /// Fields that no answer shows.
    pub hidden: &'static [&'static str],
}

/// A change of the stored form: a password becomes its hash.
#[derive(Clone, Copy, Debug)]
pub struct Transform {
    /// Runs when one of these was given.
    pub inputs: &'static [&'static str],
    pub run: fn(&mut Document, &mut dyn Sources),
}

/// The circumstances of a write.
pub struct Write<'a> {
    pub compat: Compat,
    pub sources: &'a mut dyn Sources,
    /// Whether values are still to be transformed (they are not in files that say `_transform: false`).
    pub transform: bool,
}

impl EntityDef {
    /// An entity with an `id`, named and addressed alike.
    pub fn new(name: impl Into<Name>, record: Record) -> Self {
        let name = name.into();
        EntityDef {
            ttl: record.ttl,
            record: record.require_records(),
            primary_key: vec!["id".into()],
            endpoint_key: None,
            cache_key: Vec::new(),
            admin_path: name.clone(),
            nested_path: name.clone(),
            name,
            workspaceable: true,
            generated_api: true,
            exported: true,
            since: None,
            canonicalise: None,
            transforms: Vec::new(),
            hidden: &[],
        }
    }

    pub fn primary_key(mut self, fields: &[&'static str]) -> Self {
        self.primary_key = fields.iter().map(|f| Cow::Borrowed(*f)).collect();
        self
    }

    pub fn endpoint_key(mut self, field: impl Into<Name>) -> Self {
        self.endpoint_key = Some(field.into());
        self
    }

    pub fn cache_key(mut self, fields: &[&'static str]) -> Self {
        self.cache_key = fields.iter().map(|f| Cow::Borrowed(*f)).collect();
        self
    }

    /// The path of the collection, and the one below a parent.
    pub fn paths(mut self, own: &'static str, nested: &'static str) -> Self {
        self.admin_path = own.into();
        self.nested_path = nested.into();
        self
    }

    pub fn global(mut self) -> Self {
        self.workspaceable = false;
        self
    }

    pub fn without_api(mut self) -> Self {
        self.generated_api = false;
        self
    }

    pub fn unexported(mut self) -> Self {
        self.exported = false;
        self
    }

    pub fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    pub fn canonicalise(mut self, run: fn(&mut Document)) -> Self {
        self.canonicalise = Some(run);
        self
    }

    pub fn transform(mut self, inputs: &'static [&'static str], run: fn(&mut Document, &mut dyn Sources)) -> Self {
        self.transforms.push(Transform { inputs, run });
        self
    }

    pub fn hidden(mut self, fields: &'static [&'static str]) -> Self {
        self.hidden = fields;
        self
    }

    /// Fields of which no two entities may have the same value, each by itself.
    pub fn unique_fields(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.record.fields.iter().filter(|(_, f)| f.unique == Some(true)).map(|(n, f)| (n.as_ref(), f))
    }

    /// Fields that refer to other entities.
    pub fn foreign_fields(&self) -> impl Iterator<Item = (&str, &Foreign)> {
        self.record.fields.iter().filter_map(|(name, field)| match &field.kind {
            Kind::Foreign(foreign) => Some((name.as_ref(), foreign)),
            _ => None,
        })
    }

    /// The field that refers to `entity`, if there is one.
    pub fn foreign_field_to(&self, entity: &str) -> Option<&str> {
        self.foreign_fields().find(|(_, foreign)| foreign.entity == entity).map(|(name, _)| name)
    }

    /// A new entity, or one that replaces another: complete, checked, as it is to be stored.
    ///
    /// # Errors
    /// Everything that is wrong with the document.
    pub fn insert(&self, document: Document, write: &mut Write<'_>) -> Result<Document, Faults> {
        self.insert_linked(document, write, &|_| None)
    }

    /// As `insert`, for a plugin that may be linked to partials: it is checked with their settings filled in, and stored
    /// without them.
    ///
    /// # Errors
    /// Everything that is wrong with the document, its links included.
    pub fn insert_linked(
        &self,
        document: Document,
        write: &mut Write<'_>,
        partial: &dyn Fn(&str) -> Option<Document>,
    ) -> Result<Document, Faults> {
        let given = self.given_inputs(&document);
        let mut document = document;
        self.complete(&mut document, Context::Insert, write)?;
        self.check(&document, Purpose::Whole, partial)?;
        self.apply_transforms(&mut document, &given, write);
        Ok(document)
    }

    fn check(
        &self,
        document: &Document,
        purpose: Purpose,
        partial: &dyn Fn(&str) -> Option<Document>,
    ) -> Result<(), Faults> {
        if partials::is_linked(document) {
            return self.record.validate_fields(&partials::fill_in(document, partial)?, purpose);
        }
        self.record.validate_fields(document, purpose)
    }

    /// `base` with `changes` laid over it: complete, checked, as it is to be stored.
    ///
    /// # Errors
    /// Everything that is wrong with the result.
    pub fn update(&self, base: &Document, changes: Document, write: &mut Write<'_>) -> Result<Document, Faults> {
        self.update_linked(base, changes, write, &|_| None)
    }

    /// As `update`, for a plugin that may be linked to partials.
    ///
    /// # Errors
    /// Everything that is wrong with the result, its links included.
    pub fn update_linked(
        &self,
        base: &Document,
        changes: Document,
        write: &mut Write<'_>,
        partial: &dyn Fn(&str) -> Option<Document>,
    ) -> Result<Document, Faults> {
        let given = self.given_inputs(&changes);
        let mut changes = changes;
        self.add_subschema_key(base, &mut changes);
        self.complete(&mut changes, Context::Update, write)?;
        self.refuse_immutable(base, &changes)?;
        let mut document = self.record.merge(base, changes);
        // Completes what an older version stored, and records that were given in part.
        let mut filler = Filler { context: Context::Insert, compat: write.compat, sources: write.sources };
        self.record.fill(&mut document, &mut filler)?;
        self.check(&document, Purpose::Update, partial)?;
        self.apply_transforms(&mut document, &given, write);
        Ok(document)
    }

    /// Completes a document as it is to be stored, without checking it.
    ///
    /// # Errors
    /// Shorthand inputs that are at fault by themselves.
    pub fn complete(&self, document: &mut Document, context: Context, write: &mut Write<'_>) -> Result<(), Faults> {
        if let Some(canonicalise) = self.canonicalise {
            canonicalise(document);
        }
        let mut filler = Filler { context, compat: write.compat, sources: write.sources };
        self.record.fill(document, &mut filler)
    }

    /// Whether clients see every document of this kind as it is stored.
    pub fn is_shown_as_stored(&self) -> bool {
        self.hidden.is_empty() && !self.record.may_echo_shorthands()
    }

    /// The document as clients see it.
    pub fn present(&self, mut document: Document) -> Document {
        self.record.echo_shorthands(&mut document);
        for name in self.hidden {
            document.shift_remove(*name);
        }
        document
    }

    fn refuse_immutable(&self, base: &Document, changes: &Document) -> Result<(), Faults> {
        let mut faults = Faults::default();
        for (name, _) in self.record.fields.iter().filter(|(_, field)| field.immutable) {
            if changes.get(name.as_ref()).is_some_and(|new| Some(new) != base.get(name.as_ref())) {
                faults.insert(name, "immutable field cannot be updated");
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// The inputs of transforms among what a client gave, before defaults are filled in.
    fn given_inputs(&self, document: &Document) -> Vec<&'static str> {
        let inputs = self.transforms.iter().flat_map(|t| t.inputs);
        inputs.copied().filter(|name| document.get(*name).is_some_and(|v| !v.is_null())).collect()
    }

    /// Applies what changes the stored form. `given` are the inputs the client sent.
    pub(crate) fn apply_transforms(&self, document: &mut Document, given: &[&str], write: &mut Write<'_>) {
        if !write.transform {
            return;
        }
        for transform in &self.transforms {
            if transform.inputs.iter().any(|input| given.contains(input)) {
                (transform.run)(document, write.sources);
            }
        }
    }

    /// Changes of a plugin need not repeat its name, which says what its configuration means.
    fn add_subschema_key(&self, base: &Document, changes: &mut Document) {
        if let Some(subschemas) = &self.record.subschemas
            && !changes.contains_key(subschemas.key.as_ref())
            && let Some(key) = base.get(subschemas.key.as_ref())
        {
            changes.insert(subschemas.key.to_string(), key.clone());
        }
    }
}
