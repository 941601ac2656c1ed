//! A Redis server in the form of the enterprise plugins.

use std::time::Duration;

use gibbon_pdk::{BuildError, KvSettings};
use gibbon_schema::{Field, Record, Schema, typedefs};
use serde_json::Value;

/// A Redis server, a cluster, or sentinels that know one.
#[derive(Schema, Debug, Clone)]
#[allow(dead_code, reason = "pool sizes are the gateway's business")]
pub struct Redis {
    /// Where the server listens.
    #[schema(default = "127.0.0.1", referenceable, custom = typedefs::check_host)]
    pub host: String,
    /// The port of the server.
    #[schema(default = 6379, between(0, 65535), referenceable)]
    pub port: u16,
    /// Milliseconds to wait for a connection.
    #[schema(default = 2000, between(0, 2_147_483_646))]
    pub connect_timeout: u32,
    /// Milliseconds to wait for a command to be sent.
    #[schema(default = 2000, between(0, 2_147_483_646))]
    pub send_timeout: u32,
    /// Milliseconds to wait for an answer.
    #[schema(default = 2000, between(0, 2_147_483_646))]
    pub read_timeout: u32,
    /// Who to log in as.
    #[schema(referenceable)]
    pub username: Option<String>,
    /// The password to log in with.
    #[schema(referenceable, encrypted)]
    pub password: Option<String>,
    /// Who to log in to sentinels as.
    #[schema(referenceable)]
    pub sentinel_username: Option<String>,
    /// The password for sentinels.
    #[schema(referenceable, encrypted)]
    pub sentinel_password: Option<String>,
    /// The number of the database.
    #[schema(default = 0)]
    pub database: i64,
    /// Connections kept open, per worker.
    #[schema(default = 256, between(1, 2_147_483_646))]
    pub keepalive_pool_size: u32,
    /// Commands that may wait for one.
    #[schema(between(0, 2_147_483_646))]
    pub keepalive_backlog: Option<u32>,
    /// The name of the master that sentinels are asked for.
    pub sentinel_master: Option<String>,
    /// Which server sentinels are asked for.
    #[schema(one_of("master", "slave", "any"))]
    pub sentinel_role: Option<String>,
    /// The sentinels.
    #[schema(len_min = 1)]
    pub sentinel_nodes: Option<Vec<SentinelNode>>,
    /// The nodes of a cluster.
    #[schema(len_min = 1)]
    pub cluster_nodes: Option<Vec<ClusterNode>>,
    /// Whether to speak TLS.
    #[schema(default = false)]
    pub ssl: bool,
    /// Whether the server's certificate is verified.
    #[schema(default = true)]
    pub ssl_verify: bool,
    /// The name sent and verified in TLS, in place of `host`.
    #[schema(referenceable, custom = typedefs::check_sni)]
    pub server_name: Option<String>,
    /// How often a cluster may point elsewhere.
    #[schema(default = 5)]
    pub cluster_max_redirections: u32,
    /// Whether a proxy stands before the server.
    #[schema(default = false)]
    pub connection_is_proxied: bool,
    /// Logging in with an identity of a cloud provider, which is not available.
    #[schema(typedef = cloud_authentication(), optional)]
    pub cloud_authentication: Value,
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

fn cloud_authentication() -> Field {
    let text = || Field::string().referenceable();
    let secret = || text().encrypted();
    let record = Record::new()
        .field("auth_provider", text().one_of(["aws", "azure", "gcp"]).description("Whose identity it is."))
        .field("aws_cache_name", text().description("The cache's name."))
        .field("aws_region", text().description("The cache's region."))
        .field("aws_is_serverless", Field::boolean().default(true).description("Whether the cache is serverless."))
        .field("aws_access_key_id", secret().description("The id of the access key."))
        .field("aws_secret_access_key", secret().description("The access key."))
        .field("aws_assume_role_arn", secret().description("A role to take."))
        .field("aws_role_session_name", secret().description("The name of the session in that role."))
        .field("gcp_service_account_json", secret().description("The service account, as JSON."))
        .field("azure_client_id", secret().description("The client's id."))
        .field("azure_client_secret", secret().description("The client's secret."))
        .field("azure_tenant_id", secret().description("The tenant's id."));
    Field::record(record)
}

impl Redis {
    /// What the key-value port needs to know.
    ///
    /// # Errors
    /// Settings that this gateway cannot follow.
    pub fn settings(&self, plugin: &str) -> Result<KvSettings, BuildError> {
        if self.cloud_authentication.get("auth_provider").is_some_and(Value::is_string) {
            let cause = "logging in to Redis with an identity of a cloud is not available; use 'password'";
            return Err(BuildError { plugin: plugin.to_owned(), cause: cause.to_owned() });
        }
        let timeout = self.connect_timeout.max(self.send_timeout).max(self.read_timeout);
        let cluster = self.cluster_nodes.iter().flatten().map(|n| format!("{}:{}", n.ip, n.port));
        let sentinels = self.sentinel_nodes.iter().flatten().map(|n| format!("{}:{}", n.host, n.port));
        Ok(KvSettings {
            host: self.host.clone(),
            port: self.port,
            timeout: Duration::from_millis(timeout.into()),
            username: self.username.clone(),
            password: self.password.clone().filter(|password| !password.is_empty()),
            database: self.database,
            ssl: self.ssl,
            ssl_verify: self.ssl_verify,
            server_name: self.server_name.clone(),
            cluster_nodes: cluster.collect(),
            sentinel_nodes: sentinels.collect(),
            sentinel_master: self.sentinel_master.clone(),
        })
    }
}
