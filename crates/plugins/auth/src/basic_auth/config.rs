//! Settings of `basic-auth`.

use gibbon_schema::Schema;

/// What is asked of callers.
#[derive(Schema, Debug)]
pub struct Config {
    /// Id or user name of the consumer that a caller without valid credentials becomes.
    pub anonymous: Option<String>,
    /// Take the credentials out of the request before it goes upstream.
    #[schema(required, default = false, default_3_15 = true)]
    pub hide_credentials: bool,
    /// The realm named in a refusal.
    #[schema(required, default = "service")]
    pub realm: String,
}
