//! The table of settings: every name a `kong.conf` may hold, with its type, its default, whether it does something
//! here, and one line on what it is for. Split by the sections of the reference. Nothing is parsed here.

mod console;
mod datastore;
mod general;
mod hybrid;
mod nginx;
mod operations;
mod ours;
mod vaults;

/// What a setting's value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `on`/`off`, `true`/`false` or `yes`/`no`.
    Flag,
    /// A decimal number.
    Number,
    /// Values separated by commas.
    List,
    /// A number of bytes in nginx form: `1024`, `8k`, `10m`, `1g`.
    Size,
    /// A duration in nginx form: `60`, `75s`, `500ms`, `1h 30m`, `1d`.
    Time,
    /// One of the named values.
    Choice(&'static [&'static str]),
}

impl Kind {
    /// What would be valid, for error messages and the reference.
    #[must_use]
    pub fn expects(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Flag => "on or off".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::List => "a comma-separated list".to_owned(),
            Self::Size => "a size such as 8k or 10m".to_owned(),
            Self::Time => "a duration such as 60s or 1d".to_owned(),
            Self::Choice(choices) => format!("one of {}", choices.join(", ")),
        }
    }
}

/// The value a setting has when nobody gives one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value.
    Is(&'static str),
    /// None: the setting stays unset.
    Unset,
    /// The value of another setting.
    Follows(&'static str),
    /// Worked out at start; the text says from what.
    Derived(&'static str),
    /// Differs between the version spoken by default (3.10) and `compat_version = 3.15`.
    Moved {
        /// Default in 3.10.
        v3_10: &'static str,
        /// Default in 3.15.
        v3_15: &'static str,
    },
}

/// Whether giving the setting changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what Kong's reference says.
    Honoured,
    /// It is recognised and changes nothing, for this reason.
    NoEffect(&'static str),
    /// What it asks for is not built yet; this is so instead. Whoever relies on it must know.
    Pending(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name as written in the file. `XXX` stands for a plugin server's name.
    pub name: &'static str,
    /// Section of the reference.
    pub section: &'static str,
    /// Form of the value.
    pub kind: Kind,
    /// Value when unset.
    pub default: Default,
    /// Whether it does something.
    pub effect: Effect,
    /// What it is for.
    pub meaning: &'static str,
}

impl Setting {
    /// The default for a compatibility version, `None` when unset, derived or following another setting.
    #[must_use]
    pub fn default_for(&self, compat: crate::Compat) -> Option<&'static str> {
        match (self.default, compat) {
            (Default::Is(value), _) => Some(value),
            (Default::Moved { v3_10, .. }, crate::Compat::V3_10) => Some(v3_10),
            (Default::Moved { v3_15, .. }, crate::Compat::V3_15) => Some(v3_15),
            (Default::Unset | Default::Follows(_) | Default::Derived(_), _) => None,
        }
    }

    /// Whether the value must never be printed.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        is_secret(self.name)
    }
}

/// Whether a setting's value must never be printed: passwords, tokens, private keys, and what may embed them.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    const EXACT: &[&str] = &[
        "proxy_server",
        "declarative_config_string",
        "request_debug_token",
        "pg_gcp_service_account_json",
        "pg_ro_gcp_service_account_json",
        "admin_gui_auth_conf",
        "admin_gui_session_conf",
        "audit_log_signing_key",
        "cluster_fallback_export_s3_config",
        "vault_hcv_gcp_service_account",
        "license_data",
        "keyring_private_key",
    ];
    const ENDINGS: &[&str] =
        &["_password", "_secret", "_token", "_cert_key", "_secret_id", "_access_key", "_private_key"];
    EXACT.contains(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// What holds instead of what several settings ask for.
mod reason {
    pub(in crate::table) const HYBRID: &str =
        "every node runs as traditional; the link between planes is still to come";
    pub(in crate::table) const WASM: &str = "proxy-wasm filters are still to come";
    pub(in crate::table) const SERVERS: &str = "external plugin servers are still to come";
    pub(in crate::table) const CONSOLE: &str = "the console is still to come";
    pub(in crate::table) const PROXY: &str = "the gateway's own calls go out directly";
}

/// Builds a section's rows: `name: Kind, Default, Effect, "meaning";`.
macro_rules! settings {
    ($section:literal: $($name:ident: $kind:expr, $default:expr, $effect:expr, $meaning:literal;)*) => {
        pub(in crate::table) const SETTINGS: &[crate::table::Setting] = &[$(crate::table::Setting {
            name: stringify!($name),
            section: $section,
            kind: $kind,
            default: $default,
            effect: $effect,
            meaning: $meaning,
        }),*];
    };
}
use settings;

const SECTIONS: &[&[Setting]] = &[
    general::SETTINGS,
    hybrid::SETTINGS,
    hybrid::data_plane::SETTINGS,
    hybrid::control_plane::SETTINGS,
    hybrid::fallback::SETTINGS,
    nginx::SETTINGS,
    nginx::injected::SETTINGS,
    datastore::SETTINGS,
    datastore::cloud_login::SETTINGS,
    datastore::replica::SETTINGS,
    datastore::cache::SETTINGS,
    operations::dns::SETTINGS,
    operations::new_dns::SETTINGS,
    vaults::SETTINGS,
    operations::ai::SETTINGS,
    operations::tuning::SETTINGS,
    operations::miscellaneous::SETTINGS,
    console::SETTINGS,
    console::konnect::SETTINGS,
    console::analytics::SETTINGS,
    console::admin_smtp::SETTINGS,
    console::smtp::SETTINGS,
    console::audit::SETTINGS,
    console::collisions::SETTINGS,
    console::keyring::SETTINGS,
    operations::debugging::SETTINGS,
    ours::undocumented::SETTINGS,
    ours::SETTINGS,
];

/// Every setting, in the order of the reference.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    SECTIONS.iter().flat_map(|section| section.iter())
}

/// The row of a name, or of the pattern it fits (`pluginserver_go_socket` is `pluginserver_XXX_socket`).
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    all()
        .find(|setting| setting.name == name)
        .or_else(|| plugin_server_pattern(name).and_then(|pattern| all().find(|s| s.name == pattern)))
}

fn plugin_server_pattern(name: &str) -> Option<&'static str> {
    let rest = name.strip_prefix("pluginserver_")?;
    let server_then = |ending: &str| rest.strip_suffix(ending).is_some_and(|server| !server.is_empty());
    if server_then("_socket") {
        Some("pluginserver_XXX_socket")
    } else if server_then("_start_cmd") {
        Some("pluginserver_XXX_start_cmd")
    } else if server_then("_query_cmd") {
        Some("pluginserver_XXX_query_cmd")
    } else {
        None
    }
}

/// The known name nearest to a mistyped one, if any is near enough to be meant.
#[must_use]
pub fn nearest(name: &str) -> Option<&'static str> {
    let limit = (name.len() / 4).clamp(1, 3);
    all()
        .map(|setting| (edit_distance(name, setting.name), setting.name))
        .min()
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, nearest)| nearest)
}

/// Levenshtein distance in bytes, one row at a time.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let above = *cell;
            let replaced = diagonal + usize::from(a != b);
            before = replaced.min(above + 1).min(before + 1);
            diagonal = above;
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(left.len())
}
