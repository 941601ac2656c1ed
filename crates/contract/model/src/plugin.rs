//! What the `plugins` entity needs to know of a single plugin: the schema of its `config`, where it may be bound, and
//! for which protocols it runs.

use std::{borrow::Cow, sync::Arc};

use gibbon_schema::{Field, Record};
use serde_json::Value;

/// Schemas of all loaded plugins, native or not.
pub trait PluginSchemas: Send + Sync {
    /// The schema of a plugin that is loaded.
    fn schema(&self, name: &str) -> Option<&PluginSchema>;

    /// The names of all loaded plugins.
    fn names(&self) -> Vec<String>;
}

/// A gateway without plugins.
pub struct NoPlugins;

impl PluginSchemas for NoPlugins {
    fn schema(&self, _: &str) -> Option<&PluginSchema> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The entities a plugin may be bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginScopes {
    pub route: bool,
    pub service: bool,
    pub consumer: bool,
    pub consumer_group: bool,
}

impl Default for PluginScopes {
    fn default() -> Self {
        PluginScopes { route: true, service: true, consumer: true, consumer_group: true }
    }
}

/// The schema of one plugin.
#[derive(Clone, Debug)]
pub struct PluginSchema {
    pub name: Cow<'static, str>,
    pub scopes: PluginScopes,
    record: Arc<Record>,
}

impl PluginSchema {
    /// The schema of a plugin with that configuration; `protocols` is the field with the protocols it knows.
    pub fn new(name: impl Into<Cow<'static, str>>, config: Record, protocols: Field, scopes: PluginScopes) -> Self {
        let scope_fields = [
            ("route", "routes", scopes.route),
            ("service", "services", scopes.service),
            ("consumer", "consumers", scopes.consumer),
            ("consumer_group", "consumer_groups", scopes.consumer_group),
        ];
        let mut record = Record::new();
        for (field, entity, allowed) in scope_fields {
            if !allowed {
                let closed = Field::foreign(entity).eq_null();
                // Additive fields stay out of documents even where they are closed.
                let closed = if field == "consumer_group" { closed.since("3.11") } else { closed };
                record = record.field(field, closed);
            }
        }
        let checks = config.plugin_checks.clone();
        record = record.field("protocols", protocols).field("config", Field::record(config));
        record.checks = checks;
        PluginSchema { name: name.into(), scopes, record: Arc::new(record.require_records()) }
    }

    /// The fields of the `plugins` entity that this plugin defines: `protocols`, `config`, closed scopes.
    pub fn subschema(&self) -> &Arc<Record> {
        &self.record
    }

    /// The published form, as under `/schemas/plugins/NAME`.
    pub fn render(&self, compat: gibbon_schema::Compat) -> Value {
        self.record.render(compat)
    }
}

/// Whether a plugin for `plugin` protocols ever runs on something for `other` protocols.
pub fn protocols_match(plugin: &Value, other: &Value) -> bool {
    let names = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(ToOwned::to_owned)).collect()
    };
    let other = names(other);
    names(plugin).iter().any(|protocol| other.contains(protocol))
}
