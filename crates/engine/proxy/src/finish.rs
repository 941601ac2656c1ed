//! Station 11: exactly once per exchange, however it ended. Times are taken, the log phase runs, the
//! access log gets its line.

use gibbon_http::Responder;
use gibbon_pdk::{Exchange, Fault, Source, forget_log_lines};
use gibbon_plan::Chain;

use crate::body_source::BodySource;
use crate::caught::{self, Panicked};
use crate::request_debug;
use crate::run::WalkedChain;
use crate::walk::{self, Collection};
use crate::worker::Worker;

/// Ends the exchange.
pub fn finish(
    worker: &Worker,
    x: &mut Exchange,
    body: &BodySource<'_, '_>,
    out: Option<&Responder<'_>>,
    walked: &WalkedChain,
) {
    x.latencies.end = worker.node.clock.monotonic_ns();
    x.request_bytes = x.request_bytes.max(body.bytes_received());
    if let Some(out) = out {
        x.response_bytes += out.bytes_sent();
        x.response_body_bytes += out.body_bytes_sent();
    }
    worker.counters.requests.add(1);
    if let Err(fault) = log_phase(worker, x, &walked.chain, &walked.collection) {
        report(x, &fault);
    }
    if x.trace.is_watched() {
        request_debug::log(x, &*worker.node.clock);
    }
    if let Some(log) = &worker.access_log {
        log.write(x);
    }
    forget_log_lines(x.id);
}

/// Runs the log phase; a panic in it costs the plugins behind it their turn.
///
/// # Errors
/// The panic.
pub fn log_phase(worker: &Worker, x: &mut Exchange, chain: &Chain, collection: &Collection) -> Result<(), Fault> {
    caught::guard(|| walk::log(chain, collection, x, &worker.host)).map_err(|panicked| of_panic(worker, &panicked))
}

/// Tells the error log of a fault, once, at the level that its source deserves.
pub fn report(x: &Exchange, fault: &Fault) {
    let status = fault.status();
    match fault.source {
        Source::Downstream => {
            tracing::info!(status, client = %x.client.ip, request_id = %x.id, "{fault}");
        }
        Source::Upstream | Source::Ourselves | Source::Plugin => {
            let (client, request, host) = (x.client.ip, request_line(x), x.host());
            tracing::error!(status, %client, server = "kong", request, host, request_id = %x.id, "{fault}");
        }
    }
}

/// As it came, but for bytes that are no text.
pub fn request_line(x: &Exchange) -> String {
    let head = &x.request;
    format!("{} {} {}", head.method.as_str(), String::from_utf8_lossy(&head.target), head.version.protocol())
}

/// Counts a panic; the fault is to be reported.
pub fn of_panic(worker: &Worker, panicked: &Panicked) -> Fault {
    worker.counters.panics.add(1);
    Fault::internal(format!("panic: {}", panicked.0))
}

/// Answers an exchange whose code panicked, if nothing was sent yet.
pub async fn panicked(worker: &Worker, x: &mut Exchange, panicked: &Panicked, out: &mut Option<Responder<'_>>) {
    let fault = of_panic(worker, panicked);
    report(x, &fault);
    let Some(responder) = out else { return };
    if responder.begun() {
        responder.abort();
        return;
    }
    let nobody = Chain::default();
    let mut stage = crate::answer::Stage { chain: &nobody, collection: &Collection::new() };
    let _ = crate::answer::fault(worker, x, &fault, true, out, &mut stage).await;
}
