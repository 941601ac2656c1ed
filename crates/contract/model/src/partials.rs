//! Partials filled into the plugins that are linked to them.
//!
//! A plugin is stored without the settings of its partials, so that a change of a partial reaches all of them. Whoever
//! checks or builds a plugin fills them in first. What a partial sets wins over what the plugin sets in the same place.

use gibbon_schema::Faults;
use serde_json::{Map, Value};

type Document = Map<String, Value>;

/// Where the settings of a partial go if the link does not say.
const PLACES: [(&str, &str); 5] = [
    ("redis-ce", "config.redis"),
    ("redis-ee", "config.redis"),
    ("vectordb", "config.vectordb"),
    ("embeddings", "config.embeddings"),
    ("model", "config.llm"),
];

/// Whether a document is a plugin with links.
pub fn is_linked(document: &Document) -> bool {
    matches!(document.get("partials"), Some(Value::Array(links)) if !links.is_empty())
}

/// The plugin with the settings of its partials filled in. `partial` finds one by identifier or name.
///
/// # Errors
/// Links that lead to no partial, or to one that has no place in this plugin.
pub fn fill_in(plugin: &Document, partial: &dyn Fn(&str) -> Option<Document>) -> Result<Document, Faults> {
    let mut plugin = plugin.clone();
    let links = plugin.get("partials").and_then(Value::as_array).cloned().unwrap_or_default();
    for link in &links {
        if let Err(message) = follow(link, &mut plugin, partial) {
            let mut faults = Faults::default();
            faults.insert("partials", message);
            return Err(faults);
        }
    }
    Ok(plugin)
}

fn follow(link: &Value, plugin: &mut Document, find: &dyn Fn(&str) -> Option<Document>) -> Result<(), String> {
    let text = |field: &str| link.get(field).and_then(Value::as_str);
    let key = text("id").or_else(|| text("name")).ok_or("a link needs the id or the name of a partial")?;
    let partial = find(key).ok_or_else(|| format!("there is no partial '{key}'"))?;
    let kind = partial.get("type").and_then(Value::as_str).unwrap_or_default();
    let place = PLACES.iter().find(|(name, _)| *name == kind).map(|(_, place)| *place);
    let place = text("path").or(place).ok_or_else(|| format!("partial '{key}' of type '{kind}' has no place here"))?;
    let Some(Value::Object(settings)) = partial.get("config") else { return Ok(()) };
    let mut at = plugin;
    for name in place.split('.') {
        let inner = at.entry(name).or_insert(Value::Null);
        if inner.is_null() {
            *inner = Value::Object(Map::new());
        }
        match inner {
            Value::Object(fields) => at = fields,
            _ => return Err(format!("'{place}' is not a place for a partial")),
        }
    }
    overlay(at, settings);
    Ok(())
}

fn overlay(onto: &mut Document, settings: &Document) {
    for (name, value) in settings {
        match (onto.get_mut(name), value) {
            (_, Value::Null) => {}
            (Some(Value::Object(inner)), Value::Object(more)) => overlay(inner, more),
            _ => {
                onto.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: Value) -> Document {
        value.as_object().unwrap().clone()
    }

    fn redis(key: &str) -> Option<Document> {
        (key == "shared").then(|| object(json!({"type": "redis-ce", "config": {"host": "h", "username": null}})))
    }

    #[test]
    fn settings_of_a_partial_win_where_it_has_some() {
        let plugin =
            object(json!({"config": {"redis": {"host": null, "username": "u"}}, "partials": [{"name": "shared"}]}));
        let filled = fill_in(&plugin, &redis).unwrap();
        assert_eq!(filled["config"], json!({"redis": {"host": "h", "username": "u"}}));
    }

    #[test]
    fn a_link_may_name_its_place() {
        let plugin = object(json!({"config": {}, "partials": [{"id": "shared", "path": "config.cache.redis"}]}));
        assert_eq!(fill_in(&plugin, &redis).unwrap()["config"]["cache"]["redis"]["host"], "h");
    }

    #[test]
    fn links_that_lead_nowhere_are_faults() {
        let plugin = object(json!({"config": {}, "partials": [{"id": "gone"}]}));
        assert_eq!(fill_in(&plugin, &redis).unwrap_err().to_json(), json!({"partials": "there is no partial 'gone'"}));
    }
}
