//! What can go wrong with an upstream, and what a retry needs to know about it.

use std::io;

/// A failed exchange with an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ClientError {
    pub kind: ClientErrorKind,
    /// At least one byte of an answer had arrived.
    pub received: bool,
    /// The connection had served an exchange before: a close without an answer may just be its end.
    pub reused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientErrorKind {
    #[error("the upstream closed the connection")]
    Closed,
    #[error("the upstream did not answer in time")]
    ReadTimeout,
    #[error("the upstream did not take the request in time")]
    SendTimeout,
    #[error("upstream sent too big header while reading response header from upstream")]
    HeadTooLarge,
    #[error("the upstream's answer is invalid: {0}")]
    Invalid(&'static str),
    #[error("the upstream closed the connection inside the body")]
    Truncated,
    #[error("the upstream reset the stream, code {0}")]
    Reset(u32),
    /// HTTP/2 said that the stream was not processed (REFUSED_STREAM, or above a GOAWAY's last stream).
    #[error("the upstream refused the stream unprocessed")]
    Refused,
    #[error("the connection failed: {0}")]
    Io(io::ErrorKind),
    /// The caller broke the order of calls.
    #[error("request out of order: {0}")]
    Misuse(&'static str),
}
