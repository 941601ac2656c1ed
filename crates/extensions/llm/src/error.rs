//! What can be wrong with a body. Messages name the field and what would be right; they never
//! quote prompts, answers or secrets.

use crate::dialect::Dialect;
use gibbon_frames::FrameError;

/// Why a body cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is no JSON.
    #[error("the {what} is not valid JSON")]
    NotJson {
        /// Which body.
        what: &'static str,
    },
    /// A field has the wrong shape or is missing.
    #[error("{path} must be {want}")]
    Shape {
        /// Where, as in `messages[0].content`.
        path: String,
        /// What would be right.
        want: &'static str,
    },
    /// The target has no way to say this. For a request this is the client's error (400).
    #[error("{target} cannot express {what}")]
    Unsupported {
        /// The dialect that lacks it.
        target: Dialect,
        /// What it lacks.
        what: String,
    },
    /// The answer says that the provider failed, under a status that says it did not.
    #[error("the provider failed: {}", .0.message)]
    Failed(Box<crate::canonical::Failure>),
    /// The stream's framing is broken.
    #[error(transparent)]
    Frames(#[from] FrameError),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
