//! Fields that many schemas share, ready made. Change or extend one with the methods of `Field`.

use serde_json::Value;

use crate::{
    field::{Field, Validator},
    validators,
};

pub use crate::validators::{
    cookie_name as check_cookie_name, header_name as check_header_name, host as check_host,
    host_with_optional_port as check_host_with_optional_port, http_method as check_http_method, ip as check_ip,
    ip_or_cidr as check_ip_or_cidr, path as check_path, pem_certificate as check_pem_certificate,
    pem_key as check_pem_key, pem_public_key as check_pem_public_key, sni as check_sni, tag as check_tag,
    url as check_url, utf8_name as check_utf8_name, uuid as check_uuid, wildcard_host as check_wildcard_host,
    wildcard_sni as check_wildcard_sni,
};

fn text(name: &'static str, check: fn(&Value) -> Result<(), String>) -> Field {
    Field::string().custom(Validator::new(name, check))
}

const PROTOCOLS: [&str; 8] = ["grpc", "grpcs", "http", "https", "tcp", "tls", "tls_passthrough", "udp"];
const PROTOCOLS_HTTP: [&str; 4] = ["grpc", "grpcs", "http", "https"];

/// A host name or address without port.
pub fn host() -> Field {
    text("host", validators::host)
}

/// A host name or address, perhaps with a port.
pub fn host_with_optional_port() -> Field {
    text("host_with_optional_port", validators::host_with_optional_port)
}

/// A host whose first or last label may be `*`.
pub fn wildcard_host() -> Field {
    text("wildcard_host", validators::wildcard_host)
        .match_all("^[^*]*%*?[^*]*$", "invalid wildcard: must have at most one wildcard")
        .match_any(["^%*%.", "%.%*$", "^[^*]*$"], "invalid wildcard: must be placed at leftmost or rightmost label")
}

/// A path of an upstream address.
pub fn path() -> Field {
    text("path", validators::path).starts_with("/").match_none("//", "must not have empty segments")
}

/// An absolute URL.
pub fn url() -> Field {
    text("url", validators::url)
}

/// The name of a header.
pub fn header_name() -> Field {
    text("header_name", validators::header_name)
}

/// The name of a cookie.
pub fn cookie_name() -> Field {
    text("cookie_name", validators::cookie_name)
}

/// An address.
pub fn ip() -> Field {
    text("ip", validators::ip)
}

/// An address or a range in CIDR notation.
pub fn ip_or_cidr() -> Field {
    text("ip_or_cidr", validators::ip_or_cidr)
}

/// A server name.
pub fn sni() -> Field {
    text("sni", validators::sni)
}

/// A server name, perhaps with a wildcard.
pub fn wildcard_sni() -> Field {
    text("wildcard_sni", validators::wildcard_sni)
}

/// A tag.
pub fn tag() -> Field {
    text("tag", validators::tag).required()
}

/// The tags of an entity.
pub fn tags() -> Field {
    Field::set(tag())
}

/// A unique name of an entity.
pub fn utf8_name() -> Field {
    text("utf8_name", validators::utf8_name).unique()
}

/// One or more certificates in PEM.
pub fn pem_certificate() -> Field {
    text("pem_certificate", validators::pem_certificate)
}

/// A private key in PEM.
pub fn pem_key() -> Field {
    text("pem_key", validators::pem_key)
}

/// A public key in PEM.
pub fn pem_public_key() -> Field {
    text("pem_public_key", validators::pem_public_key)
}

/// The identifier of an entity.
pub fn id() -> Field {
    Field::string().uuid().auto()
}

/// A UUID given by a client.
pub fn uuid() -> Field {
    Field::string().uuid()
}

/// When an entity was made or changed, in seconds.
pub fn auto_timestamp() -> Field {
    Field::integer().timestamp().auto()
}

/// As `auto_timestamp`, with milliseconds.
pub fn auto_timestamp_ms() -> Field {
    Field::number().timestamp().auto()
}

/// A port.
pub fn port() -> Field {
    Field::integer().between(0, 65535)
}

/// A duration in milliseconds that is at least one.
pub fn timeout() -> Field {
    Field::integer().between(1, 2_147_483_646)
}

/// A method.
pub fn http_method() -> Field {
    Field::string().matches("^%u+$")
}

/// A protocol of routes and services.
pub fn protocol() -> Field {
    Field::string().one_of(PROTOCOLS)
}

/// The protocols a plugin runs for: any.
pub fn protocols() -> Field {
    Field::set(protocol()).required().default(PROTOCOLS.map(Value::from).to_vec())
}

/// The protocols a plugin runs for: HTTP and gRPC.
pub fn protocols_http() -> Field {
    Field::set(Field::string().one_of(PROTOCOLS_HTTP)).required().default(PROTOCOLS_HTTP.map(Value::from).to_vec())
}
