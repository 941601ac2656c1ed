//! Finds the files of a plugin along `lua_package_path`, without running them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gibbon_pdk::Phases;

/// A Lua plugin that was found.
#[derive(Debug)]
pub struct Code {
    pub name: Arc<str>,
    pub phases: Phases,
    version: AtomicU64,
}

impl Code {
    #[must_use]
    pub fn new(name: Arc<str>, phases: Phases, version: u64) -> Self {
        Code { name, phases, version: AtomicU64::new(version) }
    }

    /// Differs when the text of its files did, when they were looked at last.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Has workers read the files anew.
    pub fn renew(&self, version: u64) {
        self.version.store(version, Ordering::Relaxed);
    }
}

/// The file of a module, looked for as `require` does; the places where it is not otherwise.
///
/// # Errors
/// The places looked at, one a line.
pub fn find(module: &str, path: &str) -> Result<PathBuf, String> {
    let relative = module.replace('.', "/");
    let mut tried = String::new();
    for pattern in path.split(';').map(str::trim).filter(|pattern| !pattern.is_empty()) {
        let candidate = pattern.replace('?', &relative);
        let file = PathBuf::from(&candidate);
        if file.is_file() {
            return Ok(file);
        }
        tried.push_str("\n\tno file '");
        tried.push_str(&candidate);
        tried.push('\'');
    }
    Err(tried)
}

/// A number that changes with the text of any file beside the handler.
#[must_use]
pub fn version(handler: &std::path::Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let folder = handler.parent().unwrap_or_else(|| std::path::Path::new("."));
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|e| e == "lua")) {
        file.hash(&mut hasher);
        std::fs::read(file).unwrap_or_default().hash(&mut hasher);
    }
    hasher.finish()
}
