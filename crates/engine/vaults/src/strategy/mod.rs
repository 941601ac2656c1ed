//! The kinds of vaults. One that is on this machine answers at once; the others are asked over HTTP.

mod aws;
mod azure;
mod env;
mod fs;
mod gcp;
mod hcv;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gibbon_cloud::{Address, IdentityError, encode};
use gibbon_conf::vault::{Reference, VaultError};
use gibbon_message::Method;
use gibbon_pdk::{HttpClient, OutcallError, OutcallRequest, OutcallTls, SendFuture};
use serde_json::Value;

use crate::config::{Config, ConfigError};

/// The largest secret, in bytes. A certificate chain has some thousands.
pub const MAX_SECRET: usize = 1 << 20;
/// For one call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why a secret cannot be had. Never holds one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Reference(#[from] VaultError),
    #[error("there is no vault '{0}' (valid: env, fs, hcv, aws, gcp, azure, or the prefix of a vault entity)")]
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
    #[error("nobody can be shown to the vault: {0}")]
    Identity(String),
    #[error("the secret is not text")]
    NotText,
    #[error("the secret is not base64, as the vault's configuration says it is")]
    NotBase64,
}

impl ReadError {
    fn identity(error: IdentityError) -> Self {
        ReadError::Identity(error.to_string())
    }
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
pub const NAMES: [&str; 6] = ["env", "fs", "hcv", "aws", "gcp", "azure"];

/// The strategy for a configuration.
///
/// # Errors
/// A configuration that lacks something.
pub fn open(config: &Config, surroundings: &Surroundings) -> Result<Arc<dyn Strategy>, ReadError> {
    Ok(match &*config.strategy {
        "env" => Arc::new(env::Environment::new(config, surroundings)),
        "fs" => Arc::new(fs::Files::new(config)?),
        "hcv" => Arc::new(hcv::Hcv::new(config, surroundings)?),
        "aws" => Arc::new(aws::Aws::new(config, surroundings)?),
        "gcp" => Arc::new(gcp::Gcp::new(config, surroundings)?),
        "azure" => Arc::new(azure::Azure::new(config, surroundings)?),
        other => return Err(ReadError::NoVault(other.to_owned())),
    })
}

/// A call to a cloud. Its certificate is verified always.
fn call(method: Method, address: &Address) -> OutcallRequest {
    let scheme = if address.tls { "https" } else { "http" };
    OutcallRequest {
        timeout: TIMEOUT,
        tls: OutcallTls { verify: true, server_name: None, identity: None },
        max_response_bytes: 2 * MAX_SECRET,
        ..OutcallRequest::new(method, format!("{scheme}://{}{}", address.authority(), address.target()))
    }
}

/// Calls with a bearer token, and reads the JSON that is answered.
async fn bearer(http: &dyn HttpClient, method: Method, address: &Address, token: &str) -> Result<Value, ReadError> {
    let mut request = call(method, address);
    request.headers.append("Authorization", format!("Bearer {token}"));
    let answer = http.call(request).await?;
    match answer.status {
        200 => serde_json::from_slice(&answer.body).map_err(|_| ReadError::Answer("it is not JSON")),
        404 => Err(ReadError::NotFound),
        status @ (401 | 403) => Err(ReadError::Denied(status)),
        status => Err(ReadError::Status(status)),
    }
}

/// A name as one segment of a path.
fn segment(field: &'static str, name: &str) -> Result<String, ConfigError> {
    if matches!(name, "" | "." | "..") || name.contains('/') {
        return Err(ConfigError::Unsupported { field, supported: "a name without slashes" });
    }
    let mut out = String::with_capacity(name.len());
    encode(name, &mut out);
    Ok(out)
}

fn text_of(bytes: Vec<u8>) -> Result<String, ReadError> {
    if bytes.len() > MAX_SECRET {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText)
}

/// Seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
