//! Station 6: one look-up, then the rules that belong to a matched route.

use std::rc::Rc;

use gibbon_message::{Scheme, Version, uri};
use gibbon_pdk::{Exchange, Matched, Reply, Route};
use gibbon_router::{Captures, Flavor, PathHandling, Protocol, Query, UriParts, upstream_uri};
use smallvec::SmallVec;

use crate::worker::{Bound, Pinned, Worker};

/// Looks the exchange up and fills in what the match says of it, the upstream's path included.
/// `None`: no route matches.
pub fn find(worker: &Worker, pinned: &Pinned, x: &mut Exchange) -> Option<Rc<Bound>> {
    let mut target = std::mem::take(&mut x.destination.path);
    let path = uri::normalize(x.request.path());
    let query = Query {
        protocol: if x.client.scheme == Scheme::Https { Protocol::Https } else { Protocol::Http },
        method: x.request.method.as_str(),
        host: x.request.headers.get("host").unwrap_or_default(),
        path: &path,
        raw_query: x.request.query(),
        headers: &x.request.headers,
        sni: x.client.tls.as_ref().and_then(|t| t.sni.as_deref()),
        source: (x.client.ip, x.client.port),
        destination: (x.client.local.ip(), x.client.published_port),
    };
    let found = worker.with_scratch(|scratch| {
        let found = pinned.plan.http.find(&query, scratch)?;
        let bound = pinned.bind(found.value);
        let Matched { route, service, .. } = &*bound.matched;
        let parts = UriParts {
            service_path: service.as_ref().and_then(|s| s.path.as_deref()).map(str::as_bytes),
            strip_path: route.strip_path,
            matched: found.matched_path.map(<[u8]>::len),
            path: &path,
            query: None,
            handling: match route.path_handling {
                gibbon_pdk::PathHandling::V0 => PathHandling::V0,
                gibbon_pdk::PathHandling::V1 if pinned.plan.http.flavor() == Flavor::Traditional => PathHandling::V1,
                gibbon_pdk::PathHandling::V1 => PathHandling::V0,
            },
        };
        upstream_uri(&parts, &mut target);
        let prefix = found.matched_path.filter(|p| route.strip_path && !p.is_empty() && *p != b"/");
        let prefix = prefix.map(|p| String::from_utf8_lossy(p).into());
        Some((bound, prefix, found.captures().map(flatten).unwrap_or_default()))
    });
    x.destination.path = target;
    let (bound, prefix, captures) = found?;
    x.stripped_prefix = prefix;
    x.captures = captures;
    Some(bound)
}

/// Captures by name, positions being names too.
fn flatten(captures: Captures) -> SmallVec<[(Box<str>, Box<str>); 0]> {
    let text = |bytes: &[u8]| -> Box<str> { String::from_utf8_lossy(bytes).into() };
    let numbered = captures
        .numbered
        .iter()
        .enumerate()
        .filter_map(|(number, group)| group.as_ref().map(|group| (number.to_string().into(), text(group))));
    numbered.chain(captures.named.iter().map(|(name, group)| (name.as_str().into(), text(group)))).collect()
}

/// Rules on the protocol of a matched route; an answer ends the exchange before any plugin runs.
#[must_use]
pub fn check_protocol(x: &Exchange, route: &Route) -> Option<Reply> {
    let speaks = |p| route.protocols.contains(p);
    use gibbon_pdk::Protocol;
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
    let content_type = if status < 307 { "text/html" } else { "text/html; charset=UTF-8" };
    Reply::bytes(status, content_type, crate::error_body::nginx_page(status, None)).header("Location", location)
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
    if !route.protocols.contains(gibbon_pdk::Protocol::Grpc)
        && x.client.scheme == Scheme::Http
        && x.forwarded_scheme() != "https"
    {
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
