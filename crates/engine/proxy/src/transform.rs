//! The body transformer of station 10: an upstream's body passes what plugins put in its way, piece by piece.
//!
//! The next piece is read only when the client has taken what the last one became. Until a transformer lets something
//! go the head stays here too, so that the answer may still be refused and another try made.

use std::future::Future;
use std::pin::pin;

use bytes::Bytes;
use gibbon_http::Responder;
use gibbon_http::client::{ClientErrorKind, Reader};
use gibbon_pdk::{
    BodyChunk, BodyTransformer, Exchange, Fault, FaultKind, Host, Phase, Piece, Retry, Source, Turn, Turning,
};
use smallvec::SmallVec;

use crate::alongside::Beside;
use crate::answer::{self, Answered, Stage};
use crate::forward::{Forwarding, Sent};
use crate::walk;

/// What an answer's body passes, and the room between two of them.
struct Line<'h> {
    transformers: SmallVec<[Box<dyn BodyTransformer>; 1]>,
    host: &'h Host,
    between: Vec<u8>,
}

impl Line<'_> {
    /// Sends a piece through all; what comes out at the end is in `out`. Whoever holds back holds all back.
    async fn push(&mut self, x: &mut Exchange, piece: Piece<'_>, out: &mut Vec<u8>) -> Turn {
        let mut total = Turn::Go;
        let mut input: Option<Vec<u8>> = None;
        let last = self.transformers.len().saturating_sub(1);
        for (number, transformer) in self.transformers.iter_mut().enumerate() {
            let mut made = std::mem::take(if number == last { out } else { &mut self.between });
            // What the one before made goes in as data; the end behind it.
            if let Some(data) = input.as_deref().filter(|data| !data.is_empty()) {
                let turn = settle(transformer.push(x, Piece::Data(data), &mut made, self.host)).await;
                total = heavier(total, turn);
            }
            if input.is_none() || !matches!(piece, Piece::Data(_)) {
                let turn = settle(transformer.push(x, piece, &mut made, self.host)).await;
                total = heavier(total, turn);
            }
            if number == last {
                *out = made;
            } else {
                let mut spent = input.replace(made).unwrap_or_default();
                spent.clear();
                self.between = spent;
            }
        }
        total
    }
}

async fn settle(turning: Turning<'_>) -> Turn {
    match turning {
        Turning::Now(turn) => turn,
        Turning::Later(future) => future.await,
    }
}

/// The turn that counts of two.
fn heavier(a: Turn, b: Turn) -> Turn {
    let weight = |turn: &Turn| match turn {
        Turn::Go => 0,
        Turn::Hold => 1,
        Turn::Over => 2,
        Turn::Refuse(_) => 3,
    };
    if weight(&b) > weight(&a) { b } else { a }
}

/// What reading brought.
enum Read<'r> {
    Data(&'r [u8]),
    End,
    Broken(Fault),
    ClientGone,
}

async fn read<'r, F: Future<Output = Sent>>(reader: &'r mut Reader<'_>, sending: &mut Beside<'_, F>) -> Read<'r> {
    // A request that the upstream takes no more of says nothing about its answer: reading goes on.
    if let Some(Sent::Client(_)) = sending.take() {
        return Read::ClientGone;
    }
    match sending.race(pin!(reader.chunk())).await {
        Some(Ok(Some(data))) => Read::Data(data),
        Some(Ok(None)) => Read::End,
        Some(Err(error)) => Read::Broken(broken(error.kind)),
        None => match sending.take() {
            Some(Sent::Client(_)) => Read::ClientGone,
            _ => Read::Data(&[]),
        },
    }
}

fn broken(kind: ClientErrorKind) -> Fault {
    let fault = match kind {
        ClientErrorKind::ReadTimeout => FaultKind::ReadTimeout,
        _ => FaultKind::Closed,
    };
    Fault::new(fault, Source::Upstream, Retry::Never, format!("upstream broke off inside its answer: {kind}"))
}

