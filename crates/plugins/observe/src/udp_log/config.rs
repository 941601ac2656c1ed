//! Settings of udp-log.

use gibbon_schema::{Schema, typedefs};
use indexmap::IndexMap;

/// Where datagrams are sent.
#[derive(Schema, Debug)]
pub struct Config {
    /// The server.
    #[schema(typedef = typedefs::host(), required)]
    pub host: String,
    /// Its port.
    #[schema(required, between(0, 65535))]
    pub port: u16,
    /// Milliseconds for finding the server.
    #[schema(default = 10000)]
    pub timeout: f64,
    /// Further fields, computed in Lua.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    pub custom_fields_by_lua: Option<IndexMap<String, String>>,
}
