//! Settings of redirect.

use gibbon_schema::{Schema, typedefs};

/// Where clients are sent, and how.
#[derive(Schema, Debug)]
pub struct Config {
    /// Status of the answer.
    #[schema(required, default = 301, between(100, 599))]
    pub status_code: u16,
    /// The address to go to: scheme and host at least.
    #[schema(typedef = typedefs::url(), required)]
    pub location: String,
    /// Whether path and query of the request replace those of `location`.
    #[schema(default = false)]
    pub keep_incoming_path: bool,
}
