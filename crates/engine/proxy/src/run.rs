//! The path of a request, top to bottom. Whoever has read this file has read the product.

use std::pin::pin;
use std::rc::Rc;

use gibbon_http::{ConnInfo, HeadError, RequestBody, Responder, Service};
use gibbon_message::RequestHead;
use gibbon_pdk::{Exchange, Fault, FaultKind, Instrumentations, Retry, Source, SpanKind};
use gibbon_plan::Chain;

use crate::answer::{self, Answered, Stage};
use crate::body_source::BodySource;
use crate::forward::{self, Forwarding};
use crate::settings::ConnectionFacts;
use crate::walk::{self, Collection, Waiting, Walked};
use crate::worker::{Pinned, Worker};
use crate::{attempts, begin, caught, finish, route};

/// The gateway as the wire sees it: one per worker.
pub struct Gateway {
    pub worker: Rc<Worker>,
}

impl Service for Gateway {
    type Info = ConnectionFacts;

    async fn call(
        self: &Rc<Self>,
        conn: &ConnInfo<ConnectionFacts>,
        head: &mut RequestHead,
        body: RequestBody<'_>,
        out: Responder<'_>,
    ) {
        let worker = &self.worker;
        let mut x = worker.take_exchange();
        let mut body = BodySource::new(body, &worker.settings);
        begin::begin(&mut x, head, &conn.info, &body, &worker.settings, &*worker.node.clock, &worker.ids);
        let mut out = Some(out);
        let pinned = worker.pin();
        if pinned.traces {
            x.trace.begin(worker.host.node.tracing.instrumentations);
        }
        let mut walked = WalkedChain::new(Rc::clone(&pinned.global));
        let refused = conn.info.refused;
        let ended = caught::catch(pin!(run(worker, pinned, refused, &mut x, &mut body, &mut out, &mut walked))).await;
        if let Err(panicked) = ended {
            Box::pin(finish::panicked(worker, &mut x, &panicked, &mut out)).await;
        }
        finish::finish(worker, &mut x, &body, out.as_ref(), &walked);
        std::mem::swap(&mut x.request, head);
        worker.give_back(x);
    }

    async fn refuse(
        self: &Rc<Self>,
        conn: &ConnInfo<ConnectionFacts>,
        error: HeadError,
        partial: &RequestHead,
        out: Responder<'_>,
    ) {
        let worker = &self.worker;
        let mut x = worker.take_exchange();
        let body = BodySource::absent(&worker.settings);
        let mut head = partial.clone();
        begin::begin(&mut x, &mut head, &conn.info, &body, &worker.settings, &*worker.node.clock, &worker.ids);
        let mut out = Some(out);
        let pinned = worker.pin();
        if pinned.traces {
            x.trace.begin(worker.host.node.tracing.instrumentations);
            x.trace.expect(pinned.global.tracers);
        }
        let walked = WalkedChain::early(Rc::clone(&pinned.global), &x);
        let fault = Fault::new(FaultKind::Status(error.status()), Source::Downstream, Retry::Never, error.to_string());
        let mut stage = walked.stage();
        let _ = answer::fault(worker, &mut x, &fault, false, &mut out, &mut stage).await;
        finish::finish(worker, &mut x, &body, out.as_ref(), &walked);
        worker.give_back(x);
    }
}

/// The chain that an exchange goes through, and what it collected of it.
pub struct WalkedChain {
    pub chain: Rc<Chain>,
    pub collection: Collection,
}

impl WalkedChain {
    fn new(chain: Rc<Chain>) -> Self {
        WalkedChain { chain, collection: Collection::new() }
    }

    /// For an exchange that ends before `access`: the global plugins see its answer.
    fn early(chain: Rc<Chain>, x: &Exchange) -> Self {
        let mut walked = WalkedChain::new(chain);
        walk::collect_global(&walked.chain, x, &mut walked.collection);
        walked
    }

    pub fn stage(&self) -> Stage<'_> {
        Stage { chain: &self.chain, collection: &self.collection }
    }
}

// A future is as large as its largest state, and what is awaited is moved into place: what few exchanges need is
// awaited in a box, here and below, so that all others stay small.

/// Stations 5 to 10.
async fn run<'c>(
    worker: &Rc<Worker>,
    pinned: Rc<Pinned>,
    refused: Option<u16>,
    x: &mut Exchange,
    body: &mut BodySource<'_, 'c>,
    out: &mut Option<Responder<'c>>,
    walked: &mut WalkedChain,
) {
    let ended = match refused {
        None => stations(worker, pinned, x, body, out, walked).await,
        Some(status) => {
            *walked = WalkedChain::early(Rc::clone(&pinned.global), x);
            let cause = "the client's certificate is not accepted";
            Err(Fault::new(FaultKind::Status(status), Source::Downstream, Retry::Never, cause).into())
        }
    };
    let sent = match ended {
        Ok(answered) => Ok(answered),
        Err(Ending::Reply(reply)) => Box::pin(answer::own(worker, x, *reply, out, &mut walked.stage())).await,
        Err(Ending::Fault(fault)) => {
            finish::report(x, &fault);
            if fault.kind == FaultKind::ClientAborted || out.as_ref().is_none_or(Responder::begun) {
                abort(x, out);
                return;
            }
            Box::pin(answer::fault(worker, x, &fault, true, out, &mut walked.stage())).await
        }
    };
    if !matches!(sent, Ok(Answered::Whole)) {
        abort(x, out);
    }
}

