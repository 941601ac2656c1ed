//! What hosts of scripts add to the kit, and what they ask beyond it: Lua in the configuration of plugins that are not Lua
//! themselves, and secrets that code asks for by reference.

use serde_json::Value;

use crate::{Exchange, Host, SendFuture};

/// Runs such code; the host of Lua is behind it.
pub trait Scripts: Send + Sync {
    /// What the code returns, run with the exchange in hand as in the log phase; it cannot wait.
    ///
    /// # Errors
    /// What it raised, or that it does not parse or may not run.
    fn evaluate(&self, plugin: &str, code: &str, x: &mut Exchange, host: &Host) -> Result<Value, String>;
}

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

/// Where there is no Lua.
pub struct NoScripts;

impl Scripts for NoScripts {
    fn evaluate(&self, _: &str, _: &str, _: &mut Exchange, _: &Host) -> Result<Value, String> {
        Err("there is no Lua here".to_owned())
    }
}
