//! Certificates for tests, made by the `openssl` command.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

/// A certificate for a name, signed by itself and valid for two days, and its key; both PEM.
///
/// # Errors
/// When `openssl` is not installed or refuses.
pub fn self_signed(name: &str) -> Result<(String, String)> {
    let folder = tempfile::tempdir()?;
    let (cert, key) = (folder.path().join("crt"), folder.path().join("key"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}"), "-addext", &format!("subjectAltName=DNS:{name}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    Ok((fs::read_to_string(cert)?, fs::read_to_string(key)?))
}
