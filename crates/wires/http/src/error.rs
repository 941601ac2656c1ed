//! What can go wrong on the server side, in terms that map to one status each.

use std::io;

/// Why no request could be made of what the client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The client went away before the first byte: not an error, nothing to answer.
    #[error("the connection was closed before a request")]
    Closed,
    /// The client went away inside a head.
    #[error("the connection was closed inside a request head")]
    Truncated,
    #[error("the request head did not arrive in time")]
    Timeout,
    #[error("the request line is longer than one large header buffer")]
    UriTooLong,
    #[error("the request headers do not fit the large header buffers")]
    HeaderTooLarge,
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// TRACE and CONNECT, which a gateway does not serve.
    #[error("the method is not allowed")]
    MethodNotAllowed,
    #[error("the transfer coding is not supported")]
    UnsupportedTransferEncoding,
    #[error("the HTTP version is not supported")]
    UnsupportedVersion,
    #[error("a plain HTTP request was sent to a TLS port")]
    PlainHttpOnTls,
    #[error("reading failed: {0}")]
    Io(io::ErrorKind),
}

impl HeadError {
    /// The status nginx gives it; 494 and 497 are nginx's own and leave as 400. 0 when there is nobody
    /// to answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            HeadError::Closed | HeadError::Io(_) => 0,
            HeadError::Truncated | HeadError::BadRequest(_) => 400,
            HeadError::Timeout => 408,
            HeadError::UriTooLong => 414,
            HeadError::HeaderTooLarge => 494,
            HeadError::MethodNotAllowed => 405,
            HeadError::UnsupportedTransferEncoding => 501,
            HeadError::UnsupportedVersion => 505,
            HeadError::PlainHttpOnTls => 497,
        }
    }
}

/// Why the rest of a request body will not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the client went away inside the request body")]
    Closed,
    #[error("the request body did not arrive in time")]
    Timeout,
    #[error("bad request body: {0}")]
    Invalid(&'static str),
    #[error("the stream was reset by the client, code {0}")]
    Reset(u32),
    #[error("reading failed: {0}")]
    Io(io::ErrorKind),
}

impl BodyError {
    /// The status nginx gives it; 499 when the client went away.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            BodyError::Closed | BodyError::Reset(_) | BodyError::Io(_) => 499,
            BodyError::Timeout => 408,
            BodyError::Invalid(_) => 400,
        }
    }
}

/// Why an answer could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the client went away")]
    Closed,
    #[error("the client did not take the answer in time")]
    Timeout,
    #[error("the stream was reset by the client, code {0}")]
    Reset(u32),
    #[error("writing failed: {0}")]
    Io(io::ErrorKind),
    /// The service broke the order of calls: head once, then at most the announced bytes, then finish.
    #[error("answer out of order: {0}")]
    Misuse(&'static str),
}
