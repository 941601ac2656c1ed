//! The functions of ours that Lua code of ours calls. They take plain values, act on the exchange in hand, and raise no
//! errors of their own: what is wrong comes back as `nil` and a reason, and Lua decides at which level to raise it.

mod answer;
mod crypto;
mod dict;
mod entities;
mod light;
mod networks;
mod node;
mod re;
mod request;
mod text;
mod trace;
mod upstream;
mod variable;
mod wait;

use std::rc::Rc;

use mlua::{FromLuaMulti, IntoLuaMulti, Lua, LuaString, Table, Value};

use crate::json;
use crate::machine::Ports;
use crate::run;
use crate::settings::Untrusted;

/// Adds a function to a table.
fn add<A, R>(
    lua: &Lua,
    table: &Table,
    name: &str,
    function: impl Fn(&Lua, A) -> mlua::Result<R> + 'static,
) -> mlua::Result<()>
where
    A: FromLuaMulti,
    R: IntoLuaMulti,
{
    table.raw_set(name, lua.create_function(function)?)
}

/// Bytes as a Lua string, or nil.
fn text(lua: &Lua, bytes: Option<impl AsRef<[u8]>>) -> mlua::Result<Value> {
    bytes.map_or(Ok(Value::Nil), |bytes| lua.create_string(bytes).map(Value::String))
}

/// A Lua string as a `String`; bad UTF-8 is replaced.
fn lossy(text: &LuaString) -> String {
    String::from_utf8_lossy(&text.as_bytes()).into_owned()
}

/// The table of natives.
///
/// # Errors
/// Lua's memory is at its limit.
pub fn install(lua: &Lua, ports: &Rc<Ports>, running: &Table, threads: &Table) -> mlua::Result<Table> {
    let array = lua.create_table()?;
    lua.set_named_registry_value(json::ARRAY_METATABLE, &array)?;
    let native = lua.create_table()?;
    native.raw_set("running", running)?;
    native.raw_set("threads", threads)?;
    native.raw_set("system", run::system())?;
    native.raw_set("null", Value::NULL)?;
    native.raw_set("array_mt", array)?;
    let settings = &ports.shared.settings;
    let untrusted = match settings.untrusted {
        Untrusted::Off => "off",
        Untrusted::Sandbox => "sandbox",
        Untrusted::On => "on",
    };
    native.raw_set("untrusted", untrusted)?;
    native.raw_set("sandbox_requires", settings.sandbox_requires.clone())?;
    native.raw_set("sandbox_environment", settings.sandbox_environment.clone())?;
    text::install(lua, &native, ports)?;
    crypto::install(lua, &native)?;
    re::install(lua, &native, ports)?;
    dict::install(lua, &native, ports)?;
    entities::install(lua, &native, ports)?;
    networks::install(lua, &native)?;
    node::install(lua, &native, ports)?;
    light::install(lua, &native)?;
    request::install(lua, &native)?;
    upstream::install(lua, &native, ports)?;
    answer::install(lua, &native)?;
    variable::install(lua, &native)?;
    trace::install(lua, &native, ports)?;
    wait::install(lua, &native, ports)?;
    Ok(native)
}
