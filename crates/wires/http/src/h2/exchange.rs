//! One stream of a server connection: the two halves a service is given.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use gibbon_message::{Headers, ResponseHead};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};

use super::fields_to;
use super::receive::Inflow;
use super::send::{Outflow, Pace, StreamCell, wire_error};
use crate::h1::{Stage, WireError};
use crate::{BodyError, BodyLength, Counters, Gone, SendError, ServerSettings, Worker};

/// What both halves of an exchange share.
pub(crate) struct Link<'a> {
    pub worker: &'a Worker,
    pub settings: &'a ServerSettings,
    pub respond: RefCell<SendResponse<Bytes>>,
    pub stream: StreamCell,
    pub head_request: bool,
    pub continue_wanted: Cell<bool>,
    pub stage: Cell<Stage>,
    /// The connection is to take no further streams.
    pub close_after: &'a Cell<bool>,
}

impl Link<'_> {
    fn pace(&self) -> Pace<'_> {
        Pace { stream: &self.stream, worker: self.worker, timeout: self.settings.send_timeout }
    }

    /// Ready when the client has reset the stream or is gone.
    fn poll_reset(&self, cx: &mut Context<'_>) -> Poll<()> {
        let reset = match self.stream.borrow_mut().as_mut() {
            Some(stream) => stream.poll_reset(cx),
            None => self.respond.borrow_mut().poll_reset(cx),
        };
        reset.map(|_| ())
    }

    /// Ends a stream whose answer is not complete.
    pub(crate) fn reset(&self, reason: Reason) {
        match self.stream.borrow_mut().as_mut() {
            Some(stream) => stream.send_reset(reason),
            None => self.respond.borrow_mut().send_reset(reason),
        }
    }
}

/// The request body.
pub(crate) struct Body<'a> {
    pub link: &'a Link<'a>,
    pub inflow: Inflow,
    pub length: BodyLength,
}

impl<'a> Body<'a> {
    pub(crate) fn new(link: &'a Link<'a>, stream: RecvStream, length: BodyLength) -> Self {
        Body { link, inflow: Inflow::new(stream), length }
    }

    pub(crate) async fn chunk(&mut self) -> Result<Option<&[u8]>, BodyError> {
        let link = self.link;
        if link.continue_wanted.replace(false) && link.stage.get() == Stage::Waiting {
            let _ = send_informational(link, 100, &Headers::new());
        }
        match self.inflow.chunk(link.worker, link.settings.body_timeout).await {
            Ok(more) => Ok(more.then(|| self.inflow.current())),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, error: WireError) -> BodyError {
        let counters = &self.link.worker.counters;
        match error {
            WireError::Closed => BodyError::Closed,
            WireError::Reset(code) => BodyError::Reset(code),
            WireError::Timeout => {
                Counters::add(&counters.body_timeouts);
                BodyError::Timeout
            }
            WireError::Io(kind) => BodyError::Io(kind),
            WireError::Invalid(why) | WireError::Misuse(why) => BodyError::Invalid(why),
        }
    }

    /// A stream cannot be half-closed by a client that wants no answer: gone is gone.
    pub(crate) async fn closed(&mut self) -> Gone {
        poll_fn(|cx| self.link.poll_reset(cx)).await;
        Gone::Broken
    }
}

/// The answer.
pub(crate) struct Answer<'a> {
    pub link: &'a Link<'a>,
    pub outflow: Outflow,
}

fn response(head: &ResponseHead, drop: impl Fn(&[u8]) -> bool) -> Result<http::Response<()>, SendError> {
    let mut response = http::Response::new(());
    *response.version_mut() = http::Version::HTTP_2;
    *response.status_mut() =
        http::StatusCode::from_u16(head.status).map_err(|_| SendError::Misuse("status is not three digits"))?;
    fields_to(&head.headers, response.headers_mut(), drop);
    Ok(response)
}

