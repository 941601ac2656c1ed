//! All kinds of entities this gateway knows.

use std::{borrow::Cow, sync::Arc};

use gibbon_schema::Record;
use indexmap::IndexMap;

use crate::{
    entities,
    entities::routes::{ExpressionCheck, RouterFlavor},
    entity::EntityDef,
    plugin::{NoPlugins, PluginSchemas},
};

/// What the schemas of entities depend on.
#[derive(Clone)]
pub struct RegistryOptions {
    pub router_flavor: RouterFlavor,
    /// Checks a route as the router will read it; the message is shown under `@entity`.
    pub expression_check: Option<Arc<ExpressionCheck>>,
    pub plugins: Arc<dyn PluginSchemas>,
    /// Vaults by name, with the schema of their `config`.
    pub vaults: IndexMap<String, Record>,
    /// Names of the Wasm filters that are installed.
    pub filters: Vec<String>,
    /// Seconds since 1970, to tell expired certificates.
    pub now: fn() -> i64,
}

impl Default for RegistryOptions {
    fn default() -> Self {
        RegistryOptions {
            router_flavor: RouterFlavor::default(),
            expression_check: None,
            plugins: Arc::new(NoPlugins),
            vaults: entities::vaults::built_in(),
            filters: Vec::new(),
            now: system_time,
        }
    }
}

fn system_time() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// All kinds of entities, in an order in which every one comes after those it refers to.
#[derive(Clone, Debug)]
pub struct Registry {
    entities: IndexMap<Cow<'static, str>, Arc<EntityDef>>,
}

impl Registry {
    /// The core entities and those of the built-in plugins.
    pub fn new(options: &RegistryOptions) -> Self {
        let mut registry = Registry { entities: IndexMap::new() };
        for def in entities::all(options) {
            registry.add(def);
        }
        registry
    }

    /// Adds the entity of a plugin, or replaces one of that name.
    pub fn add(&mut self, def: EntityDef) {
        self.entities.insert(def.name.clone(), Arc::new(def));
    }

    /// The entity of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<EntityDef>> {
        self.entities.get(name)
    }

    /// The entity whose collection is under that path.
    pub fn by_admin_path(&self, path: &str) -> Option<&Arc<EntityDef>> {
        self.entities.values().find(|def| def.admin_path == path)
    }

    /// All entities; what is referred to comes first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<EntityDef>> {
        self.entities.values()
    }

    /// The entities that refer to `parent`, each with the field that does so.
    pub fn children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = (&'a Arc<EntityDef>, &'a str)> {
        self.iter().filter_map(move |def| def.foreign_field_to(parent).map(|field| (def, field)))
    }
}
