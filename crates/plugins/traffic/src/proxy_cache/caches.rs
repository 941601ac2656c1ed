//! The memories of a node by name, as the Admin API sees them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gibbon_pdk::NodeState;
use uuid::Uuid;

use super::key::{self, Key};
use super::memory::{CachedAnswer, Memory};

/// All memories that configurations named. Names come from configurations only, so there are few.
#[derive(Default)]
pub struct Caches {
    memories: Mutex<BTreeMap<String, Arc<Memory>>>,
    /// Which memory a configuration in force uses, by the plugin's id.
    users: Mutex<BTreeMap<Uuid, Weak<str>>>,
}

impl Caches {
    /// Under which the node keeps them.
    pub(super) const KEY: &'static str = "proxy-cache/memories";

    /// Those of a node.
    #[must_use]
    pub fn of(state: &dyn NodeState) -> Arc<Caches> {
        let any = state.get_or_insert(Self::KEY, &mut || Arc::new(Caches::default()));
        any.downcast().unwrap_or_default()
    }

    /// The memory of a name, made when it is first asked for.
    pub(super) fn memory(&self, name: &str) -> Arc<Memory> {
        Arc::clone(self.all().entry(name.to_owned()).or_default())
    }

    /// Notes which memory a configuration uses, for as long as it holds what this gives.
    pub(super) fn used_by(&self, plugin: Uuid, memory: &str) -> Arc<str> {
        let name: Arc<str> = memory.into();
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, name| name.strong_count() > 0);
        users.insert(plugin, Arc::downgrade(&name));
        name
    }

    /// The name of the memory that a plugin's configuration uses.
    #[must_use]
    pub fn memory_of(&self, plugin: Uuid) -> Option<Arc<str>> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).get(&plugin)?.upgrade()
    }

    /// The answer under a key (64 hexadecimal digits), in whichever memory it is. `now` is in seconds since the epoch.
    #[must_use]
    pub fn find(&self, key: &str, now: i64) -> Option<Arc<CachedAnswer>> {
        let key = key::parse(key)?;
        self.all().values().find_map(|memory| memory.get(&key, now))
    }

    /// The answer under a key in one memory.
    #[must_use]
    pub fn find_in(&self, memory: &str, key: &str, now: i64) -> Option<Arc<CachedAnswer>> {
        let key = key::parse(key)?;
        self.all().get(memory)?.get(&key, now)
    }

    /// Forgets the answer under a key in every memory; tells whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        let remove = |key: Key| self.all().values().filter(|memory| memory.remove(&key)).count() > 0;
        key::parse(key).is_some_and(remove)
    }

    /// Forgets the answer under a key in one memory; tells whether there was one.
    pub fn remove_in(&self, memory: &str, key: &str) -> bool {
        key::parse(key).is_some_and(|key| self.all().get(memory).is_some_and(|memory| memory.remove(&key)))
    }

    /// Forgets everything.
    pub fn purge(&self) {
        self.all().values().for_each(|memory| memory.clear());
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Memory>>> {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
