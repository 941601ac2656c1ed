//! Working directory, logs, tracing, plugins and error pages.

use super::Default::{Derived, Is, Moved, Unset};
use super::Effect::{Honoured, NoEffect, Pending};
use super::Kind::{Choice, Flag, List, Number, Text};
use super::reason;

/// Levels of the error log, least severe first.
pub(crate) const LOG_LEVELS: &[&str] = &["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"];
const NO_DEBUG_LISTENER: &str = "there is no separate debug listener; the Admin API serves /debug";

super::settings! { "GENERAL":
    prefix: Text, Is("/usr/local/kong/"), Honoured, "Working directory of the node: logs, pid file, certificates, stored configuration.";
    log_level: Choice(LOG_LEVELS), Is("notice"), Honoured, "Least severe level written to the error logs.";
    proxy_access_log: Text, Is("logs/access.log"), Honoured, "Access log of the proxy: a path, a path and a format name, or off.";
    proxy_error_log: Text, Is("logs/error.log"), Honoured, "Error log of the proxy.";
    proxy_stream_access_log: Text, Is("logs/access.log basic"), Honoured, "Access log of stream traffic: path and format, or off.";
    proxy_stream_error_log: Text, Is("logs/error.log"), Honoured, "Error log of stream traffic.";
    admin_access_log: Text, Is("logs/admin_access.log"), Honoured, "Access log of the Admin API, or off.";
    admin_error_log: Text, Is("logs/error.log"), Honoured, "Error log of the Admin API.";
    status_access_log: Text, Is("off"), Honoured, "Access log of the Status API, or off.";
    status_error_log: Text, Is("logs/status_error.log"), Honoured, "Error log of the Status API.";
    debug_access_log: Text, Is("off"), NoEffect(NO_DEBUG_LISTENER), "Access log of the debug listener.";
    debug_error_log: Text, Is("logs/debug_error.log"), NoEffect(NO_DEBUG_LISTENER), "Error log of the debug listener.";
    vaults: List, Is("bundled"), Honoured, "Vault backends to load: bundled, off, or names.";
    opentelemetry_tracing: List, Is("off"), Honoured, "Former name of tracing_instrumentations.";
    tracing_instrumentations: List, Is("off"), Honoured, "What the tracer records: off, all, or a list of span kinds.";
    opentelemetry_tracing_sampling_rate: Number, Is("1.0"), Honoured, "Former name of tracing_sampling_rate.";
    tracing_sampling_rate: Number, Is("0.01"), Honoured, "Share of requests traced, from 0 to 1.";
    plugins: List, Is("bundled"), Honoured, "Plugins the node offers: bundled, off, or names; bundled may stand beside names.";
    dedicated_config_processing: Flag, Is("on"), NoEffect("configuration is always processed outside the workers"), "Process configuration in a process of its own.";
    pluginserver_names: List, Unset, Pending(reason::SERVERS), "External plugin servers to use.";
    pluginserver_XXX_socket: Text, Derived("<prefix>/<XXX>.socket"), Pending(reason::SERVERS), "Unix socket of the plugin server XXX.";
    pluginserver_XXX_start_cmd: Text, Derived("/usr/local/bin/<XXX>"), Pending(reason::SERVERS), "Command that starts the plugin server XXX.";
    pluginserver_XXX_query_cmd: Text, Derived("/usr/local/bin/query_<XXX>"), Pending(reason::SERVERS), "Command that lists the plugins of the server XXX.";
    port_maps: List, Unset, Honoured, "Published to listening port pairs, such as 80:8000, when a container maps ports.";
    anonymous_reports: Flag, Is("on"), NoEffect("no usage report is ever sent"), "Send usage data to the maker.";
    proxy_server: Text, Unset, Pending(reason::PROXY), "HTTP proxy for outgoing connections to control planes, vaults and model providers.";
    proxy_server_ssl_verify: Flag, Moved { v3_10: "off", v3_15: "on" }, Pending(reason::PROXY), "Verify that proxy's certificate.";
    tls_certificate_verify: Flag, Moved { v3_10: "off", v3_15: "on" }, NoEffect("verification follows tls_verify of each service and ssl_verify of each plugin"), "Forbid switching certificate verification off.";
    custom_plugin_streaming_enabled: Flag, Is("off"), NoEffect("plugin code is installed on each node, not streamed from a control plane"), "Accept plugin code from the control plane.";
    error_template_html: Text, Unset, Honoured, "File with the HTML body of generated errors; two %s for message and request id.";
    error_template_json: Text, Unset, Honoured, "The same for JSON.";
    error_template_xml: Text, Unset, Honoured, "The same for XML.";
    error_template_plain: Text, Unset, Honoured, "The same for plain text.";
    schema_alias_conflict_mode: Text, Is("error"), NoEffect("a plugin field given under its old and new name with different values is always an error"), "What to do when a renamed plugin field is given twice.";
}
