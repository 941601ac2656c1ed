//! Entities the gateway keeps for itself: workspaces, tags, parameters, data planes.

use gibbon_schema::{Field, Record, Validator, typedefs};

use crate::entity::EntityDef;

/// Names that are paths of the Admin API.
const RESERVED: [&str; 17] = [
    "workspaces",
    "consumers",
    "certificates",
    "services",
    "routes",
    "snis",
    "upstreams",
    "targets",
    "plugins",
    "tags",
    "ca_certificates",
    "clustering_data_planes",
    "parameters",
    "vaults",
    "key_sets",
    "keys",
    "filter_chains",
];

const SYNC_STATES: [&str; 6] = [
    "unknown",
    "normal",
    "kong_version_incompatible",
    "plugin_set_incompatible",
    "plugin_version_incompatible",
    "filter_set_incompatible",
];

pub fn workspaces() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("name", typedefs::utf8_name().required().not_one_of(RESERVED))
        .field("comment", Field::string())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("meta", Field::record(Record::new()))
        .field("config", Field::record(Record::new()));
    EntityDef::new("workspaces", record).endpoint_key("name").cache_key(&["name"]).global().without_api()
}

/// Licences: taken and shown, so that tools that bring one go on working. Nothing is locked without.
pub fn licenses() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("created_at", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("payload", Field::string().required().unique());
    EntityDef::new("licenses", record).global().unexported().since("3.11")
}

/// A view: one row per tag of an entity.
pub fn tags() -> EntityDef {
    let record = Record::new()
        .field("tag", typedefs::tag())
        .field("entity_name", Field::string().required())
        .field("entity_id", typedefs::id().required());
    EntityDef::new("tags", record).primary_key(&["tag"]).endpoint_key("tag").global().unexported()
}

pub fn parameters() -> EntityDef {
    let record = Record::new()
        .field("created_at", typedefs::auto_timestamp())
        .field("key", Field::string().required().unique())
        .field("value", Field::string().required());
    EntityDef::new("parameters", record).primary_key(&["key"]).cache_key(&["key"]).global().without_api()
}

/// What one node tells all nodes of a datastore, itself included, for as long as some may not have heard it: a channel of
/// whoever speaks and listens there, and what is said. Who speaks may name its node, so as not to hear itself.
pub fn cluster_events() -> EntityDef {
    let record = Record::new()
        .field("id", typedefs::id())
        .field("channel", Field::string().required())
        .field("data", Field::string().required().len_min(0))
        .field("node_id", Field::string())
        .field("created_at", typedefs::auto_timestamp())
        .ttl();
    EntityDef::new("cluster_events", record).global().without_api().unexported().since("3.11")
}

/// Nodes that take their configuration from this one.
pub fn clustering_data_planes() -> EntityDef {
    let hostname = Field::string().required().custom(Validator::new("host", typedefs::check_host));
    let version = Field::string()
        .match_none("%.%.", "must not have empty version segments")
        .match_any(["^%d+[%.%d]*$", "^%d+[%.%d]*%-?.*$"], "invalid version number: must be in format of X.Y.Z");
    let cert_details = Record::new().field("expiry_timestamp", Field::number().timestamp().optional());
    let record = Record::new()
        .field("id", typedefs::id().required())
        .field("last_seen", typedefs::auto_timestamp())
        .field("updated_at", typedefs::auto_timestamp())
        .field("ip", typedefs::ip().required())
        .field("config_hash", Field::string().len_eq(32))
        .field("hostname", hostname)
        .field("version", version)
        .field("sync_status", Field::string().required().one_of(SYNC_STATES).default("unknown"))
        .field("labels", Field::map(Field::string(), Field::string()))
        .field("cert_details", Field::record(cert_details))
        .field("rpc_capabilities", Field::set(Field::string()))
        .ttl();
    EntityDef::new("clustering_data_planes", record)
        .paths("clustering/data-planes", "clustering/data-planes")
        .global()
        .without_api()
        .unexported()
}
