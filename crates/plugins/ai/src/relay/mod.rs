//! The way of an answer back to the client: watched where client and provider speak the same, converted where they do
//! not, whole or piece by piece. What is learnt of it goes into the exchange's [`Call`].

mod inflate;
mod stream;
mod whole;

use bytes::Bytes;
use gibbon_llm::dialect::{Dialect, Reply as Answer};
use gibbon_llm::provider::Operation;
use gibbon_llm::seen::Seen;
use gibbon_pdk::{BodyTransformer, Clock, Exchange};

use crate::call::Call;
use inflate::Inflate;
use stream::Stream;
use whole::{Kind, Whole};

/// What decides about the way.
#[derive(Clone, Debug)]
pub struct Way {
    /// What the client speaks; `None`: nothing is understood and nothing changed.
    pub client: Option<Dialect>,
    pub provider: Option<Dialect>,
    /// The request went through as it was.
    pub passed: bool,
    pub operation: Operation,
    pub route_type: String,
    pub provider_name: &'static str,
    /// The client asked for a stream.
    pub stream: bool,
    /// Usage in the stream is for the client: it asked for it, or the provider sends it by itself.
    pub wants_usage: bool,
    /// The answer's text is logged.
    pub keeps_payload: bool,
    /// Another target may still take over: nothing leaves before the first token.
    pub holds: bool,
    /// The client's request, for answers that need it.
    pub request: Bytes,
}

/// What the answer whose head is in `x.response` has to pass; `None` if nothing.
pub fn of(x: &mut Exchange, way: Way, answer: Answer) -> Option<Box<dyn BodyTransformer>> {
    let (client, provider) = (way.client?, way.provider?);
    let status = x.response.status;
    // Gemini's clients may want an array where the provider was asked for events.
    let passes = way.passed && client == provider && !(answer.array && client == Dialect::Gemini && way.stream);
    if matches!(status, 204 | 304) || (status >= 300 && client == provider) {
        return None;
    }
    let inflate = Inflate::of(&mut x.response.headers);
    let chat = matches!(way.operation, Operation::Chat | Operation::Completions | Operation::Responses);
    if status < 300 && chat && way.stream && is_stream(x) {
        return Some(Box::new(Stream::new(x, &way, answer, passes, inflate)));
    }
    let kind = match way.operation {
        _ if status >= 300 => Kind::Failure(status),
        Operation::CountTokens if !passes => Kind::Count,
        Operation::Embeddings if !passes => Kind::Embeddings,
        _ if chat && way.stream && !passes => Kind::AnswerAsStream,
        _ if chat && !passes => Kind::Answer,
        _ => Kind::Watched,
    };
    Some(Box::new(Whole::new(way, answer, client, provider, kind, inflate)))
}

/// Whether the answer comes in pieces that mean something: every framing that providers stream in.
fn is_stream(x: &Exchange) -> bool {
    let value = x.response.headers.get_str("content-type").unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        media.as_str(),
        "text/event-stream"
            | "application/vnd.amazon.eventstream"
            | "application/x-ndjson"
            | "application/stream+json"
            | "application/jsonl"
    )
}

/// Notes what was seen.
pub fn note(x: &mut Exchange, seen: &Seen, over: bool, clock: &dyn Clock) {
    if let Some(call) = x.slots.get_mut::<Call>() {
        let now = clock.monotonic_ns();
        call.progress(seen, now);
        if over {
            call.ended = now;
        }
    }
}

/// Keeps text of the answer for the log, up to a bound: a log entry is no archive.
fn keep_payload(x: &mut Exchange, text: &[u8]) {
    const MOST: usize = 1 << 20;
    if let Some(call) = x.slots.get_mut::<Call>() {
        let kept = call.response_payload.get_or_insert_default();
        let room = MOST.saturating_sub(kept.len()).min(text.len());
        kept.push_str(&String::from_utf8_lossy(text.get(..room).unwrap_or_default()));
    }
}
