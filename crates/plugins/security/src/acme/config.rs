//! Settings of acme. No `Debug`: they hold secrets.

use gibbon_pdk::redis::Server;
use gibbon_schema::{Field, Schema, Shorthand, checks, checks::EntityCheck, typedefs};
use serde_json::Value;

/// Which authority issues certificates for whom, and where they are kept.
#[derive(Schema)]
#[schema(plugin_check = terms_of_service())]
#[schema(plugin_check = redis_needs("config.storage_config.redis.host"))]
#[schema(plugin_check = redis_needs("config.storage_config.redis.port"))]
pub struct Config {
    /// The address that the authority writes to.
    #[schema(required, referenceable, encrypted, matches = "%w*%p*@+%w*%.?%w*")]
    pub account_email: String,
    /// A key of the `keys` entities for the account. When unset, one is made and kept in the storage.
    #[schema(optional)]
    pub account_key: Option<AccountKey>,
    /// The authority's directory; `/directory` is added where it is missing.
    #[schema(typedef = typedefs::url(), default = "https://acme-v02.api.letsencrypt.org/directory")]
    pub api_uri: String,
    /// Whether the authority's terms of service are accepted.
    #[schema(default = false)]
    pub tos_accepted: bool,
    /// Key id of an external account.
    #[schema(referenceable, encrypted)]
    pub eab_kid: Option<String>,
    /// Key of an external account, in base64url.
    #[schema(referenceable, encrypted)]
    pub eab_hmac_key: Option<String>,
    /// The kind of key that certificates are made for.
    #[schema(default = "rsa")]
    pub cert_type: CertType,
    /// Bits of an RSA key.
    #[schema(default = 4096, one_of(2048, 3072, 4096))]
    pub rsa_key_size: f64,
    /// Days before its end from which a certificate is renewed.
    #[schema(default = 14)]
    pub renew_threshold_days: f64,
    /// Names to obtain certificates for; `*` may stand for the first or last label.
    #[schema(elements(
        custom = typedefs::check_wildcard_host,
        match_all("^[^*]*%*?[^*]*$", err = "invalid wildcard: must have at most one wildcard"),
        match_any(["^%*%.", "%.%*$", "^[^*]*$"], err = "invalid wildcard: must be placed at leftmost or rightmost label")
    ))]
    pub domains: Option<Vec<String>>,
    /// Whether certificates are obtained for every name that a client asks for.
    #[schema(default = false)]
    pub allow_any_domain: bool,
    /// Minutes to wait after a failure before the same name is tried again.
    #[schema(default = 5)]
    pub fail_backoff_minutes: f64,
    /// Where certificates, keys and challenges are kept.
    #[schema(default = "shm")]
    pub storage: StorageKind,
    /// Settings of the storages.
    pub storage_config: StorageConfig,
    /// Common name of the root or intermediate that chains should lead to, where the authority offers several.
    pub preferred_chain: Option<String>,
    /// Whether certificates for IPv4 addresses carry the address as common name too.
    #[schema(default = true)]
    pub enable_ipv4_common_name: bool,
}

/// A key of the `keys` entities.
#[derive(Schema)]
pub struct AccountKey {
    /// The key's `kid`.
    #[schema(required)]
    pub key_id: String,
    /// The set that it is in.
    pub key_set: Option<String>,
}

/// The kind of key that certificates are made for.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertType {
    Rsa,
    Ecc,
}

/// Where certificates, keys and challenges are kept.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageKind {
    /// The node's datastore.
    Kong,
    /// This node's memory: gone when it stops.
    Shm,
    Redis,
    Consul,
    Vault,
}

/// Settings of the storages.
#[derive(Schema)]
#[allow(dead_code)] // some fields are there to be accepted and shown
pub struct StorageConfig {
    /// Settings of `shm`.
    pub shm: Shm,
    /// Settings of `kong`.
    pub kong: Kong,
    /// Settings of `redis`.
    pub redis: Redis,
    /// Settings of `consul`.
    pub consul: Consul,
    /// Settings of `vault`.
    pub vault: Vault,
}

#[derive(Schema)]
#[allow(dead_code)] // some fields are there to be accepted and shown
pub struct Shm {
    /// A name for the memory; there is one for all names.
    #[schema(default = "kong")]
    pub shm_name: String,
}

#[derive(Schema)]
pub struct Kong {}

