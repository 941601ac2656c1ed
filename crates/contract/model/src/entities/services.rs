//! Services: where requests go.

use gibbon_schema::{
    Field, Record, Shorthand,
    checks::{EntityCheck, conditional},
    typedefs,
};
use serde_json::{Map, Value};

use super::identified;
use crate::entity::EntityDef;

pub fn services() -> EntityDef {
    let record = identified()
        .field("name", typedefs::utf8_name())
        .field("retries", Field::integer().between(0, 32767).default(5))
        .field("protocol", typedefs::protocol().required().default("http"))
        .field("host", typedefs::host().required())
        .field("port", typedefs::port().required().default(80))
        .field("path", typedefs::path())
        .field("connect_timeout", typedefs::timeout().default(60000))
        .field("write_timeout", typedefs::timeout().default(60000))
        .field("read_timeout", typedefs::timeout().default(60000))
        .field("tags", typedefs::tags())
        .field("client_certificate", Field::foreign("certificates"))
        .field("tls_verify", Field::boolean())
        .field("tls_verify_depth", Field::integer().between(0, 64).default(Value::Null))
        .field("ca_certificates", Field::array(typedefs::uuid()))
        .field("enabled", Field::boolean().required().default(true))
        .field("tls_sans", Field::record(tls_sans()).optional().since("3.12"))
        .check(conditional(
            "protocol",
            Field::condition().one_of(["tcp", "tls", "udp", "grpc", "grpcs"]),
            "path",
            Field::condition().eq_null(),
        ))
        .check(only_with_tls("client_certificate"))
        .check(only_with_tls("tls_verify"))
        .check(only_with_tls("tls_verify_depth"))
        .check(only_with_tls("ca_certificates"))
        .shorthand(Shorthand::new("url", Field::string(), |url, _| expand_url(url)));
    EntityDef::new("services", record).endpoint_key("name")
}

/// Names and addresses a certificate of the upstream is accepted for.
fn tls_sans() -> Record {
    Record::new().field("dnsnames", Field::array(Field::string())).field("uris", Field::array(Field::string()))
}

fn only_with_tls(field: &'static str) -> EntityCheck {
    conditional("protocol", Field::condition().not_one_of(["https", "tls"]), field, Field::condition().eq_null())
}

/// `http://host:port/path` as the fields it stands for. What the URL does not say is not set, so that the defaults
/// and, on a change, the present values hold.
fn expand_url(url: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    let Some(url) = url.as_str() else { return fields };
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, url.strip_prefix("//").unwrap_or(url)),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let host_and_port = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = split_port(host_and_port);
    let protocol = scheme.or(match port {
        Some("443") => Some("https"),
        _ => Some("http"),
    });
    if let Some(protocol) = protocol {
        fields.insert("protocol".into(), protocol.into());
    }
    if !host.is_empty() {
        fields.insert("host".into(), host.into());
    }
    let port = match (port, protocol) {
        (Some(port), _) => port.parse::<u32>().map(Value::from).unwrap_or_else(|_| port.into()),
        (None, Some("https")) => 443.into(),
        (None, _) => 80.into(),
    };
    fields.insert("port".into(), port);
    if !path.is_empty() {
        fields.insert("path".into(), path.into());
    }
    fields
}

/// The port is what follows the last colon, unless that is inside the brackets of an IPv6 address.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port).filter(|p| !p.is_empty())),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expanded(url: &str) -> Value {
        Value::Object(expand_url(&json!(url)))
    }

    #[test]
    fn a_url_stands_for_protocol_host_port_and_path() {
        assert_eq!(
            expanded("https://a.test:8443/x?y"),
            json!({"protocol": "https", "host": "a.test", "port": 8443, "path": "/x"})
        );
        assert_eq!(expanded("https://a.test"), json!({"protocol": "https", "host": "a.test", "port": 443}));
        assert_eq!(expanded("http://a.test/"), json!({"protocol": "http", "host": "a.test", "port": 80, "path": "/"}));
        assert_eq!(expanded("grpc://a.test"), json!({"protocol": "grpc", "host": "a.test", "port": 80}));
        assert_eq!(expanded("http://[::1]:81"), json!({"protocol": "http", "host": "[::1]", "port": 81}));
        assert_eq!(expanded("a.test:443"), json!({"protocol": "https", "host": "a.test", "port": 443}));
    }
}
