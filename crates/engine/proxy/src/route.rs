//! Station 6: one look-up, then the rules that belong to a matched route.

use gibbon_message::{Scheme, Version, uri};
use gibbon_pdk::{Exchange, Protocol, Reply, Route};
use gibbon_plan::Plan;
use gibbon_router::{Query, Scratch};

use std::sync::Arc;

/// Looks the exchange up and fills in what the match says of it. `None`: no route matches.
pub fn find<'p>(plan: &'p Plan, x: &mut Exchange, scratch: &mut Scratch) -> Option<&'p Arc<Route>> {
    let path = uri::normalize(x.request.path());
    let found = plan.http.find(
        &Query {
            protocol: x.client.scheme.as_str(),
            method: x.request.method.as_str(),
            host: x.request.headers.get("host").unwrap_or_default(),
            path: &path,
            raw_query: x.request.query(),
            headers: &x.request.headers,
            sni: x.client.tls.as_ref().and_then(|t| t.sni.as_deref()),
            source: (x.client.ip, x.client.port),
            destination: (x.client.local.ip(), x.client.published_port),
        },
        scratch,
    )?;
    let route = found.value;
    let stripped = found.matched_prefix(&path).filter(|_| route.strip_path);
    let prefix = stripped.filter(|p| !p.is_empty() && *p != b"/").map(|p| String::from_utf8_lossy(p).into());
    let captures = found.captures(&path);
    let strip_len = stripped.map_or(0, <[u8]>::len);
    let normal = path.into_owned();
    x.stripped_prefix = prefix;
    x.captures = captures;
    Matching { normal, strip_len }.store(x);
    Some(route)
}

/// The normalised path and how much of it is stripped, kept until the service is known.
struct Matching {
    normal: Vec<u8>,
    strip_len: usize,
}

impl Matching {
    fn store(self, x: &mut Exchange) {
        x.slots.set(self);
    }
}

/// Computes the upstream path, once route and service are known.
pub fn set_upstream_path(x: &mut Exchange) {
    let Some(matching) = x.slots.take::<Matching>() else { return };
    let Some(route) = x.route() else { return };
    let base = x.service().and_then(|s| s.path.as_deref()).unwrap_or("/").as_bytes().to_vec();
    let handling = route.path_handling;
    let strip = route.strip_path.then_some(matching.strip_len);
    let mut raw = std::mem::take(&mut x.destination.path);
    gibbon_router::upstream_path(&mut raw, &base, &matching.normal, strip, handling == gibbon_pdk::PathHandling::V1);
    x.destination.path = raw;
}

/// Rules on the protocol of a matched route; an answer ends the exchange before any plugin runs.
#[must_use]
pub fn check_protocol(x: &Exchange, route: &Route) -> Option<Reply> {
    let speaks = |p| route.protocols.contains(p);
    if speaks(Protocol::Https) && !speaks(Protocol::Http) && x.forwarded_scheme() != "https" {
        return Some(to_https(x, route));
    }
    if speaks(Protocol::Grpc) || speaks(Protocol::Grpcs) {
        return check_grpc(x, route);
    }
    None
}

fn to_https(x: &Exchange, route: &Route) -> Reply {
    let status = route.https_redirect_status_code;
    if status == 426 {
        return Reply::error_with(426, "Please use HTTPS protocol")
            .header("Connection", "Upgrade")
            .header("Upgrade", "TLS/1.2, HTTP/1.1");
    }
    let mut location = format!("https://{}", x.forwarded_host()).into_bytes();
    location.extend_from_slice(&x.request.target);
    Reply::new(status).header("Location", location)
}

fn check_grpc(x: &Exchange, route: &Route) -> Option<Reply> {
    let is_grpc = x.request.headers.get("content-type").is_some_and(|v| v.starts_with(b"application/grpc"));
    if !is_grpc {
        return Some(Reply::error_with(415, "Non-gRPC request matched gRPC route"));
    }
    if x.request.version < Version::H2 {
        let reply = Reply::error_with(426, "Please use HTTP2 protocol");
        return Some(reply.header("Connection", "Upgrade").header("Upgrade", "HTTP/2"));
    }
    if !route.protocols.contains(Protocol::Grpc) && x.client.scheme == Scheme::Http && x.forwarded_scheme() != "https" {
        return Some(grpcs_only());
    }
    None
}

fn grpcs_only() -> Reply {
    Reply::new(200)
        .header("Content-Type", "application/grpc")
        .header("grpc-status", "1")
        .header("grpc-message", "gRPC request matched gRPCs route")
}
