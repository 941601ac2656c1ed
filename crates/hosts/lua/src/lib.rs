//! The host of Lua plugins: LuaJIT, one machine per worker, a coroutine per phase.
//!
//! A plugin is found as `kong.plugins.NAME.handler` and `.schema` along `lua_package_path`. Its schema becomes the
//! gateway's own schema type (`schema`), its handler a [`gibbon_pdk::Handler`] like a native one (`handler`). What waits
//! inside of Lua gives its coroutine up to a driver (`run`), so that a worker never blocks. The functions that Lua sees
//! are Lua of ours (`lua/`) over natives (`native`); they act on the exchange in hand (`current`).
//!
//! Sockets, the plan and the order of plugins are the engine's business and are absent here: what Lua asks of the world
//! goes through the ports of the plugin kit.

mod admin;
mod code;
mod current;
mod daos;
mod dict;
mod direct;
mod events;
mod fields;
mod functions;
mod handler;
mod invalidations;
mod json;
mod limits;
mod loader;
mod machine;
mod native;
mod offline;
mod prelude;
mod retry;
mod run;
mod schema;
mod scripting;
mod settings;
mod shared;

use std::sync::Arc;

use gibbon_model::EntityDef;
use gibbon_pdk::{AdminRoot, Build, Host, Phase, Phases, Plugin};
use mlua::Table;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::code::Code;
use crate::events::Event;
use crate::handler::LuaHandler;
use crate::loader::Loader;
use crate::machine::Machine;
use crate::schema::{Reader, Said};
use crate::shared::Shared;

pub use admin::MakeHost;
pub use fields::with_checked_fields;
pub use settings::{LuaSettings, Untrusted};

/// Why a plugin that is asked for does not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No file of that name.
    #[error("{name} plugin is enabled but not installed;\nmodule 'kong.plugins.{name}.handler' not found:{tried}")]
    NotInstalled { name: String, tried: String },
    /// A file does not load or says something unusable.
    #[error("could not load plugin '{name}': {cause}")]
    Broken { name: String, cause: String },
    /// The host itself does not start.
    #[error("the Lua host does not start: {0}")]
    Host(String),
}

/// The plugins found, and what workers need to run them.
pub struct LuaHost {
    shared: Arc<Shared>,
    plugins: Vec<Plugin>,
    entities: Vec<EntityDef>,
    /// Plugins with paths of the Admin API.
    with_api: Vec<Arc<str>>,
}

impl LuaHost {
    /// Finds the plugins that the settings name, and offers `pre-function` and `post-function`.
    ///
    /// # Errors
    /// A plugin that is not installed, or whose files do not load.
    pub fn load(settings: LuaSettings) -> Result<LuaHost, LoadError> {
        let mut found = Vec::new();
        for name in &settings.plugins {
            let module = format!("kong.plugins.{name}.handler");
            let file = code::find(&module, &settings.package_path)
                .map_err(|tried| LoadError::NotInstalled { name: name.clone(), tried })?;
            found.push((name.clone(), code::version(&file)));
        }
        if found.is_empty() {
            let shared = Arc::new(Shared::new(settings, Vec::new()));
            let plugins = functions::plugins(&shared);
            return Ok(LuaHost { shared, plugins, entities: Vec::new(), with_api: Vec::new() });
        }
        // The loader needs the settings before the plugins are known.
        let reading = Arc::new(Shared::new(settings.clone(), Vec::new()));
        let loader = Loader::start(&reading).map_err(LoadError::Host)?;
        let mut read = Vec::new();
        for (name, version) in found {
            let broken = |cause| LoadError::Broken { name: name.clone(), cause };
            let (asked, again) = (name.clone(), loader.clone());
            let plugin = loader.with(move |machine| read_plugin(machine, again, &asked, version));
            read.push(plugin.map_err(broken)?.map_err(broken)?);
        }
        let codes = read.iter().map(|read| Arc::clone(&read.code)).collect();
        let path = settings.package_path.clone();
        let shared = Arc::new(Shared::new(settings, codes));
        let mut plugins = functions::plugins(&shared);
        let entities = read.iter().flat_map(|read| read.entities.clone()).collect();
        let brings_api =
            |read: &&ReadPlugin| code::find(&format!("kong.plugins.{}.api", read.code.name), &path).is_ok();
        let with_api = read.iter().filter(brings_api).map(|read| Arc::clone(&read.code.name)).collect();
        plugins.extend(read.into_iter().map(|read| read.plugin(&shared)));
        Ok(LuaHost { shared, plugins, entities, with_api })
    }

