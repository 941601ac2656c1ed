//! Names under which entities stand in caches. They are seen by clients (`/cache/…`), so their form is fixed:
//! `plugins:key-auth:<route>:<service>:<consumer>::<workspace>`.

use gibbon_schema::Field;
use serde_json::{Map, Value};

use crate::entity::EntityDef;

/// Keys have room for this many values.
const SLOTS: usize = 5;

impl EntityDef {
    /// The cache key of a document.
    pub fn cache_key_of(&self, document: &Map<String, Value>, workspace: &str) -> String {
        let workspace = if self.workspaceable { workspace } else { "" };
        if self.cache_key.is_empty() {
            let id = self.primary_key.first().and_then(|key| document.get(key.as_ref())).map(text).unwrap_or_default();
            return self.key(&[id], workspace);
        }
        let values: Vec<String> =
            self.cache_key.iter().map(|field| document.get(field.as_ref()).map(text).unwrap_or_default()).collect();
        self.key(&values, workspace)
    }

    /// The fields of the cache key with their values, as a clash of two entities is reported. Fields that came with later
    /// versions are left out while they are not set.
    pub fn cache_key_fields(&self, document: &Map<String, Value>) -> Map<String, Value> {
        let mut fields = Map::new();
        for name in &self.cache_key {
            let value = document.get(name.as_ref()).cloned().unwrap_or(Value::Null);
            if !value.is_null() || !self.record.get(name).is_some_and(Field::is_additive) {
                fields.insert(name.to_string(), value);
            }
        }
        fields
    }

    /// The cache key of an entity of which only the values of the key are known.
    pub fn cache_key_for(&self, values: &[&str], workspace: &str) -> String {
        self.key(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>(), workspace)
    }

    fn key(&self, values: &[String], workspace: &str) -> String {
        let mut key = self.name.to_string();
        for slot in 0..SLOTS {
            key.push(':');
            key.push_str(values.get(slot).map_or("", String::as_str));
        }
        key.push(':');
        key.push_str(workspace);
        key
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(reference) => reference.get("id").map(text).unwrap_or_default(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use gibbon_schema::Record;
    use serde_json::json;

    use crate::EntityDef;

    #[test]
    fn missing_parts_are_empty() {
        let plugins = EntityDef::new("plugins", Record::new()).cache_key(&["name", "route", "service", "consumer"]);
        let document = json!({"name": "cors", "route": {"id": "r"}, "service": null});
        assert_eq!(plugins.cache_key_of(document.as_object().expect("an object"), "w"), "plugins:cors:r::::w");
        let keys = EntityDef::new("keyauth_credentials", Record::new()).cache_key(&["key"]);
        assert_eq!(keys.cache_key_for(&["k"], "w"), "keyauth_credentials:k:::::w");
        let services = EntityDef::new("services", Record::new());
        let document = json!({"id": "i"});
        assert_eq!(services.cache_key_of(document.as_object().expect("an object"), "w"), "services:i:::::w");
    }
}