fn abort(x: &mut Exchange, out: &mut Option<Responder<'_>>) {
    if x.response.status == 0 {
        x.response.status = 499;
    }
    if let Some(out) = out {
        out.abort();
    }
}

/// Why the stations were left early.
enum Ending {
    Reply(Box<gibbon_pdk::Reply>),
    Fault(Box<Fault>),
}

impl From<attempts::Ended> for Ending {
    fn from(ended: attempts::Ended) -> Self {
        match ended {
            attempts::Ended::Fault(fault) => fault.into(),
            attempts::Ended::Reply(reply) => Ending::Reply(reply),
        }
    }
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Ending::Fault(Box::new(fault))
    }
}

fn go_on(walked: Walked) -> Result<(), Ending> {
    match walked {
        Walked::On => Ok(()),
        Walked::Reply(reply) => Err(Ending::Reply(reply)),
        Walked::Fault(fault) => Err(Ending::Fault(fault)),
    }
}

async fn stations<'c>(
    worker: &Rc<Worker>,
    pinned: Rc<Pinned>,
    x: &mut Exchange,
    body: &mut BodySource<'_, 'c>,
    out: &mut Option<Responder<'c>>,
    walked: &mut WalkedChain,
) -> Result<Answered, Ending> {
    let host = &worker.host;
    let clock = &*worker.node.clock;

    // 5. rewrite: the global chain only.
    x.trace.enter("rewrite", clock);
    let rewritten = walk::global(Waiting::Rewrite, &pinned.global, x, host, body).await;
    x.trace.leave(1, clock);
    if !matches!(rewritten, Walked::On) {
        *walked = WalkedChain::early(Rc::clone(&pinned.global), x);
        x.trace.expect(pinned.global.tracers);
    }
    if x.trace.is_on() {
        x.trace.times.rewrite_end = clock.monotonic_ns();
    }
    go_on(rewritten)?;

    // 6. route: one look-up, then the rules of the matched route.
    let span = x.trace.start(Instrumentations::ROUTER, clock, || SpanKind::Router);
    if x.trace.is_watched() {
        x.trace.enter("access", clock);
        x.trace.enter("router", clock);
    }
    let found = route::find(worker, &pinned, x);
    x.trace.end(span, clock);
    x.trace.leave(2, clock);
    x.trace.expect(found.as_ref().map_or(pinned.global.tracers, |bound| bound.chain.tracers));
    let Some(bound) = found else {
        *walked = WalkedChain::early(Rc::clone(&pinned.global), x);
        let reply = gibbon_pdk::Reply::error_with(404, "no Route matched with those values");
        return Err(Ending::Reply(Box::new(reply)));
    };
    x.matched = Some(Rc::clone(&bound.matched));
    x.workspace = bound.matched.route.workspace;
    walked.chain = Rc::clone(&bound.chain);
    if let Some(reply) = route::check_protocol(x, &bound.matched.route) {
        walk::collect_global(&walked.chain, x, &mut walked.collection);
        return Err(Ending::Reply(Box::new(reply)));
    }
    body.check_announced()?;

    // 7. access: walk the chain by priority, collecting as it goes.
    let chain = Rc::clone(&walked.chain);
    if x.trace.is_on() {
        x.trace.times.access_start = clock.monotonic_ns();
    }
    x.trace.enter("access", clock);
    let accessed = walk::collect(Waiting::Access, &chain, x, host, body, &mut walked.collection).await;
    x.trace.leave(1, clock);
    x.latencies.access_end = worker.node.clock.monotonic_ns();
    go_on(accessed)?;

    // 8 and 9. balance and forward, as often as the rules allow; 10. answer.
    if x.attempts.is_some() {
        let mut stage = walked.stage();
        // Not on the heap: the room of the other way to forward lies here unused, and an answer may stream for an hour.
        return Ok(attempts::forward(worker, pinned, &bound, x, body, out, &mut stage).await?);
    }
    let forwarding = Forwarding::of(worker, pinned, &bound, x)?;
    if forwarding.buffers_request(x) {
        Box::pin(body.buffer(x)).await?;
    }
    Ok(forward::forward(&forwarding, x, body, out, &mut walked.stage()).await?)
}
