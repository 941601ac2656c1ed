//! Who may call the Admin API, what is written down of it, and whether others are told of events.

use crate::settings::{Builder, Material};

/// What is demanded of callers of the Admin API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnforceRbac {
    /// Nothing.
    Off,
    /// Permission for the path.
    On,
    /// Permission for each entity.
    Entity,
    /// Both.
    Both,
}

/// Access to the Admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// What is demanded.
    pub enforce: EnforceRbac,
    /// Header with the caller's token.
    pub token_header: String,
    /// The record of calls and changes.
    pub audit: Audit,
    /// Whether event hooks run.
    pub event_hooks: bool,
}

/// The record of calls and changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Whether it is kept.
    pub enabled: bool,
    /// Methods whose calls are left out.
    pub ignore_methods: Vec<String>,
    /// Regular expressions of paths whose calls are left out.
    pub ignore_paths: Vec<String>,
    /// Kinds of entities whose changes are left out.
    pub ignore_tables: Vec<String>,
    /// Fields left out of bodies and entities.
    pub exclude: Vec<String>,
    /// Seconds records are kept.
    pub keep: u32,
    /// RSA key that signs records.
    pub signing_key: Option<Material>,
}

impl Access {
    pub(crate) fn build(b: &mut Builder<'_>) -> Self {
        Self {
            enforce: match b.values.text("enforce_rbac") {
                Some("on") => EnforceRbac::On,
                Some("entity") => EnforceRbac::Entity,
                Some("both") => EnforceRbac::Both,
                _ => EnforceRbac::Off,
            },
            token_header: token_header(b),
            audit: Audit::build(b),
            event_hooks: b.values.flag("event_hooks_enabled"),
        }
    }
}

/// A name that no header can have would shut everybody out.
fn token_header(b: &mut Builder<'_>) -> String {
    let name = b.values.text("rbac_auth_header").unwrap_or("Kong-Admin-Token").to_owned();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        b.fault("rbac_auth_header", "rbac_auth_header must be the name of a header");
    }
    name
}

impl Audit {
    fn build(b: &mut Builder<'_>) -> Self {
        let words = "an integer between 1 and 100000000";
        let keep = b.ranged("audit_log_record_ttl", 1..=100_000_000, words).unwrap_or(2_592_000);
        let key = b.values.text("audit_log_signing_key").map(str::to_owned);
        let signing_key = key.as_deref().and_then(|text| Material::parse(text, b.surroundings));
        if key.is_some() && signing_key.is_none() {
            b.fault("audit_log_signing_key", "audit_log_signing_key must be a path or a PEM text");
        }
        Self {
            enabled: b.values.flag("audit_log"),
            ignore_methods: b.values.list("audit_log_ignore_methods"),
            ignore_paths: b.values.list("audit_log_ignore_paths"),
            ignore_tables: b.values.list("audit_log_ignore_tables"),
            exclude: b.values.list("audit_log_payload_exclude"),
            keep,
            signing_key,
        }
    }
}
