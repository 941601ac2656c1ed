//! `custom_fields_by_lua`: accepted as a setting; running it needs a Lua host.

use indexmap::IndexMap;

/// Says once, when a handler is made, that the fields will be missing.
pub fn warn_unless_empty(plugin: &str, fields: Option<&IndexMap<String, String>>) {
    if fields.is_some_and(|fields| !fields.is_empty()) {
        tracing::warn!(
            "{plugin}: custom_fields_by_lua is not run by native loggers; its fields are missing from entries"
        );
    }
}