/// A Redis server.
#[derive(Schema)]
#[schema(shorthands = old_redis_names)]
pub struct Redis {
    #[schema(flatten)]
    pub server: Server,
    /// Further settings.
    pub extra_options: RedisOptions,
    /// Logging in with an identity of a cloud provider; read, but not available.
    #[schema(typedef = Field::json(), optional, since = "3.15")]
    pub cloud_authentication: Value,
}

#[derive(Schema)]
pub struct RedisOptions {
    /// What the names of all keys begin with.
    #[schema(required, default = "", len_min = 0, custom = check_namespace)]
    pub namespace: String,
    /// How many keys a scan looks at in one step.
    #[schema(default = 10)]
    pub scan_count: f64,
}

/// A Consul agent.
#[derive(Schema)]
pub struct Consul {
    /// Whether to speak TLS.
    #[schema(default = false)]
    pub https: bool,
    /// Where the agent listens.
    #[schema(custom = typedefs::check_host)]
    pub host: Option<String>,
    /// The port of the agent.
    #[schema(between(0, 65535))]
    pub port: Option<u16>,
    /// Path below which keys lie.
    pub kv_path: Option<String>,
    /// Milliseconds to wait for an answer.
    pub timeout: Option<f64>,
    /// A token that may read and write there.
    #[schema(referenceable)]
    pub token: Option<String>,
}

/// A HashiCorp Vault with a key-value engine of version 2.
#[derive(Schema)]
#[allow(dead_code)] // some fields are there to be accepted and shown
pub struct Vault {
    /// Whether to speak TLS.
    #[schema(default = false)]
    pub https: bool,
    /// Where the server listens.
    #[schema(custom = typedefs::check_host)]
    pub host: Option<String>,
    /// The port of the server.
    #[schema(between(0, 65535))]
    pub port: Option<u16>,
    /// Mount of the engine, and path below it.
    pub kv_path: Option<String>,
    /// Milliseconds to wait for an answer.
    pub timeout: Option<f64>,
    /// A token that may read and write there.
    #[schema(referenceable)]
    pub token: Option<String>,
    /// Whether the server's certificate is verified.
    #[schema(default = true)]
    pub tls_verify: bool,
    /// The name sent and verified in TLS, in place of `host`.
    pub tls_server_name: Option<String>,
    /// How to log in.
    #[schema(default = "token")]
    pub auth_method: VaultLogin,
    /// Path of the Kubernetes login.
    pub auth_path: Option<String>,
    /// Role of the Kubernetes login.
    pub auth_role: Option<String>,
    /// File with the token of the Kubernetes login.
    pub jwt_path: Option<String>,
}

/// How to log in to Vault.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum VaultLogin {
    Token,
    Kubernetes,
}

fn terms_of_service() -> EntityCheck {
    let lets_encrypt = ["https://acme-v02.api.letsencrypt.org", "https://acme-staging-v02.api.letsencrypt.org"];
    checks::conditional(
        "config.api_uri",
        Field::condition().one_of(lets_encrypt),
        "config.tos_accepted",
        Field::condition().eq(true),
    )
    .then_err("terms of service must be accepted, see https://letsencrypt.org/repository/")
}

fn redis_needs(field: &'static str) -> EntityCheck {
    checks::conditional("config.storage", Field::condition().eq("redis"), field, Field::condition().required())
}

fn old_redis_names() -> Vec<Shorthand> {
    let old = |name: &'static str, field: Field, path: &[&'static str]| {
        let base = "config.storage_config.redis";
        let message = format!("acme: {base}.{name} is deprecated, please use {base}.{} instead", path.join("."));
        Shorthand::replaced_with(name, field, path, message)
    };
    vec![
        old("auth", Field::string().len_min(0), &["password"]),
        old("ssl_server_name", Field::string(), &["server_name"]),
        old("namespace", Field::string().len_min(0), &["extra_options", "namespace"]),
        old("scan_count", Field::integer(), &["extra_options", "scan_count"]),
    ]
}

/// Names of keys that the plugin makes by itself.
const RESERVED: [&str; 3] = ["kong_acme:renew_config:", "kong_acme:renew_last_run", "kong_acme:cert_key:"];

fn check_namespace(value: &Value) -> Result<(), String> {
    let namespace = value.as_str().unwrap_or_default();
    match RESERVED.iter().find(|reserved| namespace.starts_with(**reserved)) {
        Some(reserved) => Err(format!("namespace can't be prefixed with reserved word: {reserved}")),
        None => Ok(()),
    }
}
