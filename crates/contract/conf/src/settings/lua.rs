//! Code that is not the gateway's own: Lua, WebAssembly and external plugin servers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::origin::Fault;
use crate::settings::{Builder, Selection};
use crate::units::{digits_only, parse_size};

/// What Lua given in plugin configuration may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UntrustedLua {
    /// Anything.
    On,
    /// It is refused.
    Off,
    /// What the sandbox offers.
    Sandbox,
    /// What a narrower sandbox offers.
    Strict,
}

/// Memory shared between workers under a name, for Lua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedDict {
    /// Name.
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// Lua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lua {
    /// Where modules are looked for.
    pub package_path: String,
    /// Where C modules are looked for.
    pub package_cpath: String,
    /// Request headers looked at.
    pub max_req_headers: usize,
    /// Response headers looked at.
    pub max_resp_headers: usize,
    /// Query arguments looked at.
    pub max_uri_args: usize,
    /// Form arguments looked at.
    pub max_post_args: usize,
    /// Connections kept by sockets per pool.
    pub socket_pool_size: usize,
    /// What Lua given in plugin configuration may do.
    pub untrusted: UntrustedLua,
    /// Modules it may require.
    pub sandbox_requires: Vec<String>,
    /// Globals it may see.
    pub sandbox_environment: Vec<String>,
    /// Backtracking steps of a regular expression.
    pub regex_match_limit: u32,
    /// How long a piece of Lua may run without waiting.
    pub time_limit: Option<Duration>,
    /// Bytes that the Lua of one worker may hold.
    pub memory_limit: Option<u64>,
    /// Shared memory asked for by `lua_shared_dict`.
    pub shared_dicts: Vec<SharedDict>,
}

impl Lua {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let mut limit = |name: &str| {
            let number = b.ranged(name, 1..=1000, "an integer between 1 and 1000");
            number.and_then(|n| usize::try_from(n).ok()).unwrap_or(100)
        };
        let (max_req_headers, max_resp_headers) = (limit("lua_max_req_headers"), limit("lua_max_resp_headers"));
        let (max_uri_args, max_post_args) = (limit("lua_max_uri_args"), limit("lua_max_post_args"));
        let text = |name| b.values.text(name).unwrap_or_default().to_owned();
        let regex_match_limit = b.directive(&["http"], "lua_regex_match_limit").and_then(digits_only);
        Self {
            package_path: text("lua_package_path"),
            package_cpath: text("lua_package_cpath"),
            max_req_headers,
            max_resp_headers,
            max_uri_args,
            max_post_args,
            socket_pool_size: b.values.whole("lua_socket_pool_size").unwrap_or(256),
            untrusted: match b.values.text("untrusted_lua") {
                Some("on") => UntrustedLua::On,
                Some("off") => UntrustedLua::Off,
                Some("strict") => UntrustedLua::Strict,
                _ => UntrustedLua::Sandbox,
            },
            sandbox_requires: b.values.list("untrusted_lua_sandbox_requires"),
            sandbox_environment: b.values.list("untrusted_lua_sandbox_environment"),
            regex_match_limit: regex_match_limit.and_then(|n| u32::try_from(n).ok()).unwrap_or(100_000),
            time_limit: b.values.time("lua_time_limit").filter(|limit| !limit.is_zero()),
            memory_limit: b.values.text("lua_memory_limit").and_then(parse_size).filter(|limit| *limit > 0),
            shared_dicts: shared_dicts(b),
        }
    }
}

fn shared_dicts(b: &mut Builder<'_>) -> Vec<SharedDict> {
    let mut dicts = Vec::new();
    for context in ["http", "stream"] {
        for directive in b.injected.every(context, "lua_shared_dict") {
            let parsed = directive
                .value
                .split_once(' ')
                .and_then(|(name, size)| Some(SharedDict { name: name.to_owned(), size: parse_size(size.trim())? }));
            match parsed {
                Some(dict) => dicts.push(dict),
                None => b.faults.push(
                    Fault::new(format!("nginx_{context}_lua_shared_dict has an invalid value: '{}'", directive.value))
                        .at(&directive.origin)
                        .valid("a name and a size, such as my_cache 10m"),
                ),
            }
        }
    }
    dicts
}

/// Proxy-wasm filters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wasm {
    /// Whether they run.
    pub enabled: bool,
    /// Directory of `.wasm` files.
    pub filters_path: Option<PathBuf>,
    /// Filters offered; `user` in the names stands for all in the directory.
    pub filters: Selection,
}

impl Wasm {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        let enabled = b.values.flag("wasm");
        let filters_path = b.values.text("wasm_filters_path").map(PathBuf::from);
        if let Some(path) = filters_path.as_deref().filter(|path| enabled && !b.surroundings.exists(path)) {
            let message = format!("wasm_filters_path '{}' is not a valid directory", path.display());
            b.fault("wasm_filters_path", message);
        }
        Self { enabled, filters_path, filters: Selection::from_list(&b.values.list("wasm_filters")) }
    }
}

/// An external plugin server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginServer {
    /// Name.
    pub name: String,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// Command that starts it; `None` looks for `/usr/local/bin/<name>` and else leaves starting to others.
    pub start_command: Option<String>,
    /// Command that lists its plugins; `None` is `/usr/local/bin/query_<name>`.
    pub query_command: Option<String>,
}

pub(crate) fn plugin_servers(b: &Builder<'_>, prefix: &Path) -> Vec<PluginServer> {
    let names = b.values.list("pluginserver_names");
    let option = |name: &str, what: &str| b.values.text(&format!("pluginserver_{name}_{what}")).map(str::to_owned);
    let server = |name: &String| PluginServer {
        socket: option(name, "socket").map_or_else(|| prefix.join(format!("{name}.socket")), PathBuf::from),
        start_command: option(name, "start_cmd"),
        query_command: option(name, "query_cmd"),
        name: name.clone(),
    };
    names.iter().filter(|name| !matches!(name.as_str(), "off" | "")).map(server).collect()
}
