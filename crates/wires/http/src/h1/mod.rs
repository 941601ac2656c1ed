//! HTTP/1.1 framing over a byte stream: what server and client side have in common, and the server.

mod encode;
mod exchange;
mod read;
mod ready;
mod scan;
mod server;
mod sink;
mod source;

pub(crate) use encode::write_request_head;
pub(crate) use exchange::{Answer, Body, Stage, Tunnel};
pub(crate) use read::{Fill, ReadBuffer};
pub(crate) use server::{Became, Conn, H2_PREFACE};
pub(crate) use sink::{Framing, Outlet, Sink};
pub(crate) use source::{Decoder, Source};

use std::io;

/// What can happen to the bytes of either side; each side tells it in its own terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireError {
    /// The peer closed where it must not.
    Closed,
    Timeout,
    Io(io::ErrorKind),
    Invalid(&'static str),
    /// HTTP/2: the peer gave the stream up.
    Reset(u32),
    /// The caller broke the order of calls.
    Misuse(&'static str),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        error.kind().into()
    }
}

impl From<io::ErrorKind> for WireError {
    fn from(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::WriteZero => WireError::Closed,
            _ => WireError::Io(kind),
        }
    }
}
