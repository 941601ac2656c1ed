//! What went wrong, whose blame it is and whether another try may help. Status, retry and log level
//! follow from these fields in one place of the engine.

use std::borrow::Cow;

/// On which side the trouble arose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Downstream,
    Upstream,
    Ourselves,
    Plugin,
}

/// Whether the balancer may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    Never,
    /// Only if the connection came out of a pool: the peer may have closed it before it saw a byte.
    ReusedConnectionOnly,
    Yes,
}

/// What happened, as far as the answer depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A status of our own making, e.g. 400 for a bad request or 413 for a large body.
    Status(u16),
    ConnectRefused,
    ConnectTimeout,
    WriteTimeout,
    ReadTimeout,
    /// The peer closed or reset before the message was complete.
    Closed,
    /// Bytes that are not HTTP, or break its framing.
    Protocol,
    TlsHandshake,
    /// No target is available.
    NoPeer,
    /// The name does not resolve.
    NameResolution,
    /// The client went away.
    ClientAborted,
    Internal,
}

impl FaultKind {
    /// The status that the client gets.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            FaultKind::Status(status) => status,
            FaultKind::ConnectRefused | FaultKind::Closed | FaultKind::Protocol | FaultKind::TlsHandshake => 502,
            FaultKind::ConnectTimeout | FaultKind::WriteTimeout | FaultKind::ReadTimeout => 504,
            FaultKind::NoPeer | FaultKind::NameResolution => 503,
            FaultKind::ClientAborted => 499,
            FaultKind::Internal => 500,
        }
    }
}

/// A failed step.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: FaultKind,
    pub source: Source,
    pub retry: Retry,
    /// For the error log: what happened and where. Never holds a secret, never reaches a client.
    pub cause: Cow<'static, str>,
    /// For the client, in place of the default message of the status.
    pub message: Option<Cow<'static, str>>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    #[must_use]
    pub fn new(kind: FaultKind, source: Source, retry: Retry, cause: impl Into<Cow<'static, str>>) -> Self {
        Fault { kind, source, retry, cause: cause.into(), message: None }
    }

    /// A plugin could not do its work: 500, no retry.
    #[must_use]
    pub fn plugin(cause: impl Into<Cow<'static, str>>) -> Self {
        Fault::new(FaultKind::Internal, Source::Plugin, Retry::Never, cause)
    }

    /// The gateway itself could not do its work: 500, no retry.
    #[must_use]
    pub fn internal(cause: impl Into<Cow<'static, str>>) -> Self {
        Fault::new(FaultKind::Internal, Source::Ourselves, Retry::Never, cause)
    }

    #[must_use]
    pub fn with_message(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = Some(message.into());
        self
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.kind.status()
    }
}
