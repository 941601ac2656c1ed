//! From documents, which the schema has checked, to the forms that the request path uses.

use std::time::Duration;

use gibbon_pdk::{Document, PathHandling, Protocol, Protocols, Route, Service, Timeouts, UpstreamTls};
use gibbon_router::{Address, Endpoint, Flavor, RouteSpec, Subsystem};
use serde_json::Value;
use uuid::Uuid;

use crate::directory::{foreign, id_of, text};

pub(crate) fn service(document: &Value, workspace: Uuid) -> Result<Service, String> {
    let id = id_of(document).ok_or("id is missing")?;
    let protocol = text(document, "protocol").unwrap_or_else(|| "http".into());
    Ok(Service {
        id,
        id_text: id.to_string().into(),
        name: text(document, "name"),
        workspace,
        protocol: Protocol::parse(&protocol).ok_or_else(|| format!("unknown protocol '{protocol}'"))?,
        host: text(document, "host").ok_or("host is missing")?,
        port: number(document, "port").unwrap_or(80) as u16,
        path: text(document, "path"),
        retries: number(document, "retries").unwrap_or(5) as u16,
        timeouts: timeouts(document),
        tls: upstream_tls(document),
        document: shown(document, workspace),
    })
}

/// The document with its workspace, as log entries and Lua plugins of Kong see it.
fn shown(document: &Value, workspace: Uuid) -> Document {
    let mut document = document.clone();
    if let Some(fields) = document.as_object_mut() {
        fields.insert("ws_id".to_owned(), workspace.to_string().into());
    }
    Document::new(&document)
}

fn timeouts(document: &Value) -> Timeouts {
    let millis = |field| Duration::from_millis(number(document, field).unwrap_or(60_000));
    Timeouts { connect: millis("connect_timeout"), write: millis("write_timeout"), read: millis("read_timeout") }
}

fn upstream_tls(document: &Value) -> UpstreamTls {
    let ids =
        |list: &Vec<Value>| list.iter().filter_map(Value::as_str).filter_map(|s| Uuid::parse_str(s).ok()).collect();
    UpstreamTls {
        verify: document.get("tls_verify").and_then(Value::as_bool),
        verify_depth: number(document, "tls_verify_depth").map(|n| n as u8),
        ca_certificates: document.get("ca_certificates").and_then(Value::as_array).map(ids),
        client_certificate: foreign(document, "client_certificate"),
        ..UpstreamTls::default()
    }
}

pub(crate) fn route(document: &Value, workspace: Uuid) -> Result<Route, String> {
    let id = id_of(document).ok_or("id is missing")?;
    let protocols = document.get("protocols").and_then(Value::as_array).map(|l| self::protocols(l)).unwrap_or_default();
    let is_grpc = protocols.contains(Protocol::Grpc) || protocols.contains(Protocol::Grpcs);
    let flag = |field, default| document.get(field).and_then(Value::as_bool).unwrap_or(default);
    Ok(Route {
        id,
        id_text: id.to_string().into(),
        name: text(document, "name"),
        workspace,
        protocols,
        https_redirect_status_code: number(document, "https_redirect_status_code").unwrap_or(426) as u16,
        strip_path: !is_grpc && flag("strip_path", true),
        preserve_host: flag("preserve_host", false),
        path_handling: match document.get("path_handling").and_then(Value::as_str) {
            Some("v1") => PathHandling::V1,
            _ => PathHandling::V0,
        },
        request_buffering: flag("request_buffering", true),
        response_buffering: flag("response_buffering", true),
        service: foreign(document, "service"),
        document: shown(document, workspace),
    })
}

/// The set named by a list of protocol names; unknown names were refused by the schema.
pub(crate) fn protocols(list: &[Value]) -> Protocols {
    let mut set = Protocols::default();
    for protocol in list.iter().filter_map(Value::as_str).filter_map(Protocol::parse) {
        set.insert(protocol);
    }
    set
}

/// Checks a route as the router will read it.
///
/// # Errors
/// The text for the answer.
pub fn check_route(flavor: Flavor, document: &Value) -> Result<(), String> {
    route_spec(document).and_then(|spec| gibbon_router::validate(flavor, &spec))
}

/// What the router needs of a route.
pub(crate) fn route_spec(document: &Value) -> Result<RouteSpec, String> {
    let names = document.get("protocols").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    Ok(RouteSpec {
        id: id_of(document).ok_or("id is missing")?,
        protocols: names.filter_map(gibbon_router::Protocol::parse).collect(),
        methods: texts(document.get("methods")),
        hosts: texts(document.get("hosts")),
        paths: texts(document.get("paths")),
        headers: headers(document),
        snis: texts(document.get("snis")),
        sources: endpoints(document, "sources")?,
        destinations: endpoints(document, "destinations")?,
        expression: text(document, "expression").map(String::from),
        priority: number(document, "priority").unwrap_or(0),
        regex_priority: document.get("regex_priority").and_then(Value::as_i64).unwrap_or(0),
        created_at: document.get("created_at").and_then(Value::as_f64).unwrap_or(0.0) as i64,
    })
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn headers(document: &Value) -> Vec<(String, Vec<String>)> {
    let map = document.get("headers").and_then(Value::as_object);
    map.into_iter().flatten().map(|(name, values)| (name.clone(), texts(Some(values)))).collect()
}

fn endpoints(document: &Value, field: &str) -> Result<Vec<Endpoint>, String> {
    let list = document.get(field).and_then(Value::as_array).into_iter().flatten();
    list.map(|entry| {
        let address = match entry.get("ip").and_then(Value::as_str) {
            Some(ip) => {
                Some(Address::parse(ip).ok_or_else(|| format!("{field}: '{ip}' is neither an address nor a network"))?)
            }
            None => None,
        };
        Ok(Endpoint { address, port: number(entry, "port").and_then(|p| u16::try_from(p).ok()) })
    })
    .collect()
}

/// The protocols of each subsystem.
pub(crate) const STREAM: Protocols =
    Protocols::of(&[Protocol::Tcp, Protocol::Tls, Protocol::TlsPassthrough, Protocol::Udp]);
pub(crate) const HTTP: Protocols = Protocols::of(&[Protocol::Http, Protocol::Https, Protocol::Grpc, Protocol::Grpcs]);

/// Which router a route stands in.
pub(crate) fn subsystem(protocols: Protocols) -> Subsystem {
    if protocols.intersects(STREAM) { Subsystem::Stream } else { Subsystem::Http }
}

pub(crate) fn number(document: &Value, field: &str) -> Option<u64> {
    let value = document.get(field)?;
    value.as_u64().or_else(|| value.as_f64().map(|f| f as u64))
}
