//! What a search for an identity asks of the world: HTTP calls and small files. The clock is handed in with each question.

use std::future::Future;
use std::pin::Pin;

use crate::{AddressError, TokenError, TokenRequest};

/// The answer to a request for a token or for keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its body; secret.
    pub body: Vec<u8>,
}

/// An answer to come, or why none came.
pub type Said<'a> = Pin<Box<dyn Future<Output = Result<Reply, String>> + Send + 'a>>;

/// Who owns sockets and files. Answers must have a bound in size and time: services that hand out identities are near and
/// say little.
pub trait World: Sync {
    /// Sends a request.
    fn send(&self, request: TokenRequest) -> Said<'_>;

    /// Reads a file with a token, which may be replaced while the process runs.
    ///
    /// # Errors
    /// It cannot be read.
    fn file(&self, path: &str) -> std::io::Result<String>;
}

/// Why there is no identity. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A service gave no answer.
    #[error("{what} cannot be reached: {cause}")]
    Unreachable {
        /// Which.
        what: &'static str,
        /// Why.
        cause: String,
    },
    /// A service answered with another status than 200.
    #[error("{what} answered {status}")]
    Refused {
        /// Which.
        what: &'static str,
        /// Its status.
        status: u16,
    },
    /// A file with a token.
    #[error("the {what} cannot be read: {cause}")]
    File {
        /// Which.
        what: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// The answer of a service, or what was configured, is not valid.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// An address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An instance of AWS without a role.
    #[error("the instance has no role")]
    NoRole,
}

/// Sends a request to a service and gives its body. A refusal that `reason` can read says why; others say their status.
pub(crate) async fn ask(
    world: &dyn World,
    request: TokenRequest,
    what: &'static str,
    reason: fn(&[u8]) -> Option<TokenError>,
) -> Result<Vec<u8>, IdentityError> {
    let reply = world.send(request).await.map_err(|cause| IdentityError::Unreachable { what, cause })?;
    match reply.status {
        200 => Ok(reply.body),
        status => Err(reason(&reply.body).map_or(IdentityError::Refused { what, status }, IdentityError::Token)),
    }
}

pub(crate) fn read(world: &dyn World, what: &'static str, path: &str) -> Result<String, IdentityError> {
    let text = world.file(path).map_err(|cause| IdentityError::File { what, cause })?;
    Ok(text.trim().to_owned())
}
