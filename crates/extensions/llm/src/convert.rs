//! The whole way between two dialects: requests there, answers, streams and errors back.
//!
//! Between equal dialects nothing is converted: see [`crate::tap`] for reading what passes through
//! and [`crate::json::patch`] for setting the model.

use crate::Result;
use crate::canonical::{Event, Failure, Request, Response};
use crate::dialect::{Beside, Dialect, Encoded, Host, Reply, StreamDecoder, StreamEncoder, Target};
use crate::origin::{self, StreamMarker};
use crate::pass::{self, Changes};
use crate::seen::Seen;

/// Reads a client's request and writes it for the provider.
///
/// # Errors
/// The body is not of the client's dialect, or says what the provider's cannot express: the
/// client's error either way (400).
pub fn request(
    client: Dialect,
    provider: Dialect,
    body: &[u8],
    beside: &Beside,
    target: &Target,
) -> Result<(Request, Encoded)> {
    let request = client.codec().decode_request(body, beside)?;
    let encoded = encode(&request, client, provider, target)?;
    Ok((request, encoded))
}

/// Writes a request that a client sent for one of the providers that may answer it. Called anew for
/// every target that is tried.
///
/// # Errors
/// The request says what the provider's dialect cannot express.
pub fn encode(request: &Request, client: Dialect, provider: Dialect, target: &Target) -> Result<Encoded> {
    let mut request = request.clone();
    origin::to_provider(&mut request, client, provider);
    provider.codec().encode_request(&request, target)
}

/// A client's request, ready for a provider but for address and credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The body, and what was left out of it with leave.
    pub encoded: Encoded,
    /// The client's bytes passed through: so may the answer's.
    pub passed: bool,
}

/// The whole way of a request body: passed through with `changes` where client and provider speak
/// the same dialect, converted otherwise.
///
/// # Errors
/// As [`request`].
pub fn prepare(
    client: Dialect,
    provider: Dialect,
    body: &[u8],
    beside: &Beside,
    target: &Target,
    changes: &Changes<'_>,
) -> Result<Prepared> {
    let passed = client == provider && target.host == Host::Own;
    if passed && !origin::is_marked(body) {
        let body = pass::request(client, body, changes)?;
        return Ok(Prepared { encoded: Encoded { body, dropped: Vec::new() }, passed });
    }
    let mut request = client.codec().decode_request(body, beside)?;
    if let Some(model) = changes.model {
        model.clone_into(&mut request.model);
    }
    request.stream = changes.stream.unwrap_or(request.stream);
    request.include_usage |= changes.want_usage;
    changes.overrides.apply(&mut request);
    Ok(Prepared { encoded: encode(&request, client, provider, target)?, passed })
}

/// Reads a provider's answer and writes it for the client.
///
/// # Errors
/// The answer is not of the provider's dialect: the provider's error (502).
pub fn response(provider: Dialect, client: Dialect, body: &[u8], reply: &Reply) -> Result<(Response, Encoded)> {
    let mut response = provider.codec().decode_response(body)?;
    origin::to_client(&mut response, provider, client);
    let encoded = client.codec().encode_response(&response, reply)?;
    Ok((response, encoded))
}

/// Reads a provider's error answer and writes it for the client.
#[must_use]
pub fn failure(provider: Dialect, client: Dialect, status: u16, body: &[u8]) -> (Failure, Vec<u8>) {
    let failure = provider.codec().decode_failure(status, body);
    let encoded = client.codec().encode_failure(&failure);
    (failure, encoded)
}

/// Converts a stream as it passes.
pub struct StreamConverter {
    decoder: Box<dyn StreamDecoder>,
    encoder: Box<dyn StreamEncoder>,
    marker: StreamMarker,
    events: Vec<Event>,
    seen: Seen,
}

impl StreamConverter {
    /// From the provider's dialect to the client's.
    #[must_use]
    pub fn new(provider: Dialect, client: Dialect, reply: Reply) -> Self {
        Self {
            decoder: provider.codec().stream_decoder(),
            encoder: client.codec().stream_encoder(reply),
            marker: StreamMarker::new(provider, client),
            events: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Takes the next bytes of the provider and appends what the client gets to see to `out`. A
    /// broken stream ends with an error in the client's own format; see [`Seen::failure`].
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.is_over() {
            return;
        }
        let result = self.decoder.push(chunk, &mut self.events);
        self.pass_on(result, out);
    }

    /// The provider's body has ended.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.is_over() {
            return;
        }
        let result = self.decoder.finish(&mut self.events);
        self.pass_on(result, out);
    }

    /// The connection broke, a deadline passed, or a guard cut the answer off.
    pub fn fail(&mut self, failure: Failure, out: &mut Vec<u8>) {
        if !self.is_over() {
            self.events.push(Event::Failure(failure));
            self.pass_on(Ok(()), out);
        }
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The answer is complete, or has failed: nothing more will be written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.seen.ended || self.seen.failure.is_some()
    }

    fn pass_on(&mut self, result: Result<()>, out: &mut Vec<u8>) {
        if let Err(e) = result {
            self.events.push(Event::Failure(Failure::new(502, format!("the provider's stream is broken: {e}"))));
        }
        for mut event in self.events.drain(..) {
            self.seen.event(&event);
            self.marker.push(&mut event);
            self.encoder.push(&event, out);
        }
    }
}
