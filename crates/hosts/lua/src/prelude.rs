//! Loads our own Lua code into a machine: the ngx API, the plugin kit, and the libraries that plugins require.

use mlua::{Lua, Table, Value};

use crate::settings::LuaSettings;

/// Named registry value: the function that forgets loaded modules by prefix.
pub const FORGET: &str = "gibbon.forget";
/// Named registry values: what loads an `api.lua`, what answers a call of the Admin API, and what hands events out.
pub const LOAD_ADMIN: &str = "gibbon.load_admin";
pub const CALL_ADMIN: &str = "gibbon.call_admin";
pub const DELIVER: &str = "gibbon.deliver";
/// Named registry value: the body of a coroutine that runs one phase after another.
pub const AGAIN: &str = "gibbon.again";
/// Named registry value: what makes the function that runs one phase of one configuration.
pub const STARTER: &str = "gibbon.starter";
/// Named registry value: what runs a piece of code in a configuration.
pub const EVALUATE: &str = "gibbon.evaluate";

/// Run in order at start; each gets the table of natives.
const START: &[(&str, &str)] = &[
    ("coroutines", include_str!("lua/coroutines.lua")),
    ("modules", include_str!("lua/modules.lua")),
    ("tables", include_str!("lua/tables.lua")),
    ("ngx", include_str!("lua/ngx.lua")),
    ("ngx_request", include_str!("lua/ngx_request.lua")),
    ("ngx_re", include_str!("lua/ngx_re.lua")),
    ("ngx_wait", include_str!("lua/ngx_wait.lua")),
    ("ngx_dict", include_str!("lua/ngx_dict.lua")),
    ("pdk", include_str!("lua/pdk.lua")),
    ("pdk_request", include_str!("lua/pdk_request.lua")),
    ("pdk_response", include_str!("lua/pdk_response.lua")),
    ("pdk_service", include_str!("lua/pdk_service.lua")),
    ("pdk_client", include_str!("lua/pdk_client.lua")),
    ("pdk_node", include_str!("lua/pdk_node.lua")),
    ("pdk_tracing", include_str!("lua/pdk_tracing.lua")),
    ("pdk_cache", include_str!("lua/pdk_cache.lua")),
    ("evaluate", include_str!("lua/evaluate.lua")),
    ("db", include_str!("lua/db.lua")),
    ("events", include_str!("lua/events.lua")),
    ("admin", include_str!("lua/admin.lua")),
];

