//! Entities that hold references to secrets, as the plan is told of them: with the secrets in their place, and again
//! whenever one of those is another. They are stored, and shown to clients, with the references.
//!
//! Where secrets come from is behind [`Secrets`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use gibbon_model::Registry;
use gibbon_plan::Change;
use gibbon_schema::has_references;
use serde_json::Value;
use uuid::Uuid;

use crate::rules::Write;

const VAULTS: &str = "vaults";

/// What references stand for.
pub trait Secrets: Send + Sync {
    /// The secret behind a reference, as last read; empty while it is not known. `vault` is the vault entity whose
    /// prefix the reference names, if there is one. Does not wait: what is not known yet is read meanwhile.
    fn look_up(&self, reference: &str, vault: Option<&Arc<Value>>) -> String;
    /// Waits until everything that was looked up was asked for at least once, at most so long.
    fn settle(&self, at_most: Duration);
    /// Keeps only references of which `used` says that they still are.
    fn retain(&self, used: &dyn Fn(&str) -> bool);
}

/// For gateways without vaults: every reference stands for nothing.
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn look_up(&self, _: &str, _: Option<&Arc<Value>>) -> String {
        String::new()
    }

    fn settle(&self, _: Duration) {}

    fn retain(&self, _: &dyn Fn(&str) -> bool) {}
}

/// An entity with references.
#[derive(Clone, Debug)]
struct Known {
    workspace: Uuid,
    stored: Arc<Value>,
    /// As the plan knows it.
    resolved: Arc<Value>,
    references: Vec<Box<str>>,
}

/// All entities with references, and the vaults these may name, that the plan knows.
#[derive(Clone, Default)]
pub struct References {
    known: BTreeMap<(Arc<str>, Uuid), Known>,
    vaults: HashMap<Box<str>, Arc<Value>>,
}

/// Where references are looked up: schemas say where they may stand, vaults what they mean.
#[derive(Clone, Copy)]
struct Lookup<'a> {
    registry: &'a Registry,
    secrets: &'a dyn Secrets,
}

impl References {
    /// Whether any of the changes has to do with references.
    pub fn concern(&self, changes: &[Change]) -> bool {
        changes.iter().any(|change| {
            let holds = |document: &Option<Arc<Value>>| document.as_deref().is_some_and(has_references);
            &*change.entity == VAULTS || holds(&change.before) || holds(&change.after)
        })
    }

    /// The changes as the plan is to be told of them.
    pub fn expand(&mut self, mut changes: Vec<Change>, registry: &Registry, secrets: &dyn Secrets) -> Vec<Change> {
        // Vaults first: what comes with them may refer to them.
        changes.sort_by_key(|change| &*change.entity != VAULTS);
        let lookup = Lookup { registry, secrets };
        let mut told = Vec::with_capacity(changes.len());
        let mut dropped = false;
        for change in changes {
            if &*change.entity == VAULTS {
                let prefixes = self.vault(&change);
                told.push(change);
                let through = |reference: &str| prefixes.iter().any(|prefix| vault_of(reference) == Some(prefix));
                told.extend(self.again(lookup, &|known| known.references.iter().any(|r| through(r))));
            } else {
                dropped |= self.known.contains_key(&(Arc::clone(&change.entity), change.id));
                told.push(self.entity(change, lookup));
            }
        }
        if dropped {
            let used = |reference: &str| self.known.values().any(|k| k.references.iter().any(|r| &**r == reference));
            secrets.retain(&used);
        }
        told
    }

    /// The changes that follow from secrets that are others now.
    pub fn refreshed(&mut self, registry: &Registry, secrets: &dyn Secrets) -> Vec<Change> {
        self.again(Lookup { registry, secrets }, &|_| true)
    }

    /// A change that came of another secret was refused: what was there before it stays.
    pub fn keep(&mut self, refused: &Change) {
        let known = self.known.get_mut(&(Arc::clone(&refused.entity), refused.id));
        if let (Some(known), Some(before)) = (known, &refused.before) {
            known.resolved = Arc::clone(before);
        }
    }

