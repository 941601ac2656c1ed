//! What can go wrong, and whose words they are.

use redis::{RedisError, ServerError};

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Not reached, or no answer in time. The command may have been carried out.
    #[error("{0}")]
    Unavailable(String),
    /// The server's own words.
    #[error("{0}")]
    Refused(String),
    /// A cluster's node says that another one is responsible.
    #[error("moved to {host}:{port}")]
    Elsewhere { host: String, port: u16, once: bool },
}

impl Error {
    /// Whether another look at who is the master, or which node has the key, may help.
    pub(crate) fn is_about_roles(&self) -> bool {
        match self {
            Error::Unavailable(_) | Error::Elsewhere { .. } => true,
            Error::Refused(text) => text.starts_with("READONLY") || text.starts_with("CLUSTERDOWN"),
        }
    }
}

impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        if let (Some((host, port)), Some(code)) = (error.redirect_node(), error.code()) {
            return Error::Elsewhere { host: host.to_owned(), port, once: code == "ASK" };
        }
        match error.code() {
            Some(code) => {
                Error::Refused(format!("{code} {}", error.detail().unwrap_or_default()).trim_end().to_owned())
            }
            None if error.is_timeout() => Error::Unavailable("timeout".to_owned()),
            None => Error::Unavailable(error.to_string()),
        }
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        RedisError::from(error).into()
    }
}
