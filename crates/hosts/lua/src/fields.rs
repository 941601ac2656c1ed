//! `custom_fields_by_lua` of loggers: Lua in the configuration of a native plugin whose values go into the log entry. The
//! plugin stays as it is; what it lacks is put in front of it here.

use std::sync::Arc;

use gibbon_pdk::{Build, Built, Exchange, Handler, Host, Phase, Phases, Plugin};
use gibbon_schema::{Kind, Record, Validator};
use serde_json::{Value, json};

use crate::LuaHost;
use crate::code::Code;
use crate::functions::syntax_error;
use crate::handler_of;
use crate::shared::Shared;

const SETTING: &str = "custom_fields_by_lua";

impl LuaHost {
    /// The plugin with its custom fields computed first, if it is a logger that has that setting.
    #[must_use]
    pub fn with_custom_fields(&self, mut plugin: Plugin) -> Plugin {
        if plugin.phases != Phases::of(&[Phase::Log]) {
            return plugin;
        }
        let Some(schema) = checked(&plugin.schema) else { return plugin };
        plugin.schema = Arc::new(schema);
        let (shared, native) = (Arc::clone(&self.shared), Arc::clone(&plugin.build));
        let code = Arc::new(Code { name: "gibbon.custom-fields".into(), version: 0, phases: plugin.phases });
        plugin.build = Arc::new(move |config, build| {
            let logger = native(config, build)?;
            fields_first(&shared, &code, config, build, logger)
        });
        plugin
    }
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

fn fields_first(
    shared: &Arc<Shared>,
    code: &Arc<Code>,
    config: &Value,
    build: &Build<'_>,
    logger: Arc<dyn Handler>,
) -> Built {
    match config.get(SETTING).and_then(Value::as_object) {
        Some(fields) if !fields.is_empty() => {
            // Of the logger's settings, keys and passwords among them, Lua is told no others.
            let fields = handler_of(shared, code, &json!({ SETTING: fields }), build);
            Ok(Arc::new(FieldsFirst { fields, logger }))
        }
        _ => Ok(logger),
    }
}

/// A logger and what its entries have besides.
struct FieldsFirst {
    fields: Arc<dyn Handler>,
    logger: Arc<dyn Handler>,
}

impl Handler for FieldsFirst {
    fn log(&self, x: &mut Exchange, host: &Host) {
        self.fields.log(x, host);
        self.logger.log(x, host);
    }
}
