//! Receiving data on a stream and giving its flow control back as it is used, for both sides.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use gibbon_message::Headers;
use h2::RecvStream;

use super::fields_from;
use super::send::wire_error;
use crate::Worker;
use crate::deadline::{Deadline, LazyTimer};
use crate::h1::WireError;
use crate::parse::is_forbidden_in_trailers;

/// The body of one message on its way in.
#[derive(Debug)]
pub(crate) struct Inflow {
    stream: RecvStream,
    /// Lent until the next call.
    current: Bytes,
    trailers: Option<Box<Headers>>,
    /// The end was seen, trailers included.
    ended: bool,
    received: u64,
    deadline: OnceCell<Deadline>,
}

impl Inflow {
    pub(crate) fn new(stream: RecvStream) -> Self {
        let ended = stream.is_end_stream();
        Inflow { stream, current: Bytes::new(), trailers: None, ended, received: 0, deadline: OnceCell::new() }
    }

    /// Makes the next piece current; `false` at the end.
    pub(crate) async fn chunk(&mut self, worker: &Worker, timeout: Duration) -> Result<bool, WireError> {
        self.settle();
        if self.ended {
            return Ok(false);
        }
        let Inflow { stream, trailers, deadline, .. } = self;
        let mut timer = LazyTimer::new(&worker.deadlines, deadline, timeout);
        let next = poll_fn(|cx| {
            let polled = match stream.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(Some(data)) => Poll::Ready(data.map(Some)),
                Poll::Ready(None) => stream.poll_trailers(cx).map_ok(|found| {
                    *trailers = found.map(|map| Box::new(trailers_from(&map)));
                    None
                }),
                Poll::Pending => Poll::Pending,
            };
            if let Poll::Ready(next) = polled {
                return Poll::Ready(next.map_err(|error| wire_error(&error)));
            }
            timer.poll_expired(cx).map(|()| Err(WireError::Timeout))
        })
        .await?;
        match next {
            Some(data) => self.current = data,
            None => self.ended = true,
        }
        Ok(!self.ended)
    }

    /// The piece lent by the last call.
    pub(crate) fn current(&self) -> &[u8] {
        &self.current
    }

    /// Gives back the window of what was lent.
    fn settle(&mut self) {
        let used = std::mem::take(&mut self.current).len();
        if used > 0 {
            self.received += used as u64;
            let _ = self.stream.flow_control().release_capacity(used);
        }
    }

    pub(crate) fn trailers(&self) -> Option<&Headers> {
        self.trailers.as_deref()
    }

    pub(crate) fn is_end(&self) -> bool {
        self.ended || self.stream.is_end_stream()
    }

    pub(crate) fn received(&self) -> u64 {
        self.received + self.current.len() as u64
    }
}

fn trailers_from(map: &http::HeaderMap) -> Headers {
    let mut trailers = Headers::new();
    fields_from(map, &mut trailers);
    trailers.retain(|name, _| !is_forbidden_in_trailers(name));
    trailers
}
