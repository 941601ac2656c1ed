//! Station 4: an exchange begins. Its id, its times, and who the client is.

use gibbon_message::RequestHead;
use gibbon_pdk::{Clock, Exchange, RequestId};

use crate::body_source::BodySource;
use crate::random::RequestIds;
use crate::request_debug;
use crate::settings::{ConnectionFacts, ProxySettings};

/// Moves the head into a cleared exchange and fills in what is known before any rule runs.
pub fn begin(
    x: &mut Exchange,
    head: &mut RequestHead,
    facts: &ConnectionFacts,
    body: &BodySource<'_, '_>,
    settings: &ProxySettings,
    clock: &dyn Clock,
    ids: &RequestIds,
) {
    std::mem::swap(&mut x.request, head);
    x.id = RequestId(ids.next());
    x.started_ns = clock.wall_ns();
    x.latencies.start = clock.monotonic_ns();
    x.workspace = settings.workspace;
    x.client.clone_from(&facts.client);
    x.client.tls.clone_from(&facts.tls);
    x.body = body.initial();
    x.request_bytes = body.bytes_received();
    find_client(x, facts, settings);
    if settings.request_debug.is_some() && request_debug::is_asked(&x.request.headers) {
        request_debug::begin(x, settings);
    }
}

/// Trust decides on forwarded headers, and on whether a header may name the client.
fn find_client(x: &mut Exchange, facts: &ConnectionFacts, settings: &ProxySettings) {
    let rules = &settings.real_ip;
    x.client.trusted = if facts.over_unix { rules.trust_unix } else { rules.is_trusted(x.client.peer_ip) };
    let may_name = if facts.over_unix { rules.trust_unix } else { rules.may_name(x.client.peer_ip) };
    if may_name && let Some((ip, port)) = rules.client(&x.request.headers) {
        x.client.ip = ip;
        x.client.port = port.unwrap_or(x.client.port);
    }
}
