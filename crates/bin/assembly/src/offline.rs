//! The datastore without a node: for commands that read or write configuration beside one, or without any.

use std::sync::Arc;

use anyhow::Context as _;
use gibbon_conf::Settings;
use gibbon_declare::{Declared, Loader, export, load};
use gibbon_model::{DEFAULT_WORKSPACE_ID, EntityDef};
use gibbon_pdk::NodeFacts;
use gibbon_store::{Address, Documents, KongTables, SystemSources};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::node::{AccessLogs, Engine};
use crate::store;

/// The workspace of files that name none.
const DEFAULT_WORKSPACE: &str = "default";

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

    /// Puts everything a declarative text says into the datastore, in the workspace it names, which is made if need be; what it
    /// does not name stays.
    ///
    /// # Errors
    /// Everything that is wrong with the text, or what contradicts it; then nothing of it is written.
    pub fn import(&self, text: &[u8]) -> anyhow::Result<usize> {
        let mut sources = SystemSources::new();
        let stamped = sources.time();
        let (registry, compat) = (&*self.documents.registry, self.documents.compat);
        let declared: Declared = load(text, &mut Loader { registry, compat, sources: &mut sources })?;
        let name = declared.workspace.as_deref().unwrap_or(DEFAULT_WORKSPACE);
        let workspace = match self.workspace(name)? {
            Some(workspace) => workspace,
            None => self.make_workspace(name)?,
        };
        Ok(self.runtime.block_on(self.documents.import(workspace, declared.entities, stamped))?)
    }

    fn workspace(&self, name: &str) -> anyhow::Result<Option<Uuid>> {
        if name == DEFAULT_WORKSPACE {
            return Ok(Some(Uuid::parse_str(DEFAULT_WORKSPACE_ID)?));
        }
        let address = Address::Key { field: "name".into(), value: name.into() };
        let found = self.runtime.block_on(self.documents.find(&self.workspaces()?, Uuid::nil(), &address))?;
        Ok(found.map(|row| row.id))
    }

    fn make_workspace(&self, name: &str) -> anyhow::Result<Uuid> {
        let document = serde_json::Map::from_iter([("name".to_owned(), name.into())]);
        let made = self.runtime.block_on(self.documents.insert(&self.workspaces()?, Uuid::nil(), document))?;
        Ok(made.id)
    }

    fn workspaces(&self) -> anyhow::Result<Arc<EntityDef>> {
        self.documents.registry.get("workspaces").map(Arc::clone).context("there are no workspaces")
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

    /// What is in one workspace as a declarative text; the default one if none is named.
    ///
    /// # Errors
    /// Those of the store, or there is no such workspace.
    pub fn export(&self, workspace: Option<&str>) -> anyhow::Result<String> {
        let name = workspace.unwrap_or(DEFAULT_WORKSPACE);
        let id = self.workspace(name)?.with_context(|| format!("there is no workspace '{name}'"))?;
        let all = self.runtime.block_on(self.documents.all_in(id))?;
        let entities = all.iter().map(|(kind, documents)| (kind.as_str(), documents.as_slice()));
        let named = Some(name).filter(|name| *name != DEFAULT_WORKSPACE);
        export(&self.documents.registry, named, entities).context("the configuration cannot be written as YAML")
    }

    /// Names of the workspaces beside the default one.
    ///
    /// # Errors
    /// Those of the store.
    pub fn other_workspaces(&self) -> anyhow::Result<Vec<String>> {
        let all = self.runtime.block_on(self.documents.all_in(Uuid::parse_str(DEFAULT_WORKSPACE_ID)?))?;
        let names = all.get("workspaces").into_iter().flatten().filter_map(|workspace| workspace.get("name")?.as_str());
        Ok(names.filter(|name| *name != DEFAULT_WORKSPACE).map(str::to_owned).collect())
    }
}
