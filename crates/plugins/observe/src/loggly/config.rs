//! Settings of loggly.

use gibbon_schema::{Schema, Set, typedefs};
use indexmap::IndexMap;

use crate::severity::Severity;

/// Where lines are sent, and what they are marked with.
#[derive(Schema, Debug)]
pub struct Config {
    /// The server.
    #[schema(typedef = typedefs::host(), default = "logs-01.loggly.com")]
    pub host: String,
    /// Its port.
    #[schema(default = 514, between(0, 65535))]
    pub port: u16,
    /// The customer token.
    #[schema(required, referenceable, encrypted)]
    pub key: String,
    /// Tags of every line.
    #[schema(default = ["kong"])]
    pub tags: Set<String>,
    /// Lines less grave than this are not sent.
    #[schema(default = "info")]
    pub log_level: Severity,
    /// The level of answers below 400.
    #[schema(default = "info")]
    pub successful_severity: Severity,
    /// The level of answers below 500.
    #[schema(default = "info")]
    pub client_errors_severity: Severity,
    /// The level of other answers.
    #[schema(default = "info")]
    pub server_errors_severity: Severity,
    /// Milliseconds for finding the server.
    #[schema(default = 10000)]
    pub timeout: f64,
    /// Further fields, computed in Lua.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    pub custom_fields_by_lua: Option<IndexMap<String, String>>,
}
