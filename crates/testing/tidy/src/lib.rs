//! What the tidiness tests look at: the workspace's crates with their dependencies, and its text files.
//!
//! The rules themselves are in `tests/`: `layering.rs` holds which crate may depend on which, `sources.rs` what files
//! may look like. Both are plain tables; a rule that needs an exception gets a row with its reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A crate of the workspace.
#[derive(Debug)]
pub struct Crate {
    /// The folder under `crates/`: its floor.
    pub floor: String,
    /// Floor and folder name, as in `ground/schema`.
    pub place: String,
    /// The folder itself.
    pub folder: PathBuf,
    /// Crates of this workspace that the product code depends on, by place.
    pub arrows: BTreeSet<String>,
    /// The same of tests and benches.
    pub test_arrows: BTreeSet<String>,
    /// Packages from outside that the product code depends on.
    pub packages: BTreeSet<String>,
    /// Names of Cargo features.
    pub features: BTreeSet<String>,
}

/// The top folder of the workspace.
///
/// # Errors
/// When this crate was moved so that the workspace is not three folders up.
pub fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(3).context("crates/testing/tidy has no workspace above it")?.to_owned())
}

/// Every crate under `crates/`, asked of cargo.
///
/// # Errors
/// When cargo cannot read the manifests.
pub fn crates() -> Result<Vec<Crate>> {
    let root = root()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(&root)
        .output()
        .context("run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages in cargo metadata")?;
    packages.iter().map(|package| read_crate(&root, package)).collect()
}

fn read_crate(root: &Path, package: &Value) -> Result<Crate> {
    let manifest = Path::new(text(package, "manifest_path").context("a package without manifest")?);
    let folder = manifest.parent().context("a manifest without folder")?.to_owned();
    let place = place_of(root, &folder)?;
    let floor = place.split('/').next().unwrap_or_default().to_owned();
    let mut found = Crate {
        floor,
        place,
        folder,
        arrows: BTreeSet::new(),
        test_arrows: BTreeSet::new(),
        packages: BTreeSet::new(),
        features: BTreeSet::new(),
    };
    if let Some(features) = package.get("features").and_then(Value::as_object) {
        found.features = features.keys().cloned().collect();
    }
    for dependency in package.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
        let for_tests = text(dependency, "kind") == Some("dev");
        match text(dependency, "path") {
            Some(path) if for_tests => found.test_arrows.insert(place_of(root, Path::new(path))?),
            Some(path) => found.arrows.insert(place_of(root, Path::new(path))?),
            None if for_tests => false,
            None => found.packages.insert(text(dependency, "name").unwrap_or_default().to_owned()),
        };
    }
    Ok(found)
}

fn place_of(root: &Path, folder: &Path) -> Result<String> {
    let inside = folder.strip_prefix(root.join("crates"));
    let inside = inside.with_context(|| format!("{} is not under crates/", folder.display()))?;
    Ok(inside.display().to_string())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// Folders that hold what tools made, not what people wrote.
const MADE_BY_TOOLS: [&str; 7] = ["target", ".git", "node_modules", "dist", "out", "__pycache__", "certs"];

/// Every file of the project, relative to its top folder, without what tools made.
///
/// # Errors
/// When a folder cannot be read.
pub fn files() -> Result<Vec<PathBuf>> {
    let root = root()?;
    let (mut waiting, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            if MADE_BY_TOOLS.iter().any(|skipped| name == *skipped) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                waiting.push(path);
            } else if let Ok(relative) = path.strip_prefix(&root) {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A file of the project as text; none if it is binary.
///
/// # Errors
/// When it cannot be read.
pub fn read(relative: &Path) -> Result<Option<String>> {
    let bytes = fs::read(root()?.join(relative)).with_context(|| relative.display().to_string())?;
    Ok(String::from_utf8(bytes).ok())
}

/// The part of a Rust source before its `#[cfg(test)]` module: what ends up in the product.
#[must_use]
pub fn product_part(source: &str) -> &str {
    source.find("#[cfg(test)]").and_then(|at| source.get(..at)).unwrap_or(source)
}
