//! The datastore without a node: for commands that read or write configuration beside one, or without any.

use anyhow::Context as _;
use gibbon_conf::Settings;
use gibbon_declare::{Declared, Loader, export, load};
use gibbon_model::DEFAULT_WORKSPACE_ID;
use gibbon_pdk::NodeFacts;
use gibbon_store::{Documents, SystemSources};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::node::Engine;
use crate::store;

/// An open datastore.
pub struct Offline {
    documents: Documents,
    runtime: Runtime,
}

impl Offline {
    /// Opens the datastore of the settings. All that is stored is compiled as a node would, so that what is written fits.
    ///
    /// # Errors
    /// As for a node.
    pub fn open(settings: &Settings) -> anyhow::Result<Offline> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let facts = NodeFacts { worker_count: 1, ..NodeFacts::default() };
        let Engine { registry, funnel, .. } = Engine::build(settings, &facts, None, runtime.handle())?;
        let documents = store::open(settings, registry, &funnel, runtime.handle())?;
        Ok(Offline { documents, runtime })
    }

    /// Puts everything a declarative text says into the datastore; what it does not name stays.
    ///
    /// # Errors
    /// Everything that is wrong with the text, or what contradicts it; then nothing is written.
    pub fn import(&self, text: &[u8]) -> anyhow::Result<usize> {
        let mut sources = SystemSources::new();
        let stamped = sources.time();
        let (registry, compat) = (&*self.documents.registry, self.documents.compat);
        let declared: Declared = load(text, &mut Loader { registry, compat, sources: &mut sources })?;
        let workspace = Uuid::parse_str(DEFAULT_WORKSPACE_ID)?;
        Ok(self.runtime.block_on(self.documents.import(workspace, declared.entities, stamped))?)
    }

    /// Everything in the datastore as a declarative text.
    ///
    /// # Errors
    /// Those of the store.
    pub fn export(&self) -> anyhow::Result<String> {
        let all = self.runtime.block_on(self.documents.all())?;
        let entities = all.iter().map(|(kind, documents)| (kind.as_str(), documents.as_slice()));
        export(&self.documents.registry, entities).context("the configuration cannot be written as YAML")
    }
}
