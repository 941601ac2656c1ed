//! `custom_fields_by_lua` of loggers: Lua that does not parse is refused when the configuration is read. Native plugins
//! know no Lua, so their schemas are given the check here.

use std::sync::Arc;

use gibbon_pdk::{Phase, Phases, Plugin};
use gibbon_schema::{Kind, Record, Validator};
use serde_json::Value;

use crate::functions::syntax_error;

const SETTING: &str = "custom_fields_by_lua";

/// The plugin with its custom fields checked, if it is a logger that has that setting.
#[must_use]
pub fn with_checked_fields(mut plugin: Plugin) -> Plugin {
    if plugin.phases == Phases::of(&[Phase::Log])
        && let Some(schema) = checked(&plugin.schema)
    {
        plugin.schema = Arc::new(schema);
    }
    plugin
}

/// The schema with each field's Lua parsed; `None` if there is no such setting.
fn checked(schema: &Record) -> Option<Record> {
    let mut schema = schema.clone();
    let (_, field) = schema.fields.iter_mut().find(|(name, _)| &**name == SETTING)?;
    let Kind::Map { values, .. } = &mut field.kind else { return None };
    let parses = |value: &Value| {
        let source = value.as_str().unwrap_or_default();
        syntax_error(source).map_or(Ok(()), |error| Err(format!("Error parsing function: {error}")))
    };
    **values = (**values).clone().custom(Validator::new("Lua that parses", parses));
    Some(schema)
}
