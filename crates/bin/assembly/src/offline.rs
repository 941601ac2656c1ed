//! The datastore without a node: for commands that read or write configuration beside one, or without any.

use anyhow::Context as _;
use gibbon_conf::Settings;
use gibbon_declare::{Declared, Loader, export, load};
use gibbon_model::DEFAULT_WORKSPACE_ID;
use gibbon_pdk::NodeFacts;
use gibbon_store::{Documents, KongTables, SystemSources};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::node::{AccessLogs, Engine};
use crate::store;

/// What was taken over from another gateway.
pub struct TakenOver {
    /// How many entities.
    pub entities: usize,
    /// Settings that have no place here.
    pub dropped: Vec<String>,
}

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
        let Engine { registry, funnel, ports, .. } =
            Engine::build(settings, &facts, &AccessLogs::default(), serde_json::Value::Null, runtime.handle())?;
        let documents = store::open(settings, registry, &funnel, &ports.vaults, runtime.handle())?;
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

    /// Takes over the configuration of a Kong gateway whose tables are in the same database. Those stay as they are.
    ///
    /// # Errors
    /// Entities that are not sound here, all of them, or what contradicts them; then nothing is written.
    pub fn take_over(&self, settings: &Settings) -> anyhow::Result<TakenOver> {
        let (registry, compat) = (&*self.documents.registry, self.documents.compat);
        let found = KongTables::read(&store::primary(settings)?, self.runtime.handle(), registry, compat)?;
        if !found.faulty.is_empty() {
            let list: Vec<String> =
                found.faulty.iter().map(|(kind, id, fault)| format!("{kind} '{id}': {fault}")).collect();
            anyhow::bail!("{} entities cannot be taken over:\n{}", list.len(), list.join("\n"));
        }
        let entities = found.writes.len();
        self.runtime.block_on(self.documents.conductor.commit(found.writes))?;
        let dropped = found.dropped.iter().map(|(table, column, times)| format!("{table}.{column} ({times} times)"));
        Ok(TakenOver { entities, dropped: dropped.collect() })
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
