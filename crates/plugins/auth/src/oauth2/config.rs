//! Settings of `oauth2`.

use gibbon_schema::{Field, Schema, checks};
use serde_json::Value;

/// Whether clients must prove that a code is theirs (RFC 7636).
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pkce {
    /// Only clients that began with a challenge.
    None,
    /// Public clients must.
    Lax,
    /// All clients must.
    Strict,
}

/// Grants, scopes and life times.
#[derive(Schema, Debug)]
#[schema(check = checks::conditional("mandatory_scope", Field::condition().eq(true), "scopes", Field::condition().required()))]
#[schema(custom = some_grant)]
pub struct Config {
    /// Scopes that clients may ask for.
    pub scopes: Option<Vec<String>>,
    /// Clients must ask for at least one scope.
    #[schema(required, default = false)]
    pub mandatory_scope: bool,
    /// What an application proves with that it may act for end users. Made up if not given.
    #[schema(required, auto, unique, encrypted)]
    pub provision_key: String,
    /// How long an access token lasts, in seconds; 0 is without end, and without refresh tokens.
    #[schema(required, default = 7200)]
    pub token_expiration: f64,
    /// Allow the authorization code grant (RFC 6749 4.1).
    #[schema(required, default = false)]
    pub enable_authorization_code: bool,
    /// Allow the implicit grant (RFC 6749 4.2).
    #[schema(required, default = false)]
    pub enable_implicit_grant: bool,
    /// Allow the client credentials grant (RFC 6749 4.4).
    #[schema(required, default = false)]
    pub enable_client_credentials: bool,
    /// Allow the resource owner password grant (RFC 6749 4.3); the application has checked the password.
    #[schema(required, default = false)]
    pub enable_password_grant: bool,
    /// Take the token out of the request before it goes upstream.
    #[schema(required, default = false, default_3_15 = true)]
    pub hide_credentials: bool,
    /// Take requests of a trusted peer for secure that came to it over HTTPS.
    #[schema(required, default = false)]
    pub accept_http_if_already_terminated: bool,
    /// Id or user name of the consumer that a caller without a valid token becomes.
    pub anonymous: Option<String>,
    /// Tokens are good for every service whose plugin says the same.
    #[schema(required, default = false)]
    pub global_credentials: bool,
    /// The header that holds the token, or the client's credentials.
    #[schema(default = "authorization")]
    pub auth_header_name: Option<String>,
    /// How long a token can be refreshed, in seconds; 0 is without end.
    #[schema(required, default = 1_209_600, between(0, 100_000_000))]
    pub refresh_token_ttl: f64,
    /// A refresh token stays the same; the access token is replaced.
    #[schema(required, default = false)]
    pub reuse_refresh_token: bool,
    /// A token that was refreshed stays, and can be refreshed again.
    #[schema(since = "3.15")]
    pub persistent_refresh_token: Option<bool>,
    /// Who must prove that a code is theirs.
    #[schema(optional, default = "lax")]
    pub pkce: Option<Pkce>,
    /// The realm named in a refusal.
    #[schema(optional)]
    pub realm: Option<String>,
}

const GRANTS: [&str; 4] =
    ["enable_authorization_code", "enable_implicit_grant", "enable_client_credentials", "enable_password_grant"];

fn some_grant(config: &Value) -> Result<(), String> {
    let is_on = |name: &&str| config.get(*name) == Some(&Value::Bool(true));
    if GRANTS.iter().any(is_on) {
        return Ok(());
    }
    Err(format!("at least one of these fields must be true: {}", GRANTS.join(", ")))
}
