//! Settings of `jwt`.

use gibbon_schema::{Field, Schema, Set, checks};

/// A registered claim that can be checked (RFC 7519 4.1).
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    Exp,
    Nbf,
}

/// Where tokens are looked for, and what of them is checked.
#[derive(Schema, Debug)]
#[schema(plugin_check = checks::conditional(
    "config.maximum_expiration",
    Field::condition().gt(0),
    "config.claims_to_verify",
    Field::condition().contains("exp"),
))]
pub struct Config {
    /// Query arguments that may hold a token.
    #[schema(default = ["jwt"])]
    pub uri_param_names: Set<String>,
    /// Cookies that may hold a token.
    #[schema(default = [])]
    pub cookie_names: Set<String>,
    /// The claim, or header parameter, that names the credential.
    #[schema(default = "iss")]
    pub key_claim_name: Option<String>,
    /// The stored secret is Base64; its bytes are the key.
    #[schema(required, default = false)]
    pub secret_is_base64: bool,
    /// Registered claims that must be there and hold.
    pub claims_to_verify: Set<Claim>,
    /// Id or user name of the consumer that a caller without a valid token becomes.
    pub anonymous: Option<String>,
    /// Ask for a token on OPTIONS requests too.
    #[schema(required, default = true)]
    pub run_on_preflight: bool,
    /// How far ahead `exp` may lie, in seconds; 0 is no limit.
    #[schema(default = 0, between(0, 31_536_000))]
    pub maximum_expiration: Option<f64>,
    /// Headers that may hold a token, with the scheme `Bearer`.
    #[schema(default = ["authorization"])]
    pub header_names: Set<String>,
    /// The realm named in a refusal.
    #[schema(optional)]
    pub realm: Option<String>,
}
