//! Settings of `key-auth`.

use gibbon_schema::{Schema, typedefs};
use serde_json::Value;

use crate::konnect;

/// Where keys are looked for, and what becomes of them.
#[derive(Schema, Debug)]
pub struct Config {
    /// Names of the header, query argument or body field that may hold the key, in the order they are tried.
    #[schema(required, default = ["apikey"], elements(custom = typedefs::check_header_name))]
    pub key_names: Vec<String>,
    /// Take the key out of the request before it goes upstream.
    #[schema(required, default = false, default_3_15 = true)]
    pub hide_credentials: bool,
    /// Id or user name of the consumer that a caller without a valid key becomes.
    pub anonymous: Option<String>,
    /// Look for the key in headers.
    #[schema(required, default = true)]
    pub key_in_header: bool,
    /// Look for the key in the query.
    #[schema(required, default = true)]
    pub key_in_query: bool,
    /// Look for the key in a form, multipart or JSON body.
    #[schema(required, default = false)]
    pub key_in_body: bool,
    /// Ask for a key on OPTIONS requests too.
    #[schema(required, default = true)]
    pub run_on_preflight: bool,
    /// The realm named in a refusal.
    #[schema(optional)]
    pub realm: Option<String>,
    /// Whose consumers are asked, in order. There are none but this gateway's own.
    #[schema(typedef = konnect::identity_realms(), optional, since = "3.15")]
    #[expect(dead_code, reason = "can only name this gateway")]
    pub identity_realms: Value,
    /// Callers that a directory of Konnect knows.
    #[schema(typedef = konnect::principals(), optional, since = "3.15")]
    #[expect(dead_code, reason = "can only be off")]
    pub principals: Value,
}
