//! What a node says about Lua.

use std::time::Duration;

use serde_json::Value;

/// What Lua in plugin configuration may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Untrusted {
    /// It is refused when it would run.
    Off,
    /// It sees a chosen part of the world.
    #[default]
    Sandbox,
    /// It may do what a plugin may.
    On,
}

/// Settings of the Lua host.
#[derive(Clone, Debug)]
pub struct LuaSettings {
    /// Names of the plugins to look for, besides those that come with the gateway.
    pub plugins: Vec<String>,
    /// As Lua's `package.path`, looked at before the current directory's.
    pub package_path: String,
    /// As Lua's `package.cpath`.
    pub package_cpath: String,
    pub untrusted: Untrusted,
    /// Modules that sandboxed Lua may require.
    pub sandbox_requires: Vec<String>,
    /// Globals that sandboxed Lua sees beyond the ordinary ones, dotted.
    pub sandbox_environment: Vec<String>,
    /// Shown as `kong.configuration`; secrets are masked in it.
    pub configuration: Value,
    /// Shared dictionaries: name and bytes.
    pub shared_dicts: Vec<(String, u64)>,
    /// Backtracking steps of a regular expression.
    pub regex_match_limit: u32,
    pub max_req_headers: usize,
    pub max_resp_headers: usize,
    pub max_uri_args: usize,
    pub max_post_args: usize,
    /// Connections that a worker keeps for one peer.
    pub socket_pool_size: usize,
    /// How long a piece of Lua may run without waiting.
    pub time_limit: Option<Duration>,
    /// Bytes that a worker's machine may hold.
    pub memory_limit: Option<usize>,
}

impl Default for LuaSettings {
    fn default() -> Self {
        LuaSettings {
            plugins: Vec::new(),
            package_path: "./?.lua;./?/init.lua;".to_owned(),
            package_cpath: String::new(),
            untrusted: Untrusted::Sandbox,
            sandbox_requires: Vec::new(),
            sandbox_environment: Vec::new(),
            configuration: Value::Null,
            shared_dicts: Vec::new(),
            regex_match_limit: 100_000,
            max_req_headers: 100,
            max_resp_headers: 100,
            max_uri_args: 100,
            max_post_args: 100,
            socket_pool_size: 256,
            time_limit: Some(Duration::from_secs(5)),
            memory_limit: Some(512 << 20),
        }
    }
}
