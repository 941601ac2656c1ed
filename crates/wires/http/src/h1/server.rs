//! The life of an HTTP/1 client connection between its requests.
//!
//! Memory decides the shape: waiting is a small future without buffers. Serving is a large one
//! ([`Ready`]), made when a first byte arrives and kept for a moment after an answer, so that a busy
//! connection neither allocates nor moves anything between its requests.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};

use super::ready::Ready;
use super::{Fill, ReadBuffer};
use crate::deadline::Deadline;
use crate::drain::Watch;
use crate::io::{Io, Prefixed};
use crate::{ConnInfo, ConnectionEnd, Counters, Protocol, Server, Service};

/// The first bytes of an HTTP/2 connection (RFC 9113 3.4).
pub(crate) const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client connection, as it is kept while it idles.
pub(crate) struct Conn<S, V: Service> {
    pub(super) io: RefCell<S>,
    pub(super) protocol: Protocol,
    pub(super) info: ConnInfo<V::Info>,
    pub(super) server: Rc<Server<V>>,
    pub(super) read_deadline: Deadline,
    pub(super) watch: Watch,
    /// What was read and not yet looked at; empty while the connection idles.
    unread: ReadBuffer,
}

/// What a connection became.
pub(crate) enum Became {
    Ended(ConnectionEnd),
    /// It speaks HTTP/2: see [`Conn::into_parts`].
    Http2,
}

/// How serving stopped.
pub(super) enum Served {
    /// No further request came for a moment.
    Idle,
    End(ConnectionEnd),
}

/// What ended a wait for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Bytes,
    Closed,
    Drained,
    Expired,
}

impl<S, V> Conn<S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
    V: Service,
{
    pub(crate) fn new(
        stream: S,
        first_bytes: Vec<u8>,
        protocol: Protocol,
        info: V::Info,
        server: Rc<Server<V>>,
    ) -> Self {
        Conn {
            io: RefCell::new(stream),
            protocol,
            info: ConnInfo::new(info, server.worker.deadlines.tick()),
            read_deadline: server.worker.deadlines.register(),
            watch: server.drain.watch(),
            unread: ReadBuffer::with(first_bytes),
            server,
        }
    }

    /// The stream, beginning with what was read from it, and what is known of it.
    pub(crate) fn into_parts(mut self) -> (Prefixed<S>, ConnInfo<V::Info>, Rc<Server<V>>) {
        (Prefixed::new(self.unread.take(), self.io.into_inner()), self.info, self.server)
    }

    /// Serves the connection until it ends or turns out to speak HTTP/2.
    pub(crate) async fn run(&mut self) -> Became {
        if self.protocol == Protocol::Http2 {
            return Became::Http2;
        }
        loop {
            if let Some(end) = self.idle().await {
                // Over TLS the peer is told so; nobody waits for it.
                poll_fn(|cx| Poll::Ready(self.io.poll_shutdown(cx).is_ready())).await;
                return Became::Ended(end);
            }
            let may_be_h2 = self.protocol == Protocol::Http1OrH2cPriorKnowledge && self.info.requests.get() == 0;
            if may_be_h2 && self.speaks_http2().await {
                return Became::Http2;
            }
            let unread = std::mem::take(&mut self.unread);
            match Box::pin(Ready::new(self, unread).serve()).await {
                Served::Idle => {}
                Served::End(end) => return Became::Ended(end),
            }
        }
    }

    /// Waits for the first byte of a request.
    async fn idle(&mut self) -> Option<ConnectionEnd> {
        if !self.unread.is_empty() {
            return None;
        }
        let first = self.info.requests.get() == 0;
        let settings = &self.server.settings;
        self.read_deadline.set(if first { settings.header_timeout } else { settings.keepalive_timeout });
        let mut unread = std::mem::take(&mut self.unread);
        let wait = self.wait_for_bytes(&mut unread).await;
        self.unread = unread;
        match wait {
            Wait::Bytes => None,
            Wait::Closed => Some(ConnectionEnd::Closed),
            Wait::Drained => Some(ConnectionEnd::Drained),
            Wait::Expired => {
                let counters = &self.server.worker.counters;
                Counters::add(if first { &counters.head_timeouts } else { &counters.keepalive_timeouts });
                Some(ConnectionEnd::KeepaliveTimeout)
            }
        }
    }

    /// Waits until the deadline that was set, or until the connection is to retire.
    pub(super) async fn wait_for_bytes(&self, buffer: &mut ReadBuffer) -> Wait {
        let wait = poll_fn(|cx| match buffer.poll_fill(&self.io, &self.server.worker, cx) {
            Poll::Ready(Ok(Fill::Read(_) | Fill::Full)) => Poll::Ready(Wait::Bytes),
            Poll::Ready(Ok(Fill::End) | Err(_)) => Poll::Ready(Wait::Closed),
            Poll::Pending if self.watch.poll_idle_may_close(cx) => Poll::Ready(Wait::Drained),
            Poll::Pending => self.read_deadline.poll_expired(cx).map(|()| Wait::Expired),
        })
        .await;
        self.read_deadline.clear();
        wait
    }

    /// Whether the connection begins with the HTTP/2 preface; waits for as much of it as may be one.
    async fn speaks_http2(&mut self) -> bool {
        self.read_deadline.set(self.server.settings.header_timeout);
        loop {
            let bytes = self.unread.bytes();
            let seen = bytes.len().min(H2_PREFACE.len());
            if bytes.get(..seen) != H2_PREFACE.get(..seen) {
                return false;
            }
            if seen == H2_PREFACE.len() {
                return true;
            }
            let Conn { io, unread, server, read_deadline, .. } = self;
            let more = poll_fn(|cx| match unread.poll_fill(io, &server.worker, cx) {
                Poll::Ready(read) => Poll::Ready(matches!(read, Ok(Fill::Read(_)))),
                Poll::Pending => read_deadline.poll_expired(cx).map(|()| false),
            })
            .await;
            if !more {
                return false;
            }
        }
    }
}
