//! Settings of standard-webhooks.

use gibbon_schema::Schema;

/// How senders sign. Not `Debug`: it holds a secret.
#[derive(Schema)]
pub struct Config {
    /// The secret shared with the sender, used as it stands.
    #[schema(required, referenceable, encrypted)]
    pub secret_v1: String,
    /// Seconds that a webhook may be old.
    #[schema(required, default = 300, gt = -1)]
    pub tolerance_second: i64,
}
