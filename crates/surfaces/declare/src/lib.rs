//! Declarative files: a whole configuration in one YAML or JSON text.
//!
//! [`load`] reads the text, brings older formats up to date, takes nested entities apart, gives every entity a stable
//! identifier, resolves references, and completes and checks each one by its schema. The result is the list of complete
//! documents per kind of entity, or every fault at once in the shape of the file. [`export`] writes such lists back.
//!
//! It names no entity but where files write something in a way of their own (groups of consumers, names of
//! certificates); all else follows from the registry. Storing the result, and comparing it with what is in force, is for
//! others.

mod error;
mod export;
mod flatten;
mod format;
mod groups;
mod identity;
mod read;
mod resolve;
mod text;
mod times;

use std::collections::HashMap;

use gibbon_model::Registry;
use gibbon_schema::{Compat, Faults, Sources};
use indexmap::IndexMap;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value};

pub use error::{DeclareError, Invalid};
pub use export::export;
pub use flatten::{Flattened, flatten};
pub use text::{MAX_BYTES, SyntaxError, parse};

/// The hash of no configuration at all.
pub const EMPTY_HASH: &str = "00000000000000000000000000000000";

/// The circumstances under which a file is read.
pub struct Loader<'a> {
    pub registry: &'a Registry,
    pub compat: Compat,
    pub sources: &'a mut dyn Sources,
}

/// A configuration that is sound in itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Declared {
    /// Complete documents by kind of entity; what is referred to comes first.
    pub entities: IndexMap<String, Vec<Map<String, Value>>>,
    /// MD5 of the text, 32 hexadecimal digits.
    pub hash: String,
    /// The workspace a file of decK is for.
    pub workspace: Option<String>,
    /// When the text was read, in seconds since 1970: the time of making and changing of entities that give none.
    pub read_at: f64,
}

impl Declared {
    /// The documents of one kind.
    pub fn of(&self, entity: &str) -> &[Map<String, Value>] {
        self.entities.get(entity).map_or(&[], Vec::as_slice)
    }

    /// How many entities there are.
    pub fn len(&self) -> usize {
        self.entities.values().map(Vec::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The documents by identifier, by kind: the answer to a file that was accepted.
    pub fn by_id(&self, registry: &Registry) -> Value {
        let mut kinds = Map::new();
        for (kind, documents) in &self.entities {
            let Some(def) = registry.get(kind) else { continue };
            let mut by_id = Map::with_capacity(documents.len());
            for document in documents {
                let key = def.primary_key.iter().filter_map(|k| document.get(k.as_ref())?.as_str()).collect::<Vec<_>>();
                by_id.insert(key.join(":"), Value::Object(def.present(document.clone())));
            }
            kinds.insert(kind.clone(), Value::Object(by_id));
        }
        Value::Object(kinds)
    }
}

/// The hash by which two texts are compared.
pub fn hash(text: &[u8]) -> String {
    let digest: [u8; 16] = Md5::digest(text).into();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a configuration from YAML or JSON text.
///
/// # Errors
/// Why the text cannot be read, or everything that is wrong with what it says.
pub fn load(text: &[u8], loader: &mut Loader<'_>) -> Result<Declared, DeclareError> {
    let document = parse(text)?;
    let mut declared = declare(document, loader)?;
    declared.hash = hash(text);
    Ok(declared)
}

/// Reads a configuration that is already a tree.
///
/// # Errors
/// Everything that is wrong with it.
pub fn declare(document: Value, loader: &mut Loader<'_>) -> Result<Declared, DeclareError> {
    let Value::Object(mut document) = document else { return Err(DeclareError::NotAnObject) };
    let mut faults = Faults::default();
    let header = format::Header::take(&mut document, &mut faults);
    format::upgrade(&mut document, header.version);
    let items = read::read(document, loader.registry, &mut faults);
    let mut sources = times::Frozen::new(loader.sources);
    let read_at = sources.now();
    let mut loader = Loader { registry: loader.registry, compat: loader.compat, sources: &mut sources };
    let entities = resolve::resolve(items, &mut loader, header.transform, &mut faults);
    if !faults.is_empty() {
        return Err(Invalid { faults }.into());
    }
    Ok(Declared { entities, hash: String::new(), workspace: header.workspace, read_at })
}

/// Kinds of entities by name, as positions in the registry's order.
type KindIndex<'a> = HashMap<&'a str, usize>;