/// Passes an upstream's answer on through its transformers. `x.response` holds its head.
///
/// # Errors
/// Only before anything was sent: the try may be repeated.
pub async fn transformed<F: Future<Output = Sent>>(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    reader: &mut Reader<'_>,
    sending: &mut Beside<'_, F>,
    out: &mut Option<Responder<'_>>,
    stage: &mut Stage<'_>,
) -> Result<Answered, Fault> {
    let worker = f.worker;
    let mut line = Line { transformers: std::mem::take(&mut x.transformers), host: &worker.host, between: Vec::new() };
    let mut held = Vec::new();
    let mut turn = line.push(x, Piece::Head, &mut held).await;
    let mut ended = false;
    let buffers = x.buffer_response || walk::listens(stage.chain, stage.collection, Phase::Response);
    while !ended && (matches!(turn, Turn::Hold) || (buffers && matches!(turn, Turn::Go))) {
        (turn, ended) = match read(reader, sending).await {
            Read::Data([]) => continue,
            Read::Data(data) => (line.push(x, Piece::Data(data), &mut held).await, false),
            Read::End => (line.push(x, Piece::End, &mut held).await, true),
            Read::Broken(fault) => (line.push(x, Piece::Broken(&fault), &mut held).await, true),
            Read::ClientGone => return Err(answer::client_gone()),
        };
        if held.len() > worker.settings.max_buffered_response {
            let cause = "the answer is larger than may be held back";
            return Err(Fault::new(FaultKind::Protocol, Source::Upstream, Retry::Never, cause));
        }
    }
    match turn {
        Turn::Refuse(fault) => return Err(*fault),
        Turn::Over => ended = true,
        Turn::Go | Turn::Hold => {}
    }
    if buffers {
        return answer::respond(f, x, Bytes::from(held), out, stage).await;
    }
    answer::finish_head(worker, x, stage);
    if ended {
        // An answer that was made here has its own time.
        if !x.response.headers.contains("date") {
            x.response.headers.append_clean(b"Date", &worker.wires.date());
        }
        let body = x.replacement_body.take().unwrap_or_else(|| Bytes::from(held));
        return answer::send_whole(worker, x, body, out, stage).await.map_err(|_| answer::client_gone());
    }
    let Some(out) = out.as_mut() else { return Ok(Answered::Cut) };
    if out.head(&x.response, answer::announced(&x.response.headers)).is_err() {
        return Ok(Answered::Cut);
    }
    Ok(stream(f, x, reader, sending, out, stage, line, held).await)
}

/// The rest of an answer that has begun to leave, from `chunk` on.
#[allow(clippy::too_many_arguments)]
async fn stream<F: Future<Output = Sent>>(
    f: &Forwarding<'_>,
    x: &mut Exchange,
    reader: &mut Reader<'_>,
    sending: &mut Beside<'_, F>,
    out: &mut Responder<'_>,
    stage: &Stage<'_>,
    mut line: Line<'_>,
    first: Vec<u8>,
) -> Answered {
    let filters = walk::listens(stage.chain, stage.collection, Phase::BodyFilter);
    let mut chunk = BodyChunk { data: first, last: false };
    loop {
        if filters && (!chunk.data.is_empty() || chunk.last) {
            walk::body_filter(stage.chain, stage.collection, x, &mut chunk, &f.worker.host);
        }
        if !chunk.data.is_empty() && out.data(&chunk.data).await.is_err() {
            return cut(x, out, "the client went away inside the answer");
        }
        if chunk.last {
            return match out.finish(None).await {
                Ok(()) => Answered::Whole,
                Err(_) => cut(x, out, "the client went away inside the answer"),
            };
        }
        chunk.data.clear();
        let Ok(read) = out.flush_while(pin!(read(reader, sending))).await else {
            return cut(x, out, "the client went away inside the answer");
        };
        let turn = match read {
            Read::Data(data) => line.push(x, Piece::Data(data), &mut chunk.data).await,
            Read::End => {
                chunk.last = true;
                line.push(x, Piece::End, &mut chunk.data).await
            }
            Read::Broken(fault) => {
                chunk.last = true;
                tracing::error!(request_id = %x.id, "{fault}");
                line.push(x, Piece::Broken(&fault), &mut chunk.data).await
            }
            Read::ClientGone => return cut(x, out, "the client went away inside the answer"),
        };
        match turn {
            Turn::Refuse(fault) => return cut(x, out, &fault.cause),
            Turn::Over => chunk.last = true,
            Turn::Go | Turn::Hold => {}
        }
    }
}

fn cut(x: &Exchange, out: &mut Responder<'_>, why: &str) -> Answered {
    out.abort();
    tracing::debug!(request_id = %x.id, "answer cut off: {why}");
    Answered::Cut
}
