//! Station 11: exactly once per exchange, however it ended. Times are taken, the log phase runs, the
//! access log gets its line.

use gibbon_http::Responder;
use gibbon_pdk::{Exchange, Fault, LogInterest, Source, forget_log_lines};

use crate::body_source::BodySource;
use crate::run::WalkedChain;
use crate::walk;
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
    walk::log(&walked.chain, &walked.collection, x, &worker.host);
    if let Some(log) = &worker.access_log {
        log(x);
    }
    if LogInterest::exists() {
        forget_log_lines(x.id);
    }
}

/// Tells the error log of a fault, once, at the level that its source deserves.
pub fn report(x: &Exchange, fault: &Fault) {
    let status = fault.status();
    let client = x.client.ip;
    match fault.source {
        Source::Downstream => tracing::info!(request_id = %x.id, %client, status, "{fault}"),
        Source::Upstream | Source::Ourselves | Source::Plugin => {
            tracing::error!(request_id = %x.id, %client, status, "{fault}");
        }
    }
}

/// Answers an exchange whose code panicked, if nothing was sent yet.
pub async fn panicked(worker: &Worker, x: &mut Exchange, out: &mut Option<Responder<'_>>) {
    worker.counters.panics.add(1);
    let Some(responder) = out else { return };
    if responder.begun() {
        responder.abort();
        return;
    }
    let nobody = gibbon_plan::Chain::default();
    let mut stage = crate::answer::Stage { chain: &nobody, collection: &walk::Collection::new() };
    let fault = Fault::internal("a panic ended the exchange");
    let _ = crate::answer::fault(worker, x, &fault, true, out, &mut stage).await;
}