fn send_informational(link: &Link<'_>, status: u16, headers: &Headers) -> Result<(), SendError> {
    let head = ResponseHead { status, headers: headers.clone(), ..ResponseHead::default() };
    let response = response(&head, |name| name.eq_ignore_ascii_case(b"content-length"))?;
    link.respond.borrow_mut().send_informational(response).map_err(|error| send_error(wire_error(&error)))
}

fn send_error(error: WireError) -> SendError {
    match error {
        WireError::Closed => SendError::Closed,
        WireError::Reset(code) => SendError::Reset(code),
        WireError::Timeout => SendError::Timeout,
        WireError::Io(kind) => SendError::Io(kind),
        WireError::Invalid(why) | WireError::Misuse(why) => SendError::Misuse(why),
    }
}

impl Answer<'_> {
    pub(crate) fn informational(&mut self, status: u16, headers: &Headers) -> Result<(), SendError> {
        if self.link.stage.get() != Stage::Waiting || !matches!(status, 100 | 102..=199) {
            return Err(SendError::Misuse("not an informational status, or behind the final head"));
        }
        if status == 100 {
            self.link.continue_wanted.set(false);
        }
        send_informational(self.link, status, headers)
    }

    pub(crate) fn head(&mut self, head: &ResponseHead, length: BodyLength) -> Result<(), SendError> {
        if self.link.stage.get() != Stage::Waiting {
            return Err(SendError::Misuse("second head"));
        }
        let no_content = matches!(head.status, 100..=199 | 204);
        let bodiless = no_content || self.link.head_request || head.status == 304;
        let keep_length = bodiless && !no_content;
        let mut response = response(head, |name| !keep_length && name.eq_ignore_ascii_case(b"content-length"))?;
        let fields = response.headers_mut();
        match length {
            BodyLength::Exact(_) if no_content || fields.contains_key(CONTENT_LENGTH) => {}
            BodyLength::Exact(length) => {
                fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            BodyLength::None | BodyLength::Unknown => {}
        }
        if self.link.settings.date && !fields.contains_key("date") {
            let date = HeaderValue::from_bytes(&self.link.worker.date());
            date.map(|date| fields.insert(HeaderName::from_static("date"), date)).ok();
        }
        let ended = bodiless || matches!(length, BodyLength::None | BodyLength::Exact(0));
        let sent = self.link.respond.borrow_mut().send_response(response, ended);
        match sent {
            Ok(stream) => {
                *self.link.stream.borrow_mut() = Some(stream);
                self.link.stage.set(Stage::Begun);
                self.outflow.begin(length, ended);
                Ok(())
            }
            Err(error) => Err(self.failed(wire_error(&error))),
        }
    }

    pub(crate) async fn data(&mut self, data: &[u8]) -> Result<(), SendError> {
        self.must_have_begun()?;
        let sent = self.outflow.data(self.link.pace(), data).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(crate) async fn flush(&mut self) -> Result<(), SendError> {
        let sent = self.outflow.flush(self.link.pace()).await;
        sent.map_err(|error| self.failed(error))
    }

    pub(crate) async fn finish(&mut self, trailers: Option<&Headers>) -> Result<(), SendError> {
        self.must_have_begun()?;
        let sent = self.outflow.finish(self.link.pace(), trailers).await;
        sent.map_err(|error| self.failed(error))?;
        self.link.stage.set(Stage::Finished);
        Ok(())
    }

    fn must_have_begun(&self) -> Result<(), SendError> {
        match self.link.stage.get() {
            Stage::Begun => Ok(()),
            Stage::Waiting => Err(SendError::Misuse("data before a head")),
            _ => Err(SendError::Misuse("data behind the end")),
        }
    }

    pub(crate) fn abort(&mut self) {
        self.link.stage.set(Stage::Aborted);
    }

    fn failed(&mut self, error: WireError) -> SendError {
        self.abort();
        if error == WireError::Timeout {
            Counters::add(&self.link.worker.counters.send_timeouts);
        }
        send_error(error)
    }
}
