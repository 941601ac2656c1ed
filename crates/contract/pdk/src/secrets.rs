//! Secrets that code asks for by reference.

use crate::SendFuture;

/// Secrets behind references such as `{vault://hcv/team/password}`, of the gateway's vaults.
pub trait SecretReader: Send + Sync {
    /// Reads it now; nothing is remembered.
    ///
    /// # Errors
    /// Why it cannot be had; never with the secret in it.
    fn read<'a>(&'a self, reference: &'a str) -> SendFuture<'a, Result<String, String>>;
}

/// Where there are no vaults.
pub struct NoVaults;

impl SecretReader for NoVaults {
    fn read<'a>(&'a self, _: &'a str) -> SendFuture<'a, Result<String, String>> {
        Box::pin(std::future::ready(Err("there are no vaults here".to_owned())))
    }
}
