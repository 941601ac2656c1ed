//! Active health checks: one worker of the node sends the probes that are due and reports what it found.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gibbon_balance::{AddressIndex, Outcome, ProbeKind, ProbeSchedule, Source};
use gibbon_http::BodyLength;
use gibbon_http::client::{Answer, Connection, Timeouts};
use gibbon_message::{Headers, Method, ResponseHead};
use gibbon_net::{ConnectAddress, ConnectFailure, Target, TlsTarget};
use gibbon_pdk::UpstreamTls;
use uuid::Uuid;

use crate::upstream_tls::profile;
use crate::upstreams::Live;
use crate::worker::Worker;

/// How often it is looked whether a probe is due.
const LOOK: Duration = Duration::from_millis(50);

/// Probes for ever; run it on one worker.
pub async fn run(worker: Rc<Worker>) {
    let schedules: RefCell<HashMap<Uuid, ProbeSchedule>> = RefCell::default();
    let mut due = Vec::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let all = worker.node.upstreams.all();
        schedules.borrow_mut().retain(|id, _| all.iter().any(|live| live.upstream.id == *id));
        for live in all.into_iter().filter(|live| is_probed(live)) {
            due.clear();
            let now = worker.node.upstreams.now_ms();
            let mut schedules = schedules.borrow_mut();
            let schedule = schedules.entry(live.upstream.id).or_default();
            let _ = schedule.due(&live.balancer, &live.health, now, &mut due);
            for batch in due.chunks(live.upstream.probe.concurrency.max(1)) {
                for address in batch {
                    tokio::task::spawn_local(probe(Rc::clone(&worker), Arc::clone(&live), *address));
                }
            }
        }
    }
}

fn is_probed(live: &Live) -> bool {
    live.upstream.checks.active.is_on() && live.upstream.probe.kind.runs_for(false)
}

async fn probe(worker: Rc<Worker>, live: Arc<Live>, index: AddressIndex) {
    let limit = Duration::from_millis(live.upstream.probe.timeout_ms.max(1));
    let outcome = tokio::time::timeout(limit, ask(&worker, &live, index, limit)).await.unwrap_or(Outcome::Timeout);
    let now = worker.node.upstreams.now_ms();
    if let Some(change) = live.health.report(index, Source::Active, outcome, now) {
        let address = live.balancer.address(index).map(gibbon_balance::Address::socket);
        let state = if change.healthy { "healthy" } else { "unhealthy" };
        if let Some(address) = address {
            tracing::warn!("upstream '{}': target {address} is now {state} (active)", live.upstream.name);
        }
    }
}

/// One probe: connect, and for HTTP ask for a status.
async fn ask(worker: &Rc<Worker>, live: &Live, index: AddressIndex, limit: Duration) -> Outcome {
    let Some(address) = live.balancer.address(index) else { return Outcome::TcpFailure };
    let probe = &live.upstream.probe;
    let host = gibbon_balance::host_name(address, live.upstream.host_header.as_deref());
    let secure = matches!(probe.kind, ProbeKind::Https | ProbeKind::Grpcs);
    let tls = if secure {
        let rules = UpstreamTls { verify: Some(probe.verify), ..UpstreamTls::default() };
        let name = probe.sni.as_deref().unwrap_or(host);
        let profile =
            Rc::new(profile(&rules, live.upstream.client_certificate, name, false, &worker.settings.upstream));
        match worker.tls.get(&profile, &worker.pin().plan, &worker.node, &worker.settings.upstream) {
            Ok(tls) => Some(tls),
            Err(_) => return Outcome::TcpFailure,
        }
    } else {
        None
    };
    let at = ConnectAddress::Ip(address.socket());
    let target = Target {
        address: &at,
        timeout: limit,
        tls: tls.as_ref().map(|(tls, name)| TlsTarget { tls, name }),
        proxy_header: None,
    };
    let stream = match worker.connector.connect(&target).await {
        Ok(stream) => stream,
        Err(error) if error.failure() == ConnectFailure::Timeout => return Outcome::Timeout,
        Err(_) => return Outcome::TcpFailure,
    };
    let mut connection = Connection::new(stream, &worker.wires, Rc::clone(&worker.client_settings));
    let (mut writer, mut reader) = connection.exchange(Timeouts { read: limit, send: limit });
    let headers = request_headers(live, host, address.port, secure);
    if writer.head(&Method::Get, probe.path.as_bytes(), &headers, BodyLength::None).is_err()
        || writer.finish(None).await.is_err()
    {
        return Outcome::TcpFailure;
    }
    let mut head = ResponseHead::default();
    loop {
        match reader.head(&mut head, &Method::Get).await {
            Ok(Answer::Informational) => {}
            Ok(_) => return Outcome::Status(head.status),
            Err(error) if error.received => return Outcome::NotHttp,
            Err(_) => return Outcome::TcpFailure,
        }
    }
}

fn request_headers(live: &Live, host: &str, port: u16, secure: bool) -> Headers {
    let mut text = String::new();
    gibbon_balance::write_host_header(&mut text, host, port, if secure { 443 } else { 80 });
    let mut headers = Headers::new();
    headers.append("Host", text);
    headers.append_clean(b"Connection", b"close");
    headers.append_clean(b"User-Agent", concat!("gibbon/", env!("CARGO_PKG_VERSION"), " (healthchecks)").as_bytes());
    for (name, values) in &live.upstream.probe.headers {
        for value in values {
            headers.append(&**name, &**value);
        }
    }
    headers
}
