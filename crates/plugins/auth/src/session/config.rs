//! Settings of `session`.

use gibbon_schema::{Field, Schema, Set, Shorthand};
use serde_json::{Map, Value, json};

/// Where the contents of a session are kept.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In the cookie, encrypted.
    Cookie,
    /// In the gateway's own store; the cookie holds an id.
    Kong,
}

/// When browsers send the cookie along with requests from other sites.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    #[schema(name = "Strict")]
    Strict,
    #[schema(name = "Lax")]
    Lax,
    #[schema(name = "None")]
    None,
    /// Left to the browser.
    #[schema(name = "Default")]
    Default,
}

/// A fact of a session that a header can tell.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Property {
    Id,
    Audience,
    Subject,
    Timeout,
    #[schema(name = "idling-timeout")]
    IdlingTimeout,
    #[schema(name = "rolling-timeout")]
    RollingTimeout,
    #[schema(name = "absolute-timeout")]
    AbsoluteTimeout,
}

/// A method by which a session can be ended.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogoutMethod {
    #[schema(name = "GET")]
    Get,
    #[schema(name = "POST")]
    Post,
    #[schema(name = "DELETE")]
    Delete,
}

/// A fact of the request that a session is tied to.
#[derive(Schema, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bind {
    Ip,
    Scheme,
    #[schema(name = "user-agent")]
    UserAgent,
}

/// The cookie, what is in it, and how long it lasts. Times are in seconds; 0 means without end.
#[derive(Schema, Debug)]
#[schema(shorthands = old_names)]
pub struct Config {
    /// What cookies are encrypted and signed with. Made up if not given: give it, so that sessions outlive a change of
    /// the configuration and are shared by nodes.
    #[schema(optional, auto, encrypted, referenceable)]
    pub secret: Option<String>,
    /// Where the contents of a session are kept: in the cookie or in the gateway's store.
    #[schema(default = "cookie")]
    pub storage: Option<Storage>,
    /// The application that the session is for; applications can share a cookie.
    #[schema(default = "default")]
    pub audience: Option<String>,
    /// How long a session may lie unused.
    #[schema(default = 900)]
    pub idling_timeout: Option<f64>,
    /// How long a session lasts until it must be renewed; it is renewed by itself in its last quarter.
    #[schema(default = 3600)]
    pub rolling_timeout: Option<f64>,
    /// How long a session can be renewed before the caller must prove its identity again.
    #[schema(default = 86400)]
    pub absolute_timeout: Option<f64>,
    /// How long a session stays usable after it was renewed, for requests under way.
    #[schema(default = 10)]
    pub stale_ttl: Option<f64>,
    /// Name of the cookie.
    #[schema(default = "session")]
    pub cookie_name: Option<String>,
    /// Path below which browsers send the cookie.
    #[schema(default = "/")]
    pub cookie_path: Option<String>,
    /// Domain to whose hosts browsers send the cookie; unset means this host only.
    pub cookie_domain: Option<String>,
    /// When browsers send the cookie with requests from other sites.
    #[schema(default = "Strict")]
    pub cookie_same_site: Option<SameSite>,
    /// Hide the cookie from scripts.
    #[schema(default = true)]
    pub cookie_http_only: Option<bool>,
    /// Let browsers send the cookie over HTTPS only.
    #[schema(default = true)]
    pub cookie_secure: Option<bool>,
    /// Give callers a second cookie that outlives the browser and opens a new session.
    #[schema(default = false)]
    pub remember: Option<bool>,
    /// Name of the second cookie.
    #[schema(default = "remember")]
    pub remember_cookie_name: Option<String>,
    /// How long the second cookie lasts until it must be renewed.
    #[schema(default = 604_800)]
    pub remember_rolling_timeout: Option<f64>,
    /// How long the second cookie can be renewed.
    #[schema(default = 2_592_000)]
    pub remember_absolute_timeout: Option<f64>,
    /// Facts of the session that the client learns in headers.
    pub response_headers: Set<Property>,
    /// Facts of the session that the upstream learns in headers.
    pub request_headers: Set<Property>,
    /// Look for the logout argument in the body too.
    #[schema(default = false)]
    pub read_body_for_logout: Option<bool>,
    /// Methods by which a session can be ended.
    #[schema(default = ["POST", "DELETE"])]
    pub logout_methods: Set<LogoutMethod>,
    /// The query argument that ends a session.
    #[schema(default = "session_logout")]
    pub logout_query_arg: Option<String>,
    /// The body field that ends a session.
    #[schema(default = "session_logout")]
    pub logout_post_arg: Option<String>,
    /// Keep the subject in stored metadata as a hash only.
    #[schema(default = false)]
    pub hash_subject: Option<bool>,
    /// Keep audience and subject of sessions in the gateway's store.
    #[schema(default = false)]
    pub store_metadata: Option<bool>,
    /// Facts of the request that a session is tied to: a stolen cookie is of no use where they differ.
    #[schema(since = "3.15")]
    pub bind: Set<Bind>,
}

/// Names of the time before 3.2.
fn old_names() -> Vec<Shorthand> {
    let renamed = |old: &'static str, field: Field, new: &'static str| {
        Shorthand::new(old, field, move |value, _| object(new, value.clone()))
    };
    vec![
        renamed("cookie_lifetime", Field::number(), "rolling_timeout"),
        Shorthand::new("cookie_idletime", Field::number(), |value, _| {
            object("idling_timeout", if value.is_null() { json!(0) } else { value.clone() })
        }),
        Shorthand::new("cookie_renew", Field::number(), |_, _| Map::new()),
        renamed("cookie_discard", Field::number(), "stale_ttl"),
        Shorthand::new("cookie_samesite", Field::string(), |value, _| {
            object("cookie_same_site", if value == "off" { json!("Lax") } else { value.clone() })
        }),
        renamed("cookie_httponly", Field::boolean(), "cookie_http_only"),
        renamed("cookie_persistent", Field::boolean(), "remember"),
    ]
}

fn object(name: &str, value: Value) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert(name.to_owned(), value);
    object
}
