//! Settings of tcp-log.

use gibbon_schema::{Schema, typedefs};
use indexmap::IndexMap;

/// Where lines are sent.
#[derive(Schema, Debug)]
pub struct Config {
    /// The server.
    #[schema(typedef = typedefs::host(), required)]
    pub host: String,
    /// Its port.
    #[schema(required, between(0, 65535))]
    pub port: u16,
    /// Milliseconds for connecting.
    #[schema(default = 10000)]
    pub timeout: f64,
    /// Milliseconds that an idle connection is kept.
    #[schema(default = 60000)]
    pub keepalive: f64,
    /// Whether the connection is encrypted.
    #[schema(required, default = false)]
    pub tls: bool,
    /// Whether the server's certificate is verified; it is not while this is unset.
    #[schema(since = "3.15", default_3_15 = true)]
    pub ssl_verify: Option<bool>,
    /// The server name to send.
    pub tls_sni: Option<String>,
    /// Further fields, computed in Lua.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    pub custom_fields_by_lua: Option<IndexMap<String, String>>,
}
