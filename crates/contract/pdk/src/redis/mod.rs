//! How a Redis server is named in the configuration of a plugin.
//!
//! Kong has three forms: that of the open plugins ([`Redis`]), that of `acme` (a [`Server`] with options of its own), and
//! that of the enterprise plugins ([`Pooled`]). All become [`KvSettings`], here and nowhere else.

mod pooled;

use std::time::Duration;

use gibbon_schema::{Field, Record, Schema, Shorthand, typedefs};
use serde_json::Value;

pub use pooled::Pooled;

use crate::{BuildError, KvSettings};

/// Where a server is, who to be there, and how to speak to it.
#[derive(Schema, Debug)]
pub struct Server {
    /// Where the server listens.
    #[schema(custom = typedefs::check_host)]
    pub host: Option<String>,
    /// The port of the server.
    #[schema(default = 6379, between(0, 65535))]
    pub port: u16,
    /// Milliseconds to wait for a connection, and for each answer.
    #[schema(default = 2000, between(0, 2_147_483_646))]
    pub timeout: u32,
    /// Who to log in as, on servers with access control lists.
    #[schema(referenceable)]
    pub username: Option<String>,
    /// The password to log in with.
    #[schema(referenceable, encrypted, len_min = 0)]
    pub password: Option<String>,
    /// The number of the database.
    #[schema(default = 0)]
    pub database: i64,
    /// Whether to speak TLS.
    #[schema(default = false)]
    pub ssl: bool,
    /// Whether the server's certificate is verified.
    #[schema(default = false, default_3_15 = true)]
    pub ssl_verify: bool,
    /// The name sent and verified in TLS, in place of `host`.
    #[schema(custom = typedefs::check_sni)]
    pub server_name: Option<String>,
}

/// A Redis server, a cluster, or sentinels that know one, in the form of the open plugins.
#[derive(Schema, Debug)]
pub struct Redis {
    #[schema(flatten)]
    pub server: Server,
    /// Logging in with an identity of a cloud provider. This gateway does not do that: it takes the settings, so that
    /// configurations that carry them unset can be read, and refuses to run with a provider.
    #[schema(typedef = cloud_authentication(false), optional, since = "3.15")]
    pub cloud_authentication: Value,
    /// Sentinels that are asked who the master is; `host` and `port` are not used then.
    #[schema(ours, len_min = 1)]
    pub sentinel_nodes: Option<Vec<SentinelNode>>,
    /// The name by which the sentinels know the master.
    #[schema(ours)]
    pub sentinel_master: Option<String>,
    /// Some nodes of a cluster, from which the others are learnt; `host`, `port` and `database` are not used then.
    #[schema(ours, len_min = 1)]
    pub cluster_nodes: Option<Vec<ClusterNode>>,
}

/// A sentinel.
#[derive(Schema, Debug, Clone)]
pub struct SentinelNode {
    /// Where it listens.
    #[schema(required, default = "127.0.0.1", custom = typedefs::check_host)]
    pub host: String,
    /// Its port.
    #[schema(default = 6379, between(0, 65535))]
    pub port: u16,
}

/// A node of a cluster.
#[derive(Schema, Debug, Clone)]
pub struct ClusterNode {
    /// Where it listens.
    #[schema(required, default = "127.0.0.1", custom = typedefs::check_host)]
    pub ip: String,
    /// Its port.
    #[schema(default = 6379, between(0, 65535))]
    pub port: u16,
}

/// The settings of an identity of a cloud provider. In the enterprise plugins the provider may be a reference, and what
/// names a role is encrypted.
#[must_use]
pub fn cloud_authentication(enterprise: bool) -> Field {
    let text = || Field::string().referenceable();
    let secret = || text().encrypted();
    let role = || if enterprise { secret() } else { text() };
    let provider = if enterprise { text() } else { Field::string() };
    let record = Record::new()
        .field("auth_provider", provider.one_of(["aws", "azure", "gcp"]).description("Whose identity it is."))
        .field("aws_cache_name", text().description("The cache's name."))
        .field("aws_region", text().description("The cache's region."))
        .field("aws_is_serverless", Field::boolean().default(true).description("Whether the cache is serverless."))
        .field("aws_access_key_id", secret().description("The id of the access key."))
        .field("aws_secret_access_key", secret().description("The access key."))
        .field("aws_assume_role_arn", role().description("A role to take."))
        .field("aws_role_session_name", role().description("The name of the session in that role."))
        .field("gcp_service_account_json", secret().description("The service account, as JSON."))
        .field("azure_client_id", role().description("The client's id."))
        .field("azure_client_secret", secret().description("The client's secret."))
        .field("azure_tenant_id", role().description("The tenant's id."));
    Field::record(record)
}

