//! A Redis server in the form of the enterprise plugins.

use std::time::Duration;

use gibbon_schema::{Schema, typedefs};
use serde_json::Value;

use super::{ClusterNode, SentinelNode, cloud_authentication, endpoints, refuse_cloud_authentication, said};
use crate::{BuildError, KvSettings};

/// A Redis server, a cluster, or sentinels that know one.
#[derive(Schema, Debug, Clone)]
#[allow(dead_code, reason = "pool sizes are the gateway's business")]
pub struct Pooled {
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
    #[schema(typedef = cloud_authentication(true), optional)]
    pub cloud_authentication: Value,
}

impl Pooled {
    /// What the key-value port needs to know.
    ///
    /// # Errors
    /// Settings that this gateway cannot follow.
    pub fn settings(&self, plugin: &str) -> Result<KvSettings, BuildError> {
        refuse_cloud_authentication(plugin, &self.cloud_authentication)?;
        let timeout = self.connect_timeout.max(self.send_timeout).max(self.read_timeout);
        Ok(KvSettings {
            host: self.host.clone(),
            port: self.port,
            timeout: Duration::from_millis(timeout.into()),
            username: self.username.clone(),
            password: said(self.password.as_ref()),
            database: self.database,
            ssl: self.ssl,
            ssl_verify: self.ssl_verify,
            server_name: self.server_name.clone(),
            cluster_nodes: endpoints(self.cluster_nodes.as_deref()),
            sentinel_nodes: endpoints(self.sentinel_nodes.as_deref()),
            sentinel_master: self.sentinel_master.clone(),
            sentinel_username: self.sentinel_username.clone(),
            sentinel_password: said(self.sentinel_password.as_ref()),
        })
    }
}
