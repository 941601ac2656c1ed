//! The token of `X-Kong-Request-Debug`: the one set, or a random one, written where people of this machine find it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use gibbon_conf::Settings;
use gibbon_proxy::Secret;

/// Lies in the prefix.
const FILE: &str = ".request_debug_token";

/// The token in force; `None` where requests are not timed. A successor keeps the one that its predecessor made, for it
/// may fail to take over.
///
/// # Errors
/// When the file cannot be written.
pub fn token(settings: &Settings, succeeds: bool) -> anyhow::Result<Option<Secret>> {
    let debug = &settings.request_debug;
    if !debug.enabled {
        return Ok(None);
    }
    let path = settings.prefix.join(FILE);
    let kept = || fs::read_to_string(&path).ok().filter(|text| succeeds && !text.is_empty());
    let token = debug.token.clone().or_else(kept).unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    fs::create_dir_all(&settings.prefix)?;
    write(&path, &token).with_context(|| format!("could not write {}", path.display()))?;
    Ok(Some(Secret(token)))
}

/// Anew, so that the mode and the owner of a file that was there say nothing.
fn write(path: &Path, token: &str) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?.write_all(token.as_bytes())
}
