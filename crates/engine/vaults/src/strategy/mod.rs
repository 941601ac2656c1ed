//! The kinds of vaults. One that is on this machine answers at once; the others are asked over HTTP.

mod env;
mod fs;
mod hcv;

use std::sync::Arc;

use gibbon_conf::vault::{Reference, VaultError};
use gibbon_pdk::{HttpClient, OutcallError, SendFuture};

use crate::config::{Config, ConfigError};

/// The largest secret, in bytes. A certificate chain has some thousands.
pub const MAX_SECRET: usize = 1 << 20;

/// Why a secret cannot be had. Never holds one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Reference(#[from] VaultError),
    #[error("there is no vault '{0}' (valid: env, fs, hcv, or the prefix of a vault entity)")]
    NoVault(String),
    #[error("it is not there")]
    NotFound,
    #[error("the vault does not permit it (status {0})")]
    Denied(u16),
    #[error("the vault answered with status {0}")]
    Status(u16),
    #[error("the vault's answer cannot be read: {0}")]
    Answer(&'static str),
    #[error("the vault cannot be reached: {0}")]
    Unreachable(#[from] OutcallError),
    #[error("'{path}' cannot be read: {cause}")]
    File { path: String, cause: String },
    #[error("the secret is larger than {MAX_SECRET} bytes")]
    TooLarge,
    #[error("more than {0} references are in use already")]
    TooMany(usize),
    #[error("the secret is not base64, as the vault's configuration says it is")]
    NotBase64,
}

/// Looks a variable of the environment up.
pub type Variable = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What strategies ask of the machine.
#[derive(Clone)]
pub struct Surroundings {
    pub variable: Arc<Variable>,
    pub http: Arc<dyn HttpClient>,
}

/// A way to read secrets. What is read is the whole resource; picking a key out of it is the caller's.
pub trait Strategy: Send + Sync {
    /// Of a vault on this machine: the resource, at once.
    fn read_now(&self, _: &Reference) -> Option<Result<String, ReadError>> {
        None
    }

    /// Asks for the resource.
    fn read<'a>(&'a self, reference: &'a Reference) -> SendFuture<'a, Result<String, ReadError>>;
}

/// Names of the strategies that are built in.
pub const NAMES: [&str; 3] = ["env", "fs", "hcv"];

/// The strategy for a configuration.
///
/// # Errors
/// A configuration that lacks something.
pub fn open(config: &Config, surroundings: &Surroundings) -> Result<Arc<dyn Strategy>, ReadError> {
    Ok(match &*config.strategy {
        "env" => Arc::new(env::Environment::new(config, surroundings)),
        "fs" => Arc::new(fs::Files::new(config)?),
        "hcv" => Arc::new(hcv::Hcv::new(config, surroundings)?),
        other => return Err(ReadError::NoVault(other.to_owned())),
    })
}
