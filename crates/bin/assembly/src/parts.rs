//! The list of parts: every family of plugins that this binary has. Nothing registers itself.

use std::sync::Arc;

use gibbon_lua::{LoadError, LuaHost, with_checked_fields};
use gibbon_pdk::{AdminRoot, Part, Plugin};
use gibbon_plan::Plugins;
use gibbon_proxy::WorkerParts as _;

use crate::ports::Ports;

/// The families; each is the list that its crate exports.
const FAMILIES: &[&[Part]] = &[
    gibbon_ai::PARTS,
    gibbon_auth::PARTS,
    gibbon_observe::PARTS,
    gibbon_security::PARTS,
    gibbon_traffic::PARTS,
    gibbon_transform::PARTS,
];

/// Bundled plugins that the Lua host brings itself.
const FUNCTIONS: &[&str] = &["pre-function", "post-function"];

/// The plugins that the `plugins` setting lets in: bundled ones, and those that the Lua host found.
#[must_use]
pub fn loaded(settings: &gibbon_conf::Settings, lua: &LuaHost) -> Plugins {
    let native = bundled().into_iter().filter(|(name, _)| settings.plugins.includes(name, true));
    let native = native.map(|(name, plugin)| (name, with_checked_fields(plugin)));
    let written = lua.plugins().iter().filter(|plugin| settings.plugins.includes(&plugin.name, true));
    native.chain(written.map(|plugin| (Arc::clone(&plugin.name), plugin.clone()))).collect()
}

/// The same, for commands that run no node.
///
/// # Errors
/// As [`lua`].
pub fn offered(settings: &gibbon_conf::Settings) -> Result<Plugins, LoadError> {
    Ok(loaded(settings, &lua(settings, serde_json::Value::Null)?))
}

/// Finds the Lua plugins that the settings name: whatever is not bundled.
///
/// # Errors
/// A plugin that is not installed, or whose files do not load.
pub fn lua(settings: &gibbon_conf::Settings, configuration: serde_json::Value) -> Result<LuaHost, LoadError> {
    let bundled = bundled();
    let own = |name: &&String| !bundled.contains_key(name.as_str()) && !FUNCTIONS.contains(&name.as_str());
    let plugins = settings.plugins.names.iter().filter(own).cloned().collect();
    LuaHost::load(crate::settings::lua(settings, plugins, configuration))
}

/// All bundled plugins that are native, by name.
#[must_use]
pub fn bundled() -> Plugins {
    FAMILIES.iter().flat_map(|family| family.iter()).map(|part| (Arc::from(part.name), Plugin::from(part))).collect()
}

/// Passes on to plugins what a node tells all nodes of its datastore. Must not wait.
pub fn hear(ports: &Ports, channel: &str, data: &str) {
    gibbon_traffic::hear(&*ports.state, channel, data);
}

/// Paths that plugins add to the Admin API.
///
/// # Errors
/// A Lua plugin whose `api.lua` does not load.
pub fn admin_paths(ports: &Arc<Ports>) -> Result<Vec<AdminRoot>, LoadError> {
    let (clock, store, random) = (Arc::clone(&ports.clock), Arc::clone(&ports.store), Arc::clone(&ports.random));
    let mut paths = gibbon_traffic::admin_paths(&*ports.state, clock, store, random);
    paths.extend(gibbon_security::admin_paths(&*ports.state));
    let for_lua = Arc::clone(ports);
    let number = ports.facts.worker_count;
    paths.extend(ports.lua.admin_paths(Arc::new(move || for_lua.host(number)))?);
    Ok(paths)
}
