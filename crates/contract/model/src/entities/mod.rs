//! The entities, one file per family. Facts of each: fields, defaults, checks, keys.

pub mod audit;
pub mod certificates;
pub mod consumers;
pub mod credentials;
pub mod filter_chains;
pub mod keys;
pub mod node;
pub mod oauth2;
pub mod partials;
pub mod plugins;
pub mod rbac;
pub mod routes;
pub mod services;
pub mod storage;
pub mod upstreams;
pub mod vaults;

use gibbon_schema::{Record, typedefs};

use crate::{entity::EntityDef, registry::RegistryOptions};

/// Every entity, each after those it refers to.
pub fn all(options: &RegistryOptions) -> Vec<EntityDef> {
    vec![
        node::workspaces(),
        certificates::certificates(),
        certificates::snis(),
        certificates::ca_certificates(options.now),
        services::services(),
        routes::routes(options),
        consumers::consumers(),
        consumers::consumer_groups(),
        consumers::memberships(),
        partials::partials(),
        plugins::plugins(options),
        upstreams::upstreams(),
        upstreams::targets(),
        vaults::vaults(options),
        keys::key_sets(),
        keys::keys(),
        filter_chains::filter_chains(options),
        node::licenses(),
        node::tags(),
        node::parameters(),
        node::clustering_data_planes(),
        node::cluster_events(),
        credentials::acls(),
        credentials::basicauth_credentials(),
        credentials::hmacauth_credentials(),
        credentials::jwt_secrets(),
        credentials::keyauth_credentials(),
        oauth2::credentials(),
        oauth2::authorization_codes(),
        oauth2::tokens(),
        storage::acme_storage(),
        storage::sessions(),
        storage::session_metadatas(),
        storage::ratelimiting_metrics(),
        rbac::users(),
        rbac::roles(),
        rbac::user_roles(),
        rbac::role_endpoints(),
        rbac::role_entities(),
        rbac::groups(),
        rbac::group_roles(),
        rbac::user_groups(),
        rbac::admins(),
        audit::requests(),
        audit::objects(),
        audit::event_hooks(),
    ]
}

/// A record that begins with an identifier and the two times.
fn identified() -> Record {
    Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
}
