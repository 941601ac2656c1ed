//! What a provider answers when it does not answer.

/// An error of a provider, or of the gateway speaking in a provider's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status; the one it would have had, for a failure in mid-stream.
    pub status: u16,
    /// What kind of failure.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
    /// For programs, in the provider's words.
    pub code: Option<String>,
    /// The parameter at fault.
    pub param: Option<String>,
    /// The provider's own id of the request.
    pub request_id: Option<String>,
}

/// Kinds of failures, as far as the dialects tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The request is wrong.
    InvalidRequest,
    /// No or wrong credentials.
    Authentication,
    /// Right credentials, not allowed.
    Permission,
    /// No such model or path.
    NotFound,
    /// The request is too large.
    TooLarge,
    /// Too many requests or tokens.
    RateLimit,
    /// The provider is overloaded.
    Overloaded,
    /// It took too long.
    Timeout,
    /// Anything else on the provider's side.
    Server,
}

impl FailureKind {
    /// The kind a status stands for.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Authentication,
            402 | 403 => Self::Permission,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            413 => Self::TooLarge,
            429 => Self::RateLimit,
            503 | 529 => Self::Overloaded,
            400..=499 => Self::InvalidRequest,
            _ => Self::Server,
        }
    }

    /// The status the kind usually has.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Authentication => 401,
            Self::Permission => 403,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::RateLimit => 429,
            Self::Server => 500,
            Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }
}

impl Failure {
    /// A failure with a message and the kind its status stands for.
    #[must_use]
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        Self {
            status,
            kind: FailureKind::of_status(status),
            message: message.into(),
            code: None,
            param: None,
            request_id: None,
        }
    }

    /// A failure of a kind, with its usual status.
    #[must_use]
    pub fn of(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, ..Self::new(kind.status(), message) }
    }
}
