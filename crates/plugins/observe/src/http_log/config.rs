//! Settings of http-log.

use gibbon_schema::{Schema, typedefs};
use indexmap::IndexMap;
use serde_json::Value;

use crate::queue_settings::Queue;
use crate::replaced;

/// Where entries are sent.
#[derive(Schema, Debug)]
#[schema(custom = one_authorization)]
pub struct Config {
    /// The URL that takes the entries; its query is not sent.
    #[schema(typedef = typedefs::url(), required, referenceable, encrypted)]
    pub http_endpoint: String,
    /// The method.
    #[schema(default = "POST", one_of("POST", "PUT", "PATCH"))]
    pub method: String,
    /// The Content-Type.
    #[schema(default = "application/json", one_of("application/json", "application/json; charset=utf-8"))]
    pub content_type: String,
    /// Milliseconds for a delivery.
    #[schema(default = 10000)]
    pub timeout: f64,
    /// Milliseconds that the connection is kept.
    #[schema(default = 60000)]
    pub keepalive: f64,
    /// Without effect.
    #[schema(typedef = replaced::retry_count("http-log"))]
    #[allow(dead_code)]
    pub retry_count: Option<i64>,
    /// Replaced by `queue.max_batch_size`.
    #[schema(typedef = replaced::queue_size("http-log"))]
    pub queue_size: Option<i64>,
    /// Replaced by `queue.max_coalescing_delay`.
    #[schema(typedef = replaced::flush_timeout("http-log"))]
    pub flush_timeout: Option<f64>,
    /// Headers added to a delivery.
    #[schema(
        keys(
            custom = typedefs::check_header_name,
            match_none("^[Hh][Oo][Ss][Tt]$", err = "cannot contain 'Host' header"),
            match_none(
                "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Ll][Ee][nn][Gg][Tt][Hh]$",
                err = "cannot contain 'Content-Length' header"
            ),
            match_none(
                "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt]%-[Tt][Yy][Pp][Ee]$",
                err = "cannot contain 'Content-Type' header"
            )
        ),
        values(referenceable)
    )]
    pub headers: Option<IndexMap<String, String>>,
    /// How entries wait.
    pub queue: Queue,
    /// Whether the endpoint's certificate is verified; it is not while this is unset.
    #[schema(since = "3.15", default_3_15 = true)]
    pub ssl_verify: Option<bool>,
    /// The certificate that is shown to an endpoint that asks for one.
    #[schema(optional, since = "3.15")]
    pub client_certificate: Option<CertificateRef>,
    /// Further fields, computed in Lua.
    #[schema(keys(len_min = 1), values(len_min = 1))]
    pub custom_fields_by_lua: Option<IndexMap<String, String>>,
}

/// An entity in `certificates`.
#[derive(Schema, Debug)]
pub struct CertificateRef {
    /// Its id.
    #[schema(uuid)]
    pub id: String,
}

/// Credentials in the URL and an Authorization header exclude each other.
fn one_authorization(config: &Value) -> Result<(), String> {
    let url = config.get("http_endpoint").and_then(Value::as_str).unwrap_or_default();
    let has_user = super::handler::user_info(url).is_some();
    let headers = config.get("headers").and_then(Value::as_object);
    if has_user && headers.is_some_and(|all| all.keys().any(|name| name.eq_ignore_ascii_case("authorization"))) {
        return Err("specifying both an 'Authorization' header and user info in 'http_endpoint' is not allowed".into());
    }
    Ok(())
}