    /// Looks at the plugins' files again; workers go on with what changed. A file that no longer loads leaves its plugin as
    /// it was. What the start alone reads stays too: schemas, entities, paths of the Admin API, the list of phases.
    ///
    /// # Errors
    /// The first file that does not load, once all others are in force.
    pub fn refresh(&self) -> Result<(), LoadError> {
        let settings = &self.shared.settings;
        let mut refused = Ok(());
        for code in &self.shared.codes {
            match changed(code, settings) {
                Ok(None) => {}
                Ok(Some(version)) => {
                    code.renew(version);
                    self.shared.changed();
                    tracing::info!(severity = "notice", "plugin '{}': its changed files are in force", code.name);
                }
                Err(error) => refused = refused.and(Err(error)),
            }
        }
        refused
    }

    /// The plugins, in the form the engine and the surfaces work with.
    #[must_use]
    pub fn plugins(&self) -> &[Plugin] {
        &self.plugins
    }

    /// The shared dictionaries: name, capacity and what is free of it, in bytes.
    pub fn dictionaries(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        let dicts = &self.shared.dicts;
        dicts.names().filter_map(|name| dicts.get(name).map(|dict| (name, dict.capacity(), dict.free())))
    }

    /// The kinds of entities that plugins bring.
    #[must_use]
    pub fn entities(&self) -> &[EntityDef] {
        &self.entities
    }

    /// What answers the paths that plugins add to the Admin API. `host` gives a worker's ports to the thread on which they
    /// run; the store has to be open.
    ///
    /// # Errors
    /// An `api.lua` that does not load.
    pub fn admin_paths(&self, host: MakeHost) -> Result<Vec<AdminRoot>, LoadError> {
        if self.with_api.is_empty() {
            return Ok(Vec::new());
        }
        admin::start(&self.shared, self.with_api.clone(), host)
            .map_err(|cause| LoadError::Broken { name: self.with_api.join(", "), cause })
    }

    /// Tells the plugins of an entity that changed, on whichever node: what caches hold of it no longer does.
    pub fn entity_changed(
        &self,
        def: &EntityDef,
        node: Uuid,
        workspace: Uuid,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        if self.shared.codes.is_empty() {
            return;
        }
        if def.name == daos::CLUSTER_EVENTS {
            return self.cluster_event(node, after);
        }
        let workspace = workspace.to_string();
        for document in [before, after].into_iter().flatten().filter_map(Value::as_object) {
            let key = def.cache_key_of(document, &workspace);
            self.shared.invalidations.invalidate(format!("cache:{key}").as_bytes());
            self.shared.invalidations.invalidate(format!("core:{key}").as_bytes());
        }
        if self.shared.wants_crud() {
            let operation = match (before, after) {
                (None, _) => "create",
                (Some(_), Some(_)) => "update",
                (Some(_), None) => "delete",
            };
            let data = json!({
                "operation": operation, "entity": after.or(before), "old_entity": after.and(before),
                "schema": { "name": def.name },
            });
            for event in [def.name.to_string(), format!("{}:{operation}", def.name)] {
                self.shared.events.post(Event::new("crud", &event, data.clone(), None, false));
            }
        }
    }

    /// A message of another node; this node's own does not come back to it.
    fn cluster_event(&self, node: Uuid, after: Option<&Value>) {
        let text = |name: &str| after.and_then(|row| row.get(name)).and_then(Value::as_str);
        if let (Some(channel), Some(from)) = (text("channel"), text("node_id"))
            && from != node.to_string()
        {
            let data = text("data").unwrap_or_default().into();
            self.shared.events.post(Event::new("gibbon.cluster", channel, data, None, true));
        }
    }