/// Found by `require`, loaded when asked for; each gets the table of natives.
const MODULES: &[(&str, &str)] = &[
    ("gibbon.sandbox", include_str!("lua/sandbox.lua")),
    ("kong.plugins.pre-function.handler", include_str!("lua/pre_function.lua")),
    ("kong.plugins.post-function.handler", include_str!("lua/post_function.lua")),
    ("kong.plugins.gibbon.expression.handler", include_str!("lua/expression.lua")),
    ("gibbon.functions", include_str!("lua/functions.lua")),
    ("cjson", include_str!("lua/lib/cjson.lua")),
    ("cjson.safe", include_str!("lua/lib/cjson_safe.lua")),
    ("inspect", include_str!("lua/lib/inspect.lua")),
    ("kong.db.schema.typedefs", include_str!("lua/typedefs.lua")),
    ("kong.api.endpoints", include_str!("lua/lib/kong_api_endpoints.lua")),
    ("kong.constants", include_str!("lua/lib/kong_constants.lua")),
    ("kong.meta", include_str!("lua/lib/kong_meta.lua")),
    ("kong.tools.cjson", include_str!("lua/lib/kong_tools_cjson.lua")),
    ("kong.tools.http", include_str!("lua/lib/kong_tools_http.lua")),
    ("kong.tools.rand", include_str!("lua/lib/kong_tools_rand.lua")),
    ("kong.tools.string", include_str!("lua/lib/kong_tools_string.lua")),
    ("kong.tools.table", include_str!("lua/lib/kong_tools_table.lua")),
    ("kong.tools.time", include_str!("lua/lib/kong_tools_time.lua")),
    ("kong.tools.utils", include_str!("lua/lib/kong_tools_utils.lua")),
    ("kong.tools.uuid", include_str!("lua/lib/kong_tools_uuid.lua")),
    ("ngx.ssl", include_str!("lua/lib/ngx_ssl.lua")),
    ("kong.db.errors", include_str!("lua/lib/kong_db_errors.lua")),
    ("kong.plugins.jwt.jwt_parser", include_str!("lua/lib/kong_plugins_jwt_jwt_parser.lua")),
    ("kong.tools.ip", include_str!("lua/lib/kong_tools_ip.lua")),
    ("kong.tools.module", include_str!("lua/lib/kong_tools_module.lua")),
    ("kong.tools.queue", include_str!("lua/lib/kong_tools_queue.lua")),
    ("kong.tools.sha256", include_str!("lua/lib/kong_tools_sha256.lua")),
    ("kong.tools.timestamp", include_str!("lua/lib/kong_tools_timestamp.lua")),
    ("gibbon.pl", include_str!("lua/lib/pl_more.lua")),
    ("pl.file", "return require('gibbon.pl')['pl.file']"),
    ("pl.List", "return require('gibbon.pl')['pl.List']"),
    ("pl.path", "return require('gibbon.pl')['pl.path']"),
    ("pl.pretty", "return require('gibbon.pl')['pl.pretty']"),
    ("pl.types", "return require('gibbon.pl')['pl.types']"),
    ("resty.core", "return { version = '0.1.30' }"),
    ("resty.lrucache.pureffi", "return require('resty.lrucache')"),
    ("resty.sha", "return {}"),
    ("pl.stringx", include_str!("lua/lib/pl_stringx.lua")),
    ("pl.tablex", include_str!("lua/lib/pl_tablex.lua")),
    ("pl.utils", include_str!("lua/lib/pl_utils.lua")),
    ("resty.digests", include_str!("lua/lib/resty_digests.lua")),
    ("resty.aes", include_str!("lua/lib/resty_aes.lua")),
    ("resty.evp", include_str!("lua/lib/resty_evp.lua")),
    ("resty.hmac", include_str!("lua/lib/resty_hmac.lua")),
    ("resty.http", include_str!("lua/lib/resty_http.lua")),
    ("resty.ipmatcher", include_str!("lua/lib/resty_ipmatcher.lua")),
    ("resty.jit-uuid", include_str!("lua/lib/kong_tools_uuid.lua")),
    ("resty.lock", include_str!("lua/lib/resty_lock.lua")),
    ("resty.lrucache", include_str!("lua/lib/resty_lrucache.lua")),
    ("resty.md5", include_str!("lua/lib/resty_md5.lua")),
    ("resty.mlcache", include_str!("lua/lib/resty_mlcache.lua")),
    ("resty.openssl", include_str!("lua/lib/openssl.lua")),
    ("resty.openssl.bn", include_str!("lua/lib/openssl_bn.lua")),
    ("resty.openssl.cipher", include_str!("lua/lib/openssl_cipher.lua")),
    ("resty.openssl.digest", include_str!("lua/lib/openssl_digest.lua")),
    ("resty.openssl.hmac", include_str!("lua/lib/openssl_hmac.lua")),
    ("resty.openssl.kdf", include_str!("lua/lib/openssl_kdf.lua")),
    ("resty.openssl.mac", include_str!("lua/lib/openssl_mac.lua")),
    ("resty.openssl.pkey", include_str!("lua/lib/openssl_pkey.lua")),
    ("resty.openssl.rand", include_str!("lua/lib/openssl_rand.lua")),
    ("resty.openssl.version", include_str!("lua/lib/openssl_version.lua")),
    ("resty.openssl.x509", include_str!("lua/lib/openssl_x509.lua")),
    ("resty.openssl.x509.altname", include_str!("lua/lib/openssl_altname.lua")),
    ("resty.openssl.x509.chain", include_str!("lua/lib/openssl_chain.lua")),
    ("resty.openssl.x509.name", include_str!("lua/lib/openssl_name.lua")),
    ("resty.openssl.x509.store", include_str!("lua/lib/openssl_store.lua")),
    ("resty.random", include_str!("lua/lib/resty_random.lua")),
    ("resty.redis", include_str!("lua/lib/resty_redis.lua")),
    ("resty.sha1", include_str!("lua/lib/resty_sha1.lua")),
    ("resty.sha224", include_str!("lua/lib/resty_sha224.lua")),
    ("resty.sha256", include_str!("lua/lib/resty_sha256.lua")),
    ("resty.sha384", include_str!("lua/lib/resty_sha384.lua")),
    ("resty.sha512", include_str!("lua/lib/resty_sha512.lua")),
    ("resty.string", include_str!("lua/lib/resty_string.lua")),
    ("socket", include_str!("lua/lib/socket.lua")),
    ("socket.url", include_str!("lua/lib/socket_url.lua")),
];

/// Loads everything.
///
/// # Errors
/// Lua's memory is at its limit.
pub fn load(lua: &Lua, settings: &LuaSettings, natives: &Table) -> mlua::Result<()> {
    let sources = lua.create_table()?;
    for (name, text) in MODULES {
        sources.raw_set(*name, *text)?;
    }
    natives.raw_set("sources", sources)?;
    let package: Table = lua.globals().get("package")?;
    let standard: String = package.get("path")?;
    package.set("path", format!("{};{standard}", settings.package_path.trim_end_matches(';')))?;
    if !settings.package_cpath.is_empty() {
        let standard: String = package.get("cpath")?;
        package.set("cpath", format!("{};{standard}", settings.package_cpath.trim_end_matches(';')))?;
    }
    for (name, text) in START {
        lua.load(*text).set_name(format!("=[gibbon]/{name}.lua")).call::<Value>(natives)?;
    }
    let kept = [
        (FORGET, "forget"),
        (LOAD_ADMIN, "load_admin"),
        (CALL_ADMIN, "call_admin"),
        (DELIVER, "deliver"),
        (EVALUATE, "evaluate"),
        (AGAIN, "again"),
        (STARTER, "starter"),
    ];
    for (value, name) in kept {
        lua.set_named_registry_value(value, natives.get::<mlua::Function>(name)?)?;
    }
    Ok(())
}
