//! Declarative texts put in force: read, checked and handed to whoever makes changes.

use std::path::PathBuf;

use anyhow::Context as _;
use gibbon_conf::{Database, DeclarativeSource, Settings};
use gibbon_declare::{Declared, Loader, load};
use gibbon_model::{DEFAULT_WORKSPACE_ID, Registry};
use gibbon_schema::Compat;
use gibbon_store::{Document, Documents, SystemSources, load_saved};
use indexmap::IndexMap;
use serde_json::Value;
use uuid::Uuid;

/// What is said before all that is wrong with the configuration that the settings name.
pub fn refused(settings: &Settings) -> String {
    match &settings.datastore.declarative {
        Some(DeclarativeSource::File(path)) => format!("error parsing declarative config file {}", path.display()),
        _ => "error parsing declarative config".to_owned(),
    }
}

/// The declarative text that the settings name, if they do and it counts.
///
/// # Errors
/// A file that cannot be read, named.
pub fn text(settings: &Settings) -> anyhow::Result<Option<Vec<u8>>> {
    Ok(match &settings.datastore.declarative {
        _ if settings.datastore.database != Database::Off => None,
        Some(DeclarativeSource::File(path)) => {
            Some(std::fs::read(path).with_context(|| format!("cannot read '{}'", path.display()))?)
        }
        Some(DeclarativeSource::Text(text)) => Some(text.clone().into_bytes()),
        None => None,
    })
}

/// Everything a declarative text says, checked against the kinds of entities that there are.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &[u8], registry: &Registry, compat: Compat) -> anyhow::Result<Declared> {
    let mut sources = SystemSources::new();
    Ok(load(text, &mut Loader { registry, compat, sources: &mut sources })?)
}

/// Puts declarative texts in force. Its methods wait, so they are not for the control runtime's own threads.
pub struct Declarative {
    documents: Documents,
    control: tokio::runtime::Handle,
    prefix: PathBuf,
}

impl Declarative {
    pub fn new(documents: Documents, control: tokio::runtime::Handle, prefix: PathBuf) -> Self {
        Declarative { documents, control, prefix }
    }

    /// Puts in force what the settings name. Where they name nothing, a node without a datastore goes on with what it
    /// accepted last; if that no longer works it starts all the same, for a new configuration can be sent.
    ///
    /// # Errors
    /// A file that cannot be read, or everything that is wrong with it.
    pub fn load(&self, settings: &Settings) -> anyhow::Result<()> {
        if settings.datastore.database != Database::Off {
            return Ok(());
        }
        match text(settings)? {
            Some(text) => self.replace(&text).with_context(|| refused(settings)).map(drop),
            None if self.is_loaded() => Ok(()),
            None => {
                if let Err(error) = self.restore() {
                    tracing::error!("the last accepted configuration is not in force: {error:#}");
                }
                Ok(())
            }
        }
    }

    /// Goes on with what a running node has in force, which may have come over the Admin API since it started.
    ///
    /// # Errors
    /// A configuration that does not work here; as [`Declarative::load`] if nothing was ever in force.
    pub fn take_over(&self, settings: &Settings) -> anyhow::Result<()> {
        let in_force = settings.datastore.database == Database::Off
            && self.restore().context("the running node's configuration")?;
        if in_force { Ok(()) } else { self.load(settings) }
    }

    fn is_loaded(&self) -> bool {
        self.documents.conductor.memory().is_some_and(|memory| memory.look(|table| table.kinds().next().is_some()))
    }

    /// Replaces the whole configuration; a refused text changes nothing.
    ///
    /// # Errors
    /// Everything that is wrong with the text.
    pub fn replace(&self, text: &[u8]) -> anyhow::Result<Declared> {
        let stamped = SystemSources::new().time();
        let declared = parse(text, &self.documents.registry, self.documents.compat)?;
        self.put(declared.entities.clone(), &declared.hash, stamped)?;
        Ok(declared)
    }

    /// Puts the configuration that was accepted last in force again. Says whether there was one.
    ///
    /// # Errors
    /// A file that cannot be read, or a configuration that no longer works.
    fn restore(&self) -> anyhow::Result<bool> {
        let Some(saved) = load_saved(&self.prefix)? else { return Ok(false) };
        let documents = |list: Value| match list {
            Value::Array(items) => items.into_iter().filter_map(fields).collect(),
            _ => Vec::new(),
        };
        let entities = saved.entities.into_iter().map(|(kind, list)| (kind, documents(list))).collect();
        self.put(entities, &saved.hash, 0.0)?;
        Ok(true)
    }

    fn put(&self, entities: IndexMap<String, Vec<Document>>, hash: &str, stamped: f64) -> anyhow::Result<()> {
        let workspace = Uuid::parse_str(DEFAULT_WORKSPACE_ID)?;
        Ok(self.control.block_on(self.documents.declare(workspace, entities, hash, stamped))?)
    }
}

fn fields(value: Value) -> Option<Document> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}
