//! Settings of ip-restriction.

use gibbon_schema::{Schema, checks, typedefs};

/// Who may come in.
#[derive(Schema, Debug)]
#[schema(plugin_check = checks::at_least_one_of(&["config.allow", "config.deny"]))]
pub struct Config {
    /// Addresses and ranges that may come in, and nobody else.
    #[schema(elements(custom = typedefs::check_ip_or_cidr))]
    pub allow: Option<Vec<String>>,
    /// Addresses and ranges that may not come in, even if `allow` names them.
    #[schema(elements(custom = typedefs::check_ip_or_cidr))]
    pub deny: Option<Vec<String>>,
    /// Status of a refusal; 403 when unset.
    #[schema(optional)]
    pub status: Option<f64>,
    /// Message of a refusal, in place of one that names the address.
    #[schema(optional)]
    pub message: Option<String>,
}
