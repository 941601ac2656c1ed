//! Reads settings from this machine: files, environment, flags. The rules are `gibbon-conf`'s; this only fetches.

use std::path::{Path, PathBuf};

use gibbon_conf::vault::{Options, Reference, VaultError};
use gibbon_conf::{Input, Loaded, NoticeKind, Origin, Refused, Surroundings};
use nix::unistd::{AccessFlags, access};

use crate::cli::Where;
use crate::exit::{Exit, fail};
use crate::output::Output;

/// This machine, as far as settings ask about it.
pub struct ThisMachine;

impl Surroundings for ThisMachine {
    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn secret(&self, reference: &Reference, options: &Options) -> Result<String, VaultError> {
        gibbon_assembly::read_secret(reference, options)
    }
}

/// Where nodes work when nobody says otherwise.
const DEFAULT_PREFIX: &str = "/usr/local/kong";

/// Reads settings as a command finds them. What is worth telling is told unless `silent`.
pub fn load(place: &Where, out: &Output, silent: bool) -> Result<Loaded, Exit> {
    let mut arguments = Vec::new();
    if let Some(prefix) = &place.prefix {
        arguments.push(("prefix".to_owned(), absolute(prefix).display().to_string()));
    }
    let file = settings_file(place.conf.as_deref(), out)?;
    let mut input = Input { file, environment: environment(), arguments };
    let mut loaded = gibbon_conf::load(&input, &ThisMachine).map_err(refused)?;
    if loaded.values.origin("prefix") == Origin::Default && !is_usable(Path::new(DEFAULT_PREFIX)) {
        let home = home_prefix();
        if !silent {
            out.warn(format!("{DEFAULT_PREFIX} cannot be written; using {} instead", home.display()));
        }
        input.arguments.push(("prefix".to_owned(), home.display().to_string()));
        loaded = gibbon_conf::load(&input, &ThisMachine).map_err(refused)?;
    }
    loaded.settings.prefix = absolute(&loaded.settings.prefix);
    if !silent {
        tell(&loaded, out);
    }
    Ok(loaded)
}

/// Reads the settings a prepared prefix holds, without `KONG_*` and `GIBBON_*` variables: they are in the file already.
pub fn load_prepared(prefix: &Path) -> Result<Loaded, Exit> {
    let path = crate::prefix::settings_file(prefix);
    let text = read(&path)?;
    let is_setting = |name: &str| name.starts_with("KONG_") || name.starts_with("GIBBON_");
    // A variable whose name a vault reference in the file asks for must stay.
    let environment = environment().into_iter().map(|(name, value)| {
        let hidden = is_setting(&name) && is_known_setting(&name);
        if hidden { (format!("HIDDEN_{name}"), value) } else { (name, value) }
    });
    let input = Input {
        file: Some((path.display().to_string(), text)),
        environment: environment.collect(),
        arguments: vec![("prefix".to_owned(), prefix.display().to_string())],
    };
    gibbon_conf::load(&input, &ThisMachine).map_err(refused)
}

fn is_known_setting(variable: &str) -> bool {
    let name = variable.split_once('_').map(|(_, name)| name.to_ascii_lowercase()).unwrap_or_default();
    gibbon_conf::table::find(&name).is_some() || name.starts_with("nginx_") || name.starts_with("vault_")
}

/// The prefix a command works at.
pub fn prefix_of(place: &Where, out: &Output) -> Result<PathBuf, Exit> {
    match &place.prefix {
        Some(prefix) => Ok(absolute(prefix)),
        None => load(place, out, true).map(|loaded| loaded.settings.prefix),
    }
}

/// Settings as the faults that refuse them, one line each.
pub fn refused(refused: Refused) -> Exit {
    Exit::Failed(anyhow::Error::new(refused))
}

/// Tells what is worth telling on the terminal. Unsafe choices stand in the start log and in `check`.
fn tell(loaded: &Loaded, out: &Output) {
    for notice in loaded.notices.iter().filter(|notice| notice.kind != NoticeKind::Unsafe) {
        out.warn(notice);
    }
    for (name, value) in loaded.values.shown(true) {
        out.debug(format!("{name} = {}", serde_json::Value::from(value)));
    }
}

/// All variables that are text.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn settings_file(named: Option<&Path>, out: &Output) -> Result<Option<(String, String)>, Exit> {
    let path = match named {
        Some(path) if !path.exists() => return fail(format!("no file at: {}", path.display())),
        Some(path) => path.to_owned(),
        None => {
            let found = gibbon_conf::DEFAULT_FILES.iter().map(PathBuf::from).find(|path| {
                let exists = path.exists();
                if !exists {
                    out.verbose(format!("no config file found at {}", path.display()));
                }
                exists
            });
            match found {
                Some(path) => path,
                None => {
                    out.verbose("no config file, skip loading");
                    return Ok(None);
                }
            }
        }
    };
    out.verbose(format!("reading config file at {}", path.display()));
    Ok(Some((path.display().to_string(), read(&path)?)))
}

fn read(path: &Path) -> Result<String, Exit> {
    if !path.exists() {
        return fail(format!("no file at: {}", path.display()));
    }
    std::fs::read_to_string(path)
        .map_err(|error| anyhow::anyhow!("could not load config file: {}: {error}", path.display()).into())
}

/// Whether a directory can be written to, or be made where it would stand.
fn is_usable(directory: &Path) -> bool {
    let existing = directory.ancestors().find(|ancestor| ancestor.exists());
    existing.is_some_and(|existing| existing.is_dir() && access(existing, AccessFlags::W_OK).is_ok())
}

fn home_prefix() -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    home.map_or_else(std::env::temp_dir, PathBuf::from).join(".gibbon")
}

/// A path from the root, without a slash at its end.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components().collect()
}
