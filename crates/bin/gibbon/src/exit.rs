//! How a command ends when it does not succeed.

/// An end other than success.
#[derive(Debug)]
pub enum Exit {
    /// With a message, and code 1.
    Failed(anyhow::Error),
    /// With a code; what there was to say has been said.
    Silent(u8),
}

impl<E: Into<anyhow::Error>> From<E> for Exit {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Ends a command with a message.
pub fn fail<T>(message: impl std::fmt::Display) -> Result<T, Exit> {
    Err(Exit::Failed(anyhow::anyhow!("{message}")))
}

/// What commands return.
pub type Outcome = Result<(), Exit>;
