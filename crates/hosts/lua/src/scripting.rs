//! Lua for native plugins: code and expressions in their settings, and what lies in `kong.ctx.shared`.

use std::sync::Arc;

use gibbon_pdk::{Exchange, Expression, Host, Phases, Scripting};
use mlua::Table;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::LuaHost;
use crate::code::Code;
use crate::functions::syntax_error;
use crate::handler::LuaHandler;
use crate::json::from_lua;
use crate::machine::{Machine, Request, describe};
use crate::settings::Untrusted;
use crate::shared::Shared;

impl Scripting for LuaHost {
    fn is_allowed(&self) -> bool {
        self.shared.settings.untrusted != Untrusted::Off
    }

    fn expression(&self, source: &str) -> Result<Arc<dyn Expression>, String> {
        // A line of its own for what follows, so that a comment cannot swallow it.
        if let Some(error) = syntax_error(&format!("return ({source}\n)")) {
            return Err(error);
        }
        let code = Code::new("gibbon.expression".into(), Phases::NONE, 0);
        Ok(Arc::new(Compiled(made(&self.shared, code, json!({ "source": source })))))
    }

    fn evaluate(&self, plugin: &str, code: &str, x: &mut Exchange, host: &Host) -> Result<Value, String> {
        let machine = Machine::here(&self.shared, host).map_err(|error| describe(&error))?;
        machine.evaluate(plugin, code, x)
    }

    fn shared(&self, x: &Exchange, name: &str) -> Option<Value> {
        let lua = Machine::of_worker()?;
        let request = x.slots.get::<Request>()?.table().ok()?;
        let contexts: Table = request.raw_get::<Option<Table>>("contexts").ok()??;
        let shared: Table = contexts.raw_get::<Option<Table>>("shared").ok()??;
        from_lua(&lua.lua, &shared.raw_get(name).ok()?).ok().filter(|value| !value.is_null())
    }
}

/// A handler of our own Lua, which runs in no phase.
fn made(shared: &Arc<Shared>, code: Code, config: Value) -> LuaHandler {
    let (code, config, alive) = (Arc::new(code), Arc::new(config), Arc::new(()));
    let number = shared.register(&code, &config, &alive);
    LuaHandler { shared: Arc::clone(shared), code, number, plugin_id: Uuid::nil(), config, idle: Phases::NONE, alive }
}

struct Compiled(LuaHandler);

impl Expression for Compiled {
    fn value(&self, x: &mut Exchange, host: &Host) -> Result<Option<String>, String> {
        let value = Machine::here(&self.0.shared, host).and_then(|machine| machine.call(&self.0, "value", "access", x));
        match value.map_err(|error| describe(&error))? {
            mlua::Value::String(text) => Ok(Some(text.to_string_lossy())),
            _ => Ok(None),
        }
    }
}
