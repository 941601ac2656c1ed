//! Server-sent events: a tick per interval, `?every=MILLISECONDS` (default 1000) and `?count=N` (default without end).

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Interval;

use crate::serve::Answer;

/// Bounds of the interval: a typing slip must not become a busy loop or a silence that looks like a hang.
const EVERY: std::ops::RangeInclusive<u64> = 10..=60_000;

pub(crate) async fn answer(request: Request<Incoming>) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let every = parameter(query, "every").unwrap_or(1000).clamp(*EVERY.start(), *EVERY.end());
    let ticker = Ticker {
        interval: tokio::time::interval(Duration::from_millis(every)),
        sent: 0,
        count: parameter(query, "count").unwrap_or(u64::MAX),
    };
    let mut answer = Response::new(ticker.map_err(|never| match never {}).boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}

fn parameter(query: &str, name: &str) -> Option<u64> {
    query.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?.1.parse().ok()
}

struct Ticker {
    interval: Interval,
    sent: u64,
    count: u64,
}

impl Body for Ticker {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent >= self.count {
            return Poll::Ready(None);
        }
        ready!(self.interval.poll_tick(cx));
        self.sent += 1;
        let event = format!("id: {n}\nevent: tick\ndata: {{\"tick\": {n}}}\n\n", n = self.sent);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}
