//! Stations 8 and 9 for an exchange whose tries a plugin supplies: the plugin says where each goes and whether another
//! follows; how one is made, and that none follows a byte to the client, is the same as for every other exchange.

use std::rc::Rc;

use gibbon_http::Responder;
use gibbon_pdk::{Exchange, Fault, Flow, Reply, Resort, Source, Step};

use crate::answer::{Answered, Stage};
use crate::balance::Tries;
use crate::body_source::BodySource;
use crate::forward::{self, Forwarding, Tried};
use crate::worker::{Bound, Pinned, Worker};

/// No source means well with more tries than this.
const MOST_TRIES: usize = 1_000;

/// How the tries ended without an answer of an upstream.
pub enum Ended {
    Fault(Fault),
    Reply(Box<Reply>),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Ended::Fault(fault)
    }
}

/// Tries as long as the source has something to try.
///
/// # Errors
/// What the client gets in place of an upstream's answer.
#[allow(clippy::too_many_arguments)]
pub async fn forward<'c>(
    worker: &Rc<Worker>,
    pinned: &Pinned,
    bound: &Bound,
    x: &mut Exchange,
    body: &mut BodySource<'_, 'c>,
    out: &mut Option<Responder<'c>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, Ended> {
    let mut tries = Tries::default();
    for _ in 0..MOST_TRIES {
        x.transformers.clear();
        let Some(mut source) = x.attempts.take() else { break };
        let flow = match source.prepare(x, &worker.host) {
            Step::Now(flow) => flow,
            Step::Later(future) => future.await,
        };
        x.attempts = Some(source);
        match flow {
            Flow::Next => {}
            Flow::Reply(reply) => return Err(Ended::Reply(reply)),
            Flow::Fail(fault) => return Err(Ended::Fault(*fault)),
            Flow::ReadBody => body.buffer(x).await?,
        }
        let f = Forwarding::of(worker, pinned, bound, x)?;
        let (fault, balanced) = match forward::attempt(&f, x, body, out, stage, &mut tries).await {
            Tried::Done(answered) => return Ok(answered),
            Tried::Failed(fault, balanced) => (fault, balanced),
        };
        forward::end_failed(&f, x, balanced, None, &fault);
        if out.as_ref().is_none_or(Responder::begun) || fault.source == Source::Downstream {
            return Err(Ended::Fault(fault));
        }
        let resort = match x.attempts.take() {
            Some(mut source) => {
                let resort = source.failed(x, &fault, &worker.host);
                x.attempts = Some(source);
                resort
            }
            None => Resort::Fault,
        };
        match resort {
            Resort::Again => tracing::debug!(request_id = %x.id, "try failed, trying again: {fault}"),
            Resort::Reply(reply) => return Err(Ended::Reply(reply)),
            Resort::Fault => return Err(Ended::Fault(fault)),
        }
    }
    Err(Ended::Fault(Fault::plugin("a source of tries has no end")))
}

/// Lets the source look at the head of an answer.
///
/// # Errors
/// Why it does not take it.
pub fn judge(x: &mut Exchange, worker: &Worker) -> Result<(), Fault> {
    let Some(mut source) = x.attempts.take() else { return Ok(()) };
    let judged = source.answered(x, &worker.host);
    x.attempts = Some(source);
    judged
}
