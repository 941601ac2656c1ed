//! Why a call gave no answer, in words a log line can carry.

use std::io;
use std::time::Duration;

use gibbon_net::ConnectError;

/// A peer that could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    #[error("failed to resolve '{host}': {cause}")]
    Resolve { host: String, cause: String },
    #[error("connection to {peer} failed: {cause}")]
    Connect { peer: String, cause: ConnectError },
    #[error("TLS to {peer}: {cause}")]
    Tls { peer: String, cause: String },
    #[error("no connection to {peer} within {limit:?}")]
    Timeout { peer: String, limit: Duration },
}

impl From<ReachError> for io::Error {
    fn from(error: ReachError) -> Self {
        let kind = match &error {
            ReachError::Timeout { .. } | ReachError::Connect { cause: ConnectError::Timeout(_), .. } => {
                io::ErrorKind::TimedOut
            }
            ReachError::Connect { cause: ConnectError::Socket(cause), .. } => cause.kind(),
            ReachError::Resolve { .. } => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, error.to_string())
    }
}

/// An HTTP call without an answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the URL '{0}' is not valid: http:// or https:// and a host are needed")]
    Url(String),
    /// A header, or the path, has bytes that HTTP does not allow.
    #[error("the request cannot be sent: {0}")]
    Request(String),
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error("timeout")]
    Timeout,
    #[error("{0}")]
    Protocol(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}
