//! `ngx.var`: the variables of nginx and of Kong that people read.

use gibbon_message::uri;
use gibbon_pdk::{Client, Exchange, ResponseSource};
use mlua::{Lua, LuaString, Table};

use super::{add, lossy, text};
use crate::current::with;

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "variable", |lua, name: LuaString| {
        let name = lossy(&name);
        let value = with(|x| variable(x, &name))?;
        text(lua, value)
    })
}

fn owned(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(bytes.to_vec())
}

fn header(x: &Exchange, name: &str) -> Option<Vec<u8>> {
    x.request.headers.get(&name.replace('_', "-")).map(<[u8]>::to_vec)
}

fn cookie(x: &Exchange, name: &str) -> Option<Vec<u8>> {
    let cookies = x.request.headers.get_all("cookie");
    let mut pairs = cookies.flat_map(|line| line.split(|b| *b == b';'));
    pairs.find_map(|pair| {
        let text = pair.trim_ascii();
        let equals = text.iter().position(|b| *b == b'=')?;
        (text.get(..equals)? == name.as_bytes()).then(|| text.get(equals + 1..).unwrap_or_default().to_vec())
    })
}

/// The raw value of an argument, as nginx gives it.
fn argument(x: &Exchange, name: &str) -> Option<Vec<u8>> {
    let query = x.query()?;
    query.split(|b| *b == b'&').find_map(|part| {
        let equals = part.iter().position(|b| *b == b'=')?;
        part.get(..equals)?
            .eq_ignore_ascii_case(name.as_bytes())
            .then(|| part.get(equals + 1..).unwrap_or_default().to_vec())
    })
}

/// Seconds with milliseconds.
fn seconds(ns: u64) -> Option<Vec<u8>> {
    Some(format!("{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000).into_bytes())
}

#[allow(clippy::too_many_lines)] // a table of names
fn variable(x: &Exchange, name: &str) -> Option<Vec<u8>> {
    if let Some(name) = name.strip_prefix("http_") {
        return header(x, name);
    }
    if let Some(name) = name.strip_prefix("cookie_") {
        return cookie(x, name);
    }
    if let Some(name) = name.strip_prefix("arg_") {
        return argument(x, name);
    }
    if let Some(name) = name.strip_prefix("sent_http_").or_else(|| name.strip_prefix("upstream_http_")) {
        return x.response.headers.get(&name.replace('_', "-")).map(<[u8]>::to_vec);
    }
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let number = |number: u64| Some(number.to_string().into_bytes());
    let tls = x.client.tls.as_deref();
    match name {
        "remote_addr" => text(&x.client.shown_ip()),
        "remote_port" => number(x.client.port.into()),
        "realip_remote_addr" => text(&Client::shown(x.client.peer_ip)),
        "realip_remote_port" => number(x.client.peer_port.into()),
        "binary_remote_addr" => match x.client.ip {
            std::net::IpAddr::V4(ip) => owned(&ip.octets()),
            std::net::IpAddr::V6(ip) => owned(&ip.octets()),
        },
        "request_uri" => owned(&x.request.target),
        "uri" | "document_uri" => owned(&uri::decode(x.request.path(), false)),
        "args" | "query_string" => x.query().map(<[u8]>::to_vec),
        "is_args" => text(if x.query().is_some_and(|query| !query.is_empty()) { "?" } else { "" }),
        "scheme" => text(x.client.scheme.as_str()),
        "host" => text(&x.host()),
        "hostname" | "server_name" => text("kong"),
        "request_method" => text(x.request.method.as_str()),
        "request" => Some(
            [
                x.request.method.as_str().as_bytes(),
                b" ",
                &x.request.target,
                b" ",
                x.request.version.protocol().as_bytes(),
            ]
            .concat(),
        ),
        "server_protocol" => text(x.request.version.protocol()),
        "content_type" => header(x, "content-type"),
        "content_length" => header(x, "content-length"),
        "server_addr" => text(&x.client.local.ip().to_string()),
        "server_port" => number(x.client.local.port().into()),
        "https" => text(if tls.is_some() { "on" } else { "" }),
        "http2" => text(if x.request.version >= gibbon_message::Version::H2 { "h2" } else { "" }),
        "ssl_protocol" => tls.and_then(|tls| text(tls.version)),
        "ssl_cipher" => tls.and_then(|tls| text(tls.cipher)),
        "ssl_server_name" => tls.and_then(|tls| tls.sni.as_deref().and_then(text)),
        "ssl_client_verify" => tls.and_then(|tls| text(&tls.client_verify)),
        "ssl_client_raw_cert" => {
            tls.and_then(|tls| tls.client_chain.first()).map(|der| super::text::pem("CERTIFICATE", der).into_bytes())
        }
        "status" => number(x.response.status.into()),
        "upstream_status" => (x.upstream_status != 0).then(|| x.upstream_status.to_string().into_bytes()),
        "upstream_addr" => {
            x.tries.last().and_then(|last| text(&std::net::SocketAddr::new(last.ip, last.port).to_string()))
        }
        "upstream_uri" => owned(&x.destination.path),
        "upstream_host" => x.destination.host_header.clone(),
        "upstream_scheme" => {
            let service = x.service().map(|service| service.protocol);
            x.destination.protocol.or(service).and_then(|protocol| text(protocol.as_str()))
        }
        "request_time" => {
            let end = if x.latencies.end == 0 { x.latencies.first_byte } else { x.latencies.end };
            seconds(end.saturating_sub(x.latencies.start))
        }
        "upstream_response_time" => (x.response_source == ResponseSource::Service)
            .then(|| seconds(x.latencies.first_byte.saturating_sub(x.latencies.sent)))
            .flatten(),
        "request_length" => number(x.request_bytes),
        "bytes_sent" => number(x.response_bytes),
        "body_bytes_sent" => number(x.response_body_bytes),
        "request_id" | "kong_request_id" => text(&x.id.to_string()),
        "connection" | "connection_requests" => text("1"),
        "pid" => number(std::process::id().into()),
        "msec" => seconds(x.started_ns),
        "nginx_version" => text("1.27.4"),
        _ => None,
    }
}
