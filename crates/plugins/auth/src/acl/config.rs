//! Settings of `acl`.

use gibbon_schema::{Schema, checks};

/// Groups that may pass, or may not: one of the two lists.
#[derive(Schema, Debug)]
#[schema(plugin_check = checks::only_one_of(&["config.allow", "config.deny"]))]
#[schema(plugin_check = checks::at_least_one_of(&["config.allow", "config.deny"]))]
pub struct Config {
    /// Only callers in one of these groups may pass.
    pub allow: Option<Vec<String>>,
    /// Callers in one of these groups may not pass.
    pub deny: Option<Vec<String>>,
    /// Do not tell the upstream which groups the caller is in.
    #[schema(required, default = false)]
    pub hide_groups_header: bool,
    /// Groups that an authentication plugin vouches for take the place of the consumer's own.
    #[schema(required, default = false)]
    pub always_use_authenticated_groups: bool,
    /// The names of the consumer's groups (the entities that plugins are bound to) count as well.
    #[schema(since = "3.15")]
    pub include_consumer_groups: Option<bool>,
}
