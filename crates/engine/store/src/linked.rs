//! Plugins that are linked to partials, as the plan is told of them: with the partials' settings filled in, and again
//! whenever one of those changes. They are stored without.

use std::collections::HashMap;
use std::sync::Arc;

use gibbon_model::partials::{fill_in, is_linked};
use gibbon_plan::Change;
use serde_json::Value;
use uuid::Uuid;

use crate::row::Document;

const PLUGINS: &str = "plugins";
const PARTIALS: &str = "partials";

/// A linked plugin.
#[derive(Clone, Debug)]
struct Linked {
    workspace: Uuid,
    stored: Arc<Value>,
    /// As the plan knows it.
    filled: Arc<Value>,
}

/// All linked plugins and all partials that the plan knows.
#[derive(Clone, Debug, Default)]
pub struct Links {
    plugins: HashMap<Uuid, Linked>,
    partials: HashMap<Uuid, Arc<Value>>,
}

impl Links {
    /// Whether any of the changes has to do with partials.
    pub fn concern(&self, changes: &[Change]) -> bool {
        changes.iter().any(|change| {
            let linked = || change.after.as_deref().and_then(Value::as_object).is_some_and(is_linked);
            match &*change.entity {
                PARTIALS => true,
                PLUGINS => self.plugins.contains_key(&change.id) || linked(),
                _ => false,
            }
        })
    }

    /// The changes as the plan is to be told of them.
    ///
    /// # Errors
    /// A plugin that can no longer be filled in.
    pub fn expand(&mut self, changes: Vec<Change>) -> Result<Vec<Change>, String> {
        let mut told = Vec::with_capacity(changes.len());
        for change in changes {
            match &*change.entity {
                PARTIALS => {
                    let id = change.id;
                    let after = change.after.clone();
                    told.push(change);
                    match after {
                        Some(partial) => {
                            self.partials.insert(id, partial);
                            self.refill(id, &mut told)?;
                        }
                        // Nothing is linked to it any more when all changes are made.
                        None => drop(self.partials.remove(&id)),
                    }
                }
                PLUGINS => told.push(self.plugin(change)?),
                _ => told.push(change),
            }
        }
        Ok(told)
    }

    fn plugin(&mut self, mut change: Change) -> Result<Change, String> {
        if let Some(known) = self.plugins.remove(&change.id) {
            change.before = Some(known.filled);
        }
        let linked = |after: &Arc<Value>| after.as_object().is_some_and(is_linked);
        if let Some(stored) = change.after.clone().filter(linked) {
            let filled = Arc::new(self.filled(&stored)?);
            change.after = Some(Arc::clone(&filled));
            self.plugins.insert(change.id, Linked { workspace: change.workspace, stored, filled });
        }
        Ok(change)
    }

    /// Plugins that are linked to a partial, filled in anew.
    fn refill(&mut self, partial: Uuid, told: &mut Vec<Change>) -> Result<(), String> {
        let id = partial.to_string();
        let linked =
            |linked: &Linked| links(&linked.stored).any(|link| link.get("id").and_then(Value::as_str) == Some(&id));
        let mut concerned: Vec<Uuid> = self.plugins.iter().filter(|(_, l)| linked(l)).map(|(id, _)| *id).collect();
        concerned.sort_unstable();
        for plugin in concerned {
            let Some(known) = self.plugins.get(&plugin).cloned() else { continue };
            let filled = Arc::new(self.filled(&known.stored)?);
            told.push(Change {
                entity: PLUGINS.into(),
                id: plugin,
                workspace: known.workspace,
                before: Some(known.filled),
                after: Some(Arc::clone(&filled)),
            });
            self.plugins.insert(plugin, Linked { filled, ..known });
        }
        Ok(())
    }

    fn filled(&self, plugin: &Value) -> Result<Value, String> {
        let Some(plugin) = plugin.as_object() else { return Ok(Value::Null) };
        let find = |key: &str| self.partial(key);
        fill_in(plugin, &find).map(Value::Object).map_err(|faults| faults.message())
    }

    fn partial(&self, key: &str) -> Option<Document> {
        let by_name = |partial: &&Arc<Value>| partial.get("name").and_then(Value::as_str) == Some(key);
        let found = match Uuid::parse_str(key) {
            Ok(id) => self.partials.get(&id),
            Err(_) => self.partials.values().find(by_name),
        };
        found.and_then(|partial| partial.as_object().cloned())
    }
}

fn links(plugin: &Value) -> impl Iterator<Item = &Value> {
    plugin.get(PARTIALS).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(entity: &str, id: Uuid, before: Option<Value>, after: Value) -> Change {
        let before = before.map(Arc::new);
        Change { entity: entity.into(), id, workspace: Uuid::nil(), before, after: Some(Arc::new(after)) }
    }

    fn partial(host: &str) -> Value {
        json!({"type": "redis-ce", "config": {"host": host}})
    }

    #[test]
    fn a_change_of_a_partial_reaches_the_plugins_linked_to_it_and_no_others() {
        let (redis, linked, other) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]), Uuid::from_bytes([3; 16]));
        let mut links = Links::default();
        let plugin = json!({"config": {"redis": {}}, "partials": [{"id": redis.to_string()}]});
        let first = vec![
            put("partials", redis, None, partial("one")),
            put("plugins", linked, None, plugin.clone()),
            put("plugins", other, None, json!({"config": {}})),
        ];
        let told = links.expand(first).unwrap();
        assert_eq!(told[1].after.as_ref().unwrap()["config"]["redis"]["host"], "one");

        let told = links.expand(vec![put("partials", redis, Some(partial("one")), partial("two"))]).unwrap();
        assert_eq!(told.len(), 2);
        assert_eq!(told[1].before.as_ref().unwrap()["config"]["redis"]["host"], "one");
        assert_eq!(told[1].after.as_ref().unwrap()["config"]["redis"]["host"], "two");

        let deleted = Change { after: None, before: Some(Arc::new(plugin)), ..put("plugins", linked, None, json!({})) };
        let told = links.expand(vec![deleted]).unwrap();
        assert_eq!(
            told[0].before.as_ref().unwrap()["config"]["redis"]["host"],
            "two",
            "what the plan knows is taken out"
        );
    }
}
