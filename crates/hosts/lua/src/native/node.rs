//! The node: time, the log, names and numbers.

use std::rc::Rc;

use mlua::{Lua, LuaString, Table, Value};

use super::{add, lossy};
use crate::current::with;
use crate::json::{self, Nulls};
use crate::machine::Ports;

/// Longest line that Lua may write to the log: a plugin in a loop must not fill the disk with one.
const LONGEST: usize = 4096;

pub fn install(lua: &Lua, native: &Table, ports: &Rc<Ports>) -> mlua::Result<()> {
    let clock = Rc::clone(ports);
    #[allow(clippy::cast_precision_loss)] // milliseconds since the epoch fit
    add(lua, native, "now", move |_, ()| Ok((clock.clock.wall_ns() / 1_000_000) as f64 / 1000.0))?;
    add(lua, native, "log", |_, (level, message): (i64, LuaString)| {
        let mut message = lossy(&message);
        if message.len() > LONGEST {
            let mut end = LONGEST;
            while !message.is_char_boundary(end) {
                end -= 1;
            }
            message.truncate(end);
        }
        // Timers and init_worker have no request.
        let request_id = with(|x| (x.started_ns != 0).then(|| x.id.to_string()))?;
        match level {
            ..=4 => tracing::error!(target: "lua", request_id, "{message}"),
            5 => tracing::warn!(target: "lua", request_id, "{message}"),
            6 | 7 => tracing::info!(target: "lua", request_id, "{message}"),
            _ => tracing::debug!(target: "lua", request_id, "{message}"),
        }
        Ok(())
    })?;
    let node = &ports.node;
    let (version, id, host) = (node.kong_version.clone(), node.id.to_string(), node.hostname.clone());
    let version = if version.is_empty() { "3.10.0".to_owned() } else { version };
    let (count, worker) = (node.worker_count, ports.worker);
    add(lua, native, "kong_version", move |_, ()| Ok(version.clone()))?;
    add(lua, native, "node_id", move |_, ()| Ok(id.clone()))?;
    add(lua, native, "hostname", move |_, ()| Ok(host.clone()))?;
    add(lua, native, "worker_count", move |_, ()| Ok(count))?;
    add(lua, native, "worker_id", move |_, ()| Ok(worker))?;
    add(lua, native, "pid", |_, ()| Ok(std::process::id()))?;
    let shared = Rc::clone(ports);
    add(lua, native, "prefix", move |_, ()| {
        let prefix = shared.shared.settings.configuration.get("prefix").and_then(serde_json::Value::as_str);
        Ok(prefix.unwrap_or_default().to_owned())
    })?;
    let shared = Rc::clone(ports);
    add(lua, native, "configuration", move |lua, ()| {
        match json::to_lua(lua, &shared.shared.settings.configuration, Nulls::Dropped)? {
            Value::Table(table) => Ok(table),
            _ => lua.create_table(),
        }
    })?;
    add(lua, native, "parse_http_time", |_, text: LuaString| {
        let text = lossy(&text);
        #[allow(clippy::cast_precision_loss)]
        Ok(gibbon_message::date::parse(&text).map(|seconds| seconds as f64))
    })
}
