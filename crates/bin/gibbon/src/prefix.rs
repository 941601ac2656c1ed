//! The working directory: its folders, the node's id, the default certificates, and the settings in force, written down for
//! later commands and for the running node's reload.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gibbon_conf::{Loaded, Settings, Sink};

use crate::certificates;
use crate::output::Output;

/// Folders every prefix has.
pub const FOLDERS: [&str; 4] = ["pids", "logs", "ssl", "sockets"];

/// Open files below which a busy node runs short.
const FEW_OPEN_FILES: u64 = 4096;

/// File with the settings in force.
pub fn settings_file(prefix: &Path) -> PathBuf {
    prefix.join(".kong_env")
}

/// File with the process id.
pub fn pid_file(prefix: &Path) -> PathBuf {
    prefix.join("pids/nginx.pid")
}

fn id_file(prefix: &Path) -> PathBuf {
    prefix.join("kong.id")
}

/// Makes the directory ready for a node.
pub fn prepare(loaded: &Loaded, out: &Output) -> anyhow::Result<()> {
    let settings = &loaded.settings;
    let prefix = &settings.prefix;
    out.verbose(format!("preparing prefix directory at {}", prefix.display()));
    if !prefix.exists() {
        out.say(format!("prefix directory {} not found, trying to create it", prefix.display()));
    }
    for folder in FOLDERS {
        let folder = prefix.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    }
    touch_logs(settings)?;
    certificates::make_defaults(settings, out)?;
    node_id(settings)?;
    warn_of_few_open_files(out);
    let path = settings_file(prefix);
    write_privately(&path, 0o640, &written_down(loaded)).with_context(|| format!("could not write {}", path.display()))
}

/// The node's id: the one set, else the one kept in the prefix, else a new one that is kept from now on.
pub fn node_id(settings: &Settings) -> anyhow::Result<String> {
    let path = id_file(&settings.prefix);
    if let Some(id) = &settings.node.id {
        return Ok(id.clone());
    }
    if let Ok(text) = fs::read_to_string(&path)
        && let Ok(id) = uuid::Uuid::parse_str(text.trim())
    {
        return Ok(id.to_string());
    }
    let id = uuid::Uuid::new_v4().to_string();
    write_privately(&path, 0o644, &id).with_context(|| format!("could not write {}", path.display()))?;
    Ok(id)
}

/// Log files exist from the start, so that those who follow them need not wait for the first line.
fn touch_logs(settings: &Settings) -> anyhow::Result<()> {
    let logs = &settings.logs;
    let access =
        [&logs.proxy_access, &logs.stream_access, &logs.admin_access, &logs.status_access, &logs.admin_gui_access];
    let errors = [&logs.proxy_error, &logs.stream_error, &logs.admin_error, &logs.status_error, &logs.admin_gui_error];
    for sink in access.iter().map(|target| &target.sink).chain(errors) {
        if let Sink::File(path) = sink
            && !path.starts_with("/dev")
        {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.with_context(|| format!("could not open the log {}", path.display()))?;
        }
    }
    Ok(())
}

/// Every setting that somebody gave, so that a later command finds the node as it was started. References to secrets are
/// written, not the secrets.
fn written_down(loaded: &Loaded) -> String {
    let mut text = String::from(
        "# Settings of the node in this prefix, written when it is started or reloaded.\n\
         # Do not edit: change the settings file or the environment and reload.\n",
    );
    for (name, given) in loaded.values.all_given().filter(|(name, _)| *name != "prefix") {
        let value = given.reference.as_deref().unwrap_or(&given.text);
        text.push_str(&gibbon_conf::assignment(name, value));
    }
    text
}

fn write_privately(path: &Path, mode: u32, text: &str) -> std::io::Result<()> {
    // Written aside and renamed, so that a reload never reads half a file.
    let aside = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&aside)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&aside, path)
}

fn warn_of_few_open_files(out: &Output) {
    use nix::sys::resource::{Resource, getrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft.max(hard) < FEW_OPEN_FILES
    {
        out.warn(format!(
            "ulimit is currently set to \"{soft}\". For better performance set it to at least \"{FEW_OPEN_FILES}\" using \
             \"ulimit -n\""
        ));
    }
}

/// Whether settings were ever given for a prefix, that is, whether a node was prepared there.
pub fn is_prepared(prefix: &Path) -> bool {
    settings_file(prefix).exists()
}