    /// Looks up what these writes refer to and waits for it, so that nothing has to wait once a transaction is open.
    pub fn prepare<'a>(
        &self,
        writes: impl Iterator<Item = &'a Write> + Clone,
        registry: &Registry,
        secrets: &dyn Secrets,
        at_most: Duration,
    ) {
        let holds = |write: &&Write| matches!(write, Write::Put { document, .. } if has_references(document));
        if !writes.clone().any(|write| holds(&write)) {
            return;
        }
        let mut with_new = References { known: BTreeMap::new(), vaults: self.vaults.clone() };
        for write in writes.clone() {
            if let Write::Put { entity, document, .. } = write
                && &**entity == VAULTS
                && let Some(prefix) = prefix_of(document)
            {
                with_new.vaults.insert(prefix.into(), Arc::clone(document));
            }
        }
        for write in writes.filter(holds) {
            if let Write::Put { entity, document, .. } = write {
                with_new.resolve(entity, document, Lookup { registry, secrets });
            }
        }
        secrets.settle(at_most);
    }

    /// Notes a vault; returns the prefixes that now mean something else.
    fn vault(&mut self, change: &Change) -> Vec<Box<str>> {
        let prefix = |document: &Option<Arc<Value>>| document.as_deref().and_then(prefix_of).map(Box::<str>::from);
        let (before, after) = (prefix(&change.before), prefix(&change.after));
        if let Some(prefix) = &before {
            self.vaults.remove(prefix);
        }
        if let (Some(prefix), Some(document)) = (&after, &change.after) {
            self.vaults.insert(prefix.clone(), Arc::clone(document));
        }
        before.into_iter().chain(after).collect()
    }

    fn entity(&mut self, mut change: Change, lookup: Lookup<'_>) -> Change {
        let key = (Arc::clone(&change.entity), change.id);
        if let Some(known) = self.known.remove(&key) {
            change.before = Some(known.resolved);
        }
        let Some(stored) = change.after.clone().filter(|document| has_references(document)) else { return change };
        let (resolved, references) = self.resolve(&change.entity, &stored, lookup);
        if !references.is_empty() {
            let resolved = Arc::new(resolved);
            change.after = Some(Arc::clone(&resolved));
            self.known.insert(key, Known { workspace: change.workspace, stored, resolved, references });
        }
        change
    }

    /// Looks up again what those entities refer to, and gives the changes that follow.
    fn again(&mut self, lookup: Lookup<'_>, which: &dyn Fn(&Known) -> bool) -> Vec<Change> {
        let concerned: Vec<_> = self.known.iter().filter(|(_, k)| which(k)).map(|(key, _)| key.clone()).collect();
        let mut changes = Vec::new();
        for key in concerned {
            let Some(known) = self.known.get(&key).cloned() else { continue };
            let (resolved, _) = self.resolve(&key.0, &known.stored, lookup);
            if resolved == *known.resolved {
                continue;
            }
            let resolved = Arc::new(resolved);
            changes.push(Change {
                entity: Arc::clone(&key.0),
                id: key.1,
                workspace: known.workspace,
                before: Some(Arc::clone(&known.resolved)),
                after: Some(Arc::clone(&resolved)),
            });
            self.known.insert(key, Known { resolved, ..known });
        }
        changes
    }

    fn resolve(&self, entity: &str, stored: &Value, lookup: Lookup<'_>) -> (Value, Vec<Box<str>>) {
        let mut references = Vec::new();
        let mut resolved = stored.clone();
        if let (Some(def), Some(document)) = (lookup.registry.get(entity), resolved.as_object_mut()) {
            def.record.resolve_references(document, &mut |reference| {
                references.push(reference.into());
                let vault = vault_of(reference).and_then(|prefix| self.vaults.get(prefix));
                lookup.secrets.look_up(reference, vault)
            });
        }
        (resolved, references)
    }
}

fn prefix_of(vault: &Value) -> Option<&str> {
    vault.get("prefix")?.as_str()
}

