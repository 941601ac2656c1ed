//! What a running node tells of itself, and the few things it can be told.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use gibbon_balance::UpstreamReport;
use gibbon_pdk::AdminPaths;
use serde_json::Value;
use uuid::Uuid;

/// Connections and requests since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    pub accepted: u64,
    pub handled: u64,
    pub active: u64,
    pub reading: u64,
    pub writing: u64,
    pub waiting: u64,
    pub requests: u64,
}

/// A plugin that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginInfo {
    pub name: String,
    pub version: String,
    pub priority: i64,
}

/// What does not change while the node runs.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub node_id: String,
    pub hostname: String,
    /// The Kong version spoken, e.g. `3.10.0`.
    pub version: String,
    /// All settings, secrets masked.
    pub configuration: Value,
    pub plugins: Vec<PluginInfo>,
    pub workers: usize,
}

/// Whether the node takes traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// Not, and why not.
    NotReady(String),
}

/// Why a target's health cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthError {
    NoBalancer,
    /// Its upstream has no health checks.
    NoChecks,
    NoTarget,
}

/// Why the log level is not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LevelError {
    Unknown,
    /// It is the level in force.
    Same,
}

/// A boxed future of the control runtime.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The running node, as far as the interfaces need it.
pub trait NodeView: Send + Sync {
    fn about(&self) -> &About;

    fn connections(&self) -> Connections;

    /// Of the declarative configuration in force: 32 hexadecimal digits, zeros if there is none.
    fn configuration_hash(&self) -> String;

    fn readiness(&self) -> Readiness;

    /// From now on the node says that it is not ready.
    fn drain(&self);

    /// Health of an upstream's targets as the balancer sees it; `None` if there is no such upstream in force.
    fn upstream(&self, id: Uuid) -> Pending<'_, Option<UpstreamReport>>;

    /// Sets the health of a target, or of one address of it.
    fn set_health(
        &self,
        upstream: Uuid,
        target: Uuid,
        address: Option<(IpAddr, u16)>,
        healthy: bool,
    ) -> Pending<'_, Result<(), HealthError>>;

    /// The level of the error log, as Kong names it.
    fn log_level(&self) -> String;

    /// Changes the level; after `seconds`, unless they are 0, it goes back.
    fn set_log_level(&self, level: &str, seconds: u64) -> Result<(), LevelError>;

    /// Figures in Prometheus' text format, once somebody provides them.
    fn metrics(&self) -> Option<String>;

    /// Figures of the DNS client.
    fn dns(&self) -> Option<Value>;

    /// What a plugin answers below this first segment of a path.
    fn plugin_paths(&self, _first: &str) -> Option<Arc<dyn AdminPaths>> {
        None
    }
}