/// A node that says where it listens.
trait Listens {
    /// `host:port`.
    fn endpoint(&self) -> String;
}

impl Listens for SentinelNode {
    fn endpoint(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl Listens for ClusterNode {
    fn endpoint(&self) -> String {
        format!("{}:{}", self.ip, self.port)
    }
}

/// Where nodes listen; empty without any.
fn endpoints<N: Listens>(nodes: Option<&[N]>) -> Vec<String> {
    nodes.unwrap_or_default().iter().map(Listens::endpoint).collect()
}

/// # Errors
/// A provider is named: this gateway logs in with a password only.
pub fn refuse_cloud_authentication(plugin: &str, settings: &Value) -> Result<(), BuildError> {
    match settings.get("auth_provider").and_then(Value::as_str) {
        None => Ok(()),
        Some(provider) => {
            let cause =
                format!("logging in to Redis with an identity of '{provider}' is not available; use 'password'");
            Err(BuildError { plugin: plugin.to_owned(), cause })
        }
    }
}

/// Nothing, or what there is to say.
fn said(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

impl Server {
    /// What the key-value port needs to know.
    #[must_use]
    pub fn settings(&self) -> KvSettings {
        KvSettings {
            host: self.host.clone().unwrap_or_default(),
            port: self.port,
            timeout: Duration::from_millis(self.timeout.into()),
            username: self.username.clone(),
            password: said(self.password.as_ref()),
            database: self.database,
            ssl: self.ssl,
            ssl_verify: self.ssl_verify,
            server_name: self.server_name.clone(),
            ..KvSettings::default()
        }
    }
}

impl Redis {
    /// What the key-value port needs to know.
    ///
    /// # Errors
    /// Settings that this gateway cannot follow.
    pub fn settings(&self, plugin: &str) -> Result<KvSettings, BuildError> {
        let refused = |cause: &str| Err(BuildError { plugin: plugin.to_owned(), cause: cause.to_owned() });
        refuse_cloud_authentication(plugin, &self.cloud_authentication)?;
        if self.sentinel_nodes.is_some() != self.sentinel_master.is_some() {
            return refused("'redis.sentinel_nodes' and 'redis.sentinel_master' go together");
        }
        if self.sentinel_nodes.is_some() && self.cluster_nodes.is_some() {
            return refused("'redis.sentinel_nodes' and 'redis.cluster_nodes' exclude each other");
        }
        Ok(KvSettings {
            cluster_nodes: endpoints(self.cluster_nodes.as_deref()),
            sentinel_nodes: endpoints(self.sentinel_nodes.as_deref()),
            sentinel_master: self.sentinel_master.clone(),
            ..self.server.settings()
        })
    }
}

/// The settings as they were called before they moved into a record of their own.
#[must_use]
pub fn old_names(plugin: &str) -> Vec<Shorthand> {
    let old = |name: &'static str, new: &'static str, field: Field| {
        let message = format!("{plugin}: config.{name} is deprecated, please use config.redis.{new} instead");
        Shorthand::replaced_with(name, field, &["redis", new], message)
    };
    vec![
        old("redis_host", "host", Field::string()),
        old("redis_port", "port", Field::integer()),
        old("redis_password", "password", Field::string().len_min(0)),
        old("redis_username", "username", Field::string()),
        old("redis_ssl", "ssl", Field::boolean()),
        old("redis_ssl_verify", "ssl_verify", Field::boolean()),
        old("redis_server_name", "server_name", Field::string()),
        old("redis_timeout", "timeout", Field::integer()),
        old("redis_database", "database", Field::integer()),
    ]
}