/// The vault that a reference names.
fn vault_of(reference: &str) -> Option<&str> {
    let path = reference.strip_prefix("{vault://")?;
    path.split(['/', '?', '#', '}']).next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Mutex;

    use gibbon_model::RegistryOptions;
    use serde_json::json;

    use super::*;

    /// Secrets by reference; remembers what was kept.
    #[derive(Default)]
    struct Shelf(Mutex<HashMap<String, String>>);

    impl Shelf {
        fn put(&self, reference: &str, secret: &str) {
            self.0.lock().unwrap().insert(reference.into(), secret.into());
        }
    }

    impl Secrets for Shelf {
        fn look_up(&self, reference: &str, vault: Option<&Arc<Value>>) -> String {
            let name = vault.map_or(String::new(), |v| v["name"].as_str().unwrap_or_default().to_owned() + ":");
            name + self.0.lock().unwrap().get(reference).map_or("", String::as_str)
        }

        fn settle(&self, _: Duration) {}

        fn retain(&self, used: &dyn Fn(&str) -> bool) {
            self.0.lock().unwrap().retain(|reference, _| used(reference));
        }
    }

    fn put(entity: &str, number: u8, after: Value) -> Change {
        Change::insert(entity, Uuid::from_bytes([number; 16]), Uuid::nil(), after)
    }

    fn key(reference: &str) -> Value {
        json!({"cert": "text", "key": reference})
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        let key = |change: &Change| change.after.as_ref().map_or(Value::Null, |a| a["key"].clone());
        changes.iter().map(|change| key(change).as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn the_plan_is_told_of_secrets_and_again_when_they_change() {
        let registry = Registry::new(&RegistryOptions::default());
        let (shelf, mut references) = (Shelf::default(), References::default());
        shelf.put("{vault://env/a}", "one");
        let told = references.expand(
            vec![put("certificates", 1, key("{vault://env/a}")), put("certificates", 2, key("plain"))],
            &registry,
            &shelf,
        );
        assert_eq!(shown(&told), ["one", "plain"]);
        assert!(references.refreshed(&registry, &shelf).is_empty(), "nothing is another");

        shelf.put("{vault://env/a}", "two");
        let told = references.refreshed(&registry, &shelf);
        assert_eq!(shown(&told), ["two"]);
        assert_eq!(told[0].before.as_ref().unwrap()["key"], "one", "what the plan knows is taken out");
    }

    #[test]
    fn a_vault_that_comes_changes_or_goes_changes_what_refers_to_it() {
        let registry = Registry::new(&RegistryOptions::default());
        let (shelf, mut references) = (Shelf::default(), References::default());
        shelf.put("{vault://mine/a}", "x");
        references.expand(vec![put("certificates", 1, key("{vault://mine/a}"))], &registry, &shelf);
        let vault = put("vaults", 9, json!({"prefix": "mine", "name": "env"}));
        let told = references.expand(vec![vault.clone()], &registry, &shelf);
        assert_eq!(shown(&told), ["", "env:x"]);
        let told = references.expand(vec![vault.inverse()], &registry, &shelf);
        assert_eq!(shown(&told), ["", "x"]);
    }

    #[test]
    fn what_comes_before_its_vault_in_one_list_is_looked_up_in_it() {
        let registry = Registry::new(&RegistryOptions::default());
        let (shelf, mut references) = (Shelf::default(), References::default());
        shelf.put("{vault://mine/a}", "x");
        let list = vec![
            put("certificates", 1, key("{vault://mine/a}")),
            put("vaults", 9, json!({"prefix": "mine", "name": "env"})),
        ];
        assert_eq!(shown(&references.expand(list, &registry, &shelf)), ["", "env:x"]);
    }

    #[test]
    fn references_that_nothing_holds_any_more_are_forgotten() {
        let registry = Registry::new(&RegistryOptions::default());
        let (shelf, mut references) = (Shelf::default(), References::default());
        shelf.put("{vault://env/a}", "one");
        let there = put("certificates", 1, key("{vault://env/a}"));
        references.expand(vec![there.clone()], &registry, &shelf);
        let told = references.expand(vec![there.inverse()], &registry, &shelf);
        assert_eq!(told[0].before.as_ref().unwrap()["key"], "one");
        assert!(shelf.0.lock().unwrap().is_empty());
    }

    #[test]
    fn what_writes_refer_to_is_looked_up_through_the_vaults_that_come_with_them() {
        struct Asked(Mutex<Vec<(String, bool)>>);
        impl Secrets for Asked {
            fn look_up(&self, reference: &str, vault: Option<&Arc<Value>>) -> String {
                self.0.lock().unwrap().push((reference.to_owned(), vault.is_some()));
                String::new()
            }
            fn settle(&self, _: Duration) {}
            fn retain(&self, _: &dyn Fn(&str) -> bool) {}
        }
        let write = |entity: &str, document: Value| Write::Put {
            entity: entity.into(),
            workspace: Uuid::nil(),
            id: Uuid::nil(),
            document: Arc::new(document),
            condition: crate::rules::Condition::Whatever,
        };
        let writes =
            [write("certificates", key("{vault://mine/a}")), write("vaults", json!({"prefix": "mine", "name": "env"}))];
        let asked = Asked(Mutex::default());
        let registry = Registry::new(&RegistryOptions::default());
        References::default().prepare(writes.iter(), &registry, &asked, Duration::ZERO);
        assert_eq!(*asked.0.lock().unwrap(), [("{vault://mine/a}".to_owned(), true)]);
    }
}
