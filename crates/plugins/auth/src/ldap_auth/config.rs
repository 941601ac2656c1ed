//! Settings of `ldap-auth`.

use gibbon_schema::{Field, Schema, checks, typedefs};

/// The directory, and how users are found in it.
#[derive(Schema, Debug)]
#[schema(check = checks::conditional(
    "ldaps",
    Field::condition().eq(true),
    "start_tls",
    Field::condition().eq(false),
).then_err("'ldaps' and 'start_tls' cannot be enabled simultaneously"))]
pub struct Config {
    /// The directory's host.
    #[schema(required, custom = typedefs::check_host)]
    pub ldap_host: String,
    /// The directory's port.
    #[schema(required, default = 389, between(0, 65535))]
    pub ldap_port: u16,
    /// Speak TLS from the beginning.
    #[schema(required, default = false)]
    pub ldaps: bool,
    /// Begin in plain and change to TLS.
    #[schema(required, default = false)]
    pub start_tls: bool,
    /// Refuse a directory whose certificate is not trusted or not for this host.
    #[schema(required, default = false, default_3_15 = true)]
    pub verify_ldap_host: bool,
    /// The entry below which users are.
    #[schema(required)]
    pub base_dn: String,
    /// The attribute that holds a user's name, e.g. `cn` or `uid`.
    #[schema(required)]
    pub attribute: String,
    /// How long the directory's verdict on a name and password is remembered, in seconds.
    #[schema(required, default = 60)]
    pub cache_ttl: f64,
    /// Take the credentials out of the request before it goes upstream.
    #[schema(required, default = false, default_3_15 = true)]
    pub hide_credentials: bool,
    /// How long the directory may take for anything, in milliseconds.
    #[schema(default = 10_000)]
    pub timeout: Option<f64>,
    /// How long an idle connection is kept, in milliseconds.
    #[schema(default = 60_000)]
    pub keepalive: Option<f64>,
    /// Id or user name of the consumer that a caller without valid credentials becomes.
    pub anonymous: Option<String>,
    /// The scheme in the Authorization header, in any case.
    #[schema(default = "ldap")]
    pub header_type: Option<String>,
    /// The realm named in a refusal.
    #[schema(optional)]
    pub realm: Option<String>,
}