    /// Called on each worker's thread, inside its runtime, before it serves: runs `init_worker`, and tells `configure`
    /// of every change. Without a plugin of that kind nothing is made.
    pub fn start_worker(&self, number: usize, host: &Host) {
        machine::set_worker(number);
        if self.shared.codes.is_empty() {
            return;
        }
        let machine = match Machine::here(&self.shared, host) {
            Ok(machine) => machine,
            Err(error) => {
                tracing::error!("worker {number}: Lua does not start: {error}");
                return;
            }
        };
        for code in &self.shared.codes {
            if let Err(error) = machine.init_worker(code) {
                tracing::error!("plugin '{}': init_worker: {}", code.name, machine::describe(&error));
            }
        }
        tokio::task::spawn_local(listen(Arc::clone(&self.shared), std::rc::Rc::clone(&machine)));
        let mut changes = self.shared.watch();
        tokio::task::spawn_local(async move {
            loop {
                machine.configure();
                if changes.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Hands a worker what others, and it itself, post.
async fn listen(shared: Arc<Shared>, machine: std::rc::Rc<Machine>) {
    let mut posted = shared.events.watch();
    // Workers do not start at the same moment: what the first ones post is not lost to the last.
    let mut seen = 0;
    loop {
        let (events, number, lost) = shared.events.after(seen);
        seen = number;
        if lost > 0 {
            tracing::error!("worker {}: {lost} events were lost: more were posted than it takes", machine.ports.worker);
        }
        for event in events.iter().filter(|event| event.claim()) {
            machine.deliver(event).await;
        }
        if posted.changed().await.is_err() {
            return;
        }
    }
}

/// A plugin as its files describe it.
struct ReadPlugin {
    entities: Vec<EntityDef>,
    code: Arc<Code>,
    said: Said,
    priority: i64,
    version: String,
}

impl ReadPlugin {
    fn plugin(self, shared: &Arc<Shared>) -> Plugin {
        let (code, shared) = (self.code, Arc::clone(shared));
        Plugin {
            name: Arc::clone(&code.name),
            priority: self.priority,
            version: self.version.into(),
            phases: code.phases,
            protocols: self.said.protocols,
            scopes: self.said.scopes,
            schema: Arc::new(self.said.config),
            build: Arc::new(move |config, build| Ok(handler_of(&shared, &code, config, build))),
        }
    }
}

/// The new version of a plugin whose files changed, and load.
fn changed(code: &Code, settings: &LuaSettings) -> Result<Option<u64>, LoadError> {
    let name = code.name.to_string();
    let file = code::find(&format!("kong.plugins.{name}.handler"), &settings.package_path)
        .map_err(|tried| LoadError::NotInstalled { name: name.clone(), tried })?;
    let version = code::version(&file);
    if version == code.version() {
        return Ok(None);
    }
    let reading = Arc::new(Shared::new(settings.clone(), Vec::new()));
    let loader = Loader::start(&reading).map_err(LoadError::Host)?;
    let (asked, again) = (name.clone(), loader.clone());
    let read = loader.with(move |machine| read_plugin(machine, again, &asked, version).map(|_| ()));
    match read.and_then(|read| read) {
        Ok(()) => Ok(Some(version)),
        Err(cause) => Err(LoadError::Broken { name, cause }),
    }
}

fn read_plugin(machine: &Machine, loader: Loader, name: &str, version: u64) -> Result<ReadPlugin, String> {
    let lua = &machine.lua;
    let named = |error: mlua::Error| machine::describe(&error);
    let require: mlua::Function = lua.globals().get("require").map_err(named)?;
    let handler: Table = require.call(format!("kong.plugins.{name}.handler")).map_err(named)?;
    let schema: Table = require.call(format!("kong.plugins.{name}.schema")).map_err(named)?;
    let mut phases = Phases::NONE;
    for phase in Phase::ALL {
        if handler.get::<Option<mlua::Function>>(phase.name()).map_err(named)?.is_some() {
            phases = phases.union(Phases::of(&[phase]));
        }
    }
    if phases.contains(Phase::Response) && (phases.contains(Phase::HeaderFilter) || phases.contains(Phase::BodyFilter))
    {
        return Err("a plugin with a response phase may not have header_filter or body_filter".to_owned());
    }
    let priority: Option<f64> = handler.get("PRIORITY").map_err(named)?;
    let version_text: Option<String> = handler.get("VERSION").map_err(named)?;
    let reader = Reader { lua, loader };
    let said = reader.plugin(&schema)?;
    let module = format!("kong.plugins.{name}.daos");
    let entities = match code::find(&module, &machine.settings().package_path) {
        Ok(_) => daos::entities(&reader, &require.call::<Table>(module).map_err(named)?)?,
        Err(_) => Vec::new(),
    };
    Ok(ReadPlugin {
        entities,
        code: Arc::new(Code::new(name.into(), phases, version)),
        said,
        #[allow(clippy::cast_possible_truncation)] // a small whole number
        priority: priority.unwrap_or(0.0) as i64,
        version: version_text.unwrap_or_else(|| "0.1.0".to_owned()),
    })
}

/// A handler for a configuration of a Lua plugin.
fn handler_of(
    shared: &Arc<Shared>,
    code: &Arc<Code>,
    config: &Value,
    build: &Build<'_>,
) -> Arc<dyn gibbon_pdk::Handler> {
    let mut config = config.clone();
    if let Some(fields) = config.as_object_mut() {
        let ids = [
            ("route_id", build.route),
            ("service_id", build.service),
            ("consumer_id", build.consumer),
            ("__plugin_id", Some(build.plugin_id)),
            ("__ws_id", Some(build.workspace)),
        ];
        for (name, id) in ids {
            if let Some(id) = id {
                fields.insert(name.to_owned(), id.to_string().into());
            }
        }
    }
    let idle = functions::idle(&code.name, &config);
    let (config, alive) = (Arc::new(config), Arc::new(()));
    let number = shared.register(code, &config, &alive);
    Arc::new(LuaHandler {
        shared: Arc::clone(shared),
        code: Arc::clone(code),
        number,
        plugin_id: build.plugin_id,
        config,
        idle,
        alive,
    })
}
