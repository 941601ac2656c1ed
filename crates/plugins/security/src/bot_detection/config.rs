//! Settings of bot-detection.

use gibbon_schema::Schema;

/// Which clients pass whatever they are, and which never do. Both lists hold regular expressions for the User-Agent.
#[derive(Schema, Debug)]
pub struct Config {
    /// Clients that pass, also if they are known robots.
    #[schema(default = [], elements(is_regex))]
    pub allow: Vec<String>,
    /// Clients that do not pass, also if they are no known robots.
    #[schema(default = [], elements(is_regex))]
    pub deny: Vec<String>,
}
