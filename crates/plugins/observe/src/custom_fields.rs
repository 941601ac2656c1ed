//! `custom_fields_by_lua`: values that Lua in the configuration adds to a log entry. What runs it is behind a port.

use gibbon_pdk::{Exchange, Host};
use indexmap::IndexMap;

/// Names of fields, dotted, and the Lua that says their values.
pub struct CustomFields {
    plugin: &'static str,
    fields: Vec<(Box<str>, Box<str>)>,
}

impl CustomFields {
    pub fn new(plugin: &'static str, fields: Option<&IndexMap<String, String>>) -> Self {
        let fields = fields.into_iter().flatten();
        CustomFields {
            plugin,
            fields: fields.map(|(name, code)| (name.as_str().into(), code.as_str().into())).collect(),
        }
    }

    /// Adds them to the entry that is going to be written. Code that fails leaves its field out, and says so.
    pub fn add(&self, x: &mut Exchange, host: &Host) {
        for (name, code) in &self.fields {
            match host.scripting.evaluate(self.plugin, code, x, host) {
                Ok(value) => x.log_values.push((name.clone(), value)),
                Err(error) => tracing::error!("{}: custom_fields_by_lua: {name}: {error}", self.plugin),
            }
        }
    }
}
