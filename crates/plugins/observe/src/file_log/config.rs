//! Settings of file-log.

use gibbon_schema::Schema;
use indexmap::IndexMap;

/// Where lines are written.
#[derive(Schema, Debug)]
pub struct Config {
    /// The file; it is made if need be, its folder is not.
    #[schema(required, matches = r"^[^%s*&%%\`][^*&%%\`]*[^%s*&%%\`]$")]
    pub path: String,
    /// Open the file anew for each line, for tools that rename it.
    #[schema(required, default = false)]
    pub reopen: bool,
    /// Further fields of the entry, computed in Lua by the gateway before the plugin logs.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    #[allow(dead_code)]
    pub custom_fields_by_lua: Option<IndexMap<String, String>>,
}
