//! The Admin API and the Status API: how people, decK and other tools look at a gateway and change it.
//!
//! Paths and verbs of entities are made from the registry ([`routes`]); what is irregular is written by hand, one file a
//! subject. Every call ends in the store's `Documents`, so that whatever is changed here goes the one way. What the
//! running node knows of itself comes through [`NodeView`]; this crate never touches a request in flight.

mod access;
mod admins;
mod answer;
mod audit;
mod body;
mod call;
mod clustering;
mod config;
mod cors;
mod crud;
mod debug;
mod failure;
mod form;
mod groups;
mod health;
mod hooks;
mod infer;
mod information;
mod keyring;
#[cfg(test)]
mod kong_paths;
mod lua;
mod multipart;
mod node;
mod openapi;
mod page;
mod partials;
mod plugin_paths;
mod rbac;
mod routes;
mod schemas;
mod serve;
mod status;
mod tags;
mod targets;
mod workspaces;

use std::sync::Arc;

use gibbon_pdk::HttpClient;
use gibbon_store::Documents;
use tokio::sync::Semaphore;

pub use access::CallLog;
pub use audit::{AuditSettings, PathRule};
pub use aws_lc_rs::rsa::KeyPair as SigningKey;
pub use node::{About, Connections, HealthError, LevelError, NodeView, PluginInfo, Readiness};
pub use rbac::{Enforce, FirstUser, RbacSettings, has_users, prepare};
pub use serve::{AdminListener, serve};
pub use status::resident_bytes;

use crate::audit::Audit;
use crate::cors::Origins;
use crate::hooks::Hooks;
use crate::rbac::Guard;
use crate::routes::RouteTable;

/// Which of the two interfaces listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    Admin,
    Status,
}

/// What the interfaces are made of.
pub struct AdminSettings {
    /// As in `Server`.
    pub server_token: String,
    /// Whether answers say how long they took, in `X-Kong-Admin-Latency`.
    pub latency: bool,
    /// Addresses of the console; they decide which origins browsers may call from.
    pub console_urls: Vec<String>,
    /// The largest body, in bytes.
    pub max_body: usize,
    pub rbac: RbacSettings,
    pub audit: AuditSettings,
    /// Whether events are told to hooks.
    pub event_hooks: bool,
    /// How hooks reach their receivers.
    pub http: Option<Arc<dyn HttpClient>>,
}

/// The Admin API of a node.
pub struct Admin {
    pub(crate) documents: Documents,
    pub(crate) node: Arc<dyn NodeView>,
    pub(crate) routes: RouteTable,
    pub(crate) status_routes: RouteTable,
    pub(crate) origins: Origins,
    pub(crate) server_token: String,
    pub(crate) latency: bool,
    pub(crate) max_body: usize,
    pub(crate) guard: Guard,
    pub(crate) audit: Audit,
    pub(crate) hooks: Hooks,
    /// Held while a declarative configuration is being loaded: one at a time.
    pub(crate) loading: Semaphore,
}

impl Admin {
    pub fn new(documents: Documents, node: Arc<dyn NodeView>, settings: AdminSettings) -> Arc<Admin> {
        Arc::new(Admin {
            routes: RouteTable::admin(&documents.registry),
            status_routes: RouteTable::status(documents.conductor.is_declarative()),
            origins: Origins::new(&settings.console_urls),
            server_token: settings.server_token,
            latency: settings.latency,
            max_body: settings.max_body,
            guard: Guard::new(&settings.rbac),
            audit: Audit::new(settings.audit),
            hooks: Hooks::new(settings.event_hooks, settings.http),
            loading: Semaphore::new(1),
            documents,
            node,
        })
    }
}
