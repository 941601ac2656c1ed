//! AWS played by moto: a function that echoes its event, secrets, a user who may use both, and a role that the user may assume.
//! Signatures are verified with AWS's own implementation of them.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::servers::{Server, place, tool};

const FILL: &str = include_str!("moto.py");

/// A running moto. The region is `eu-west-1`, the function `echo`.
pub struct Moto {
    /// The server.
    pub server: Server,
    /// Access key of the user.
    pub key: String,
    /// What belongs to it.
    pub secret: String,
    /// The role's ARN.
    pub role: String,
}

/// Starts moto and fills it.
///
/// # Errors
/// As [`Server::start`]; when it cannot be filled, with the reason.
pub fn moto() -> Result<Moto> {
    let (folder, address) = place()?;
    let python = tool("python3")?;
    let mut command = Command::new(&python);
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()]);
    // Until it is filled, nobody is asked who they are.
    command.env("INITIAL_NO_AUTH_ACTION_COUNT", "1000").current_dir(folder.path());
    let server = Server::start(command, folder, address)?;
    let filled = Command::new(python)
        .args(["-c", FILL, &format!("http://{address}")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()?;
    let errors = String::from_utf8_lossy(&filled.stderr);
    ensure!(filled.status.success(), "moto cannot be filled: {errors}\n{}", server.output());
    let said: Value = serde_json::from_slice(&filled.stdout).context("whom moto knows")?;
    let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Moto { server, key: text("key"), secret: text("secret"), role: text("role") })
}
