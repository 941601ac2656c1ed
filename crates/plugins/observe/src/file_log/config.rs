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
    /// Further fields, computed in Lua.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    pub custom_fields_by_lua: Option<IndexMap<String, String>>,
}
