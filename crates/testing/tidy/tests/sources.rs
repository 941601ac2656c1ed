//! What files look like: sources say what they are for, names say what they hold, nothing ties the project to one
//! machine, and no file outgrows a reader.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use gibbon_tidy::{crates, files, read};

/// Names of files and folders that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "util", "utils"];
/// Names that say nothing of a whole crate, though they may of one file within a named folder.
const EMPTY_CRATE_NAMES: &[&str] = &["core", "shared", "types"];

/// Lines in one source file; the aim is half of it.
const MAX_LINES: usize = 1000;
/// Longer files, and why they are right all the same. A path that ends in `/` means everything below it.
const MAY_BE_LONG: &[(&str, &str)] = &[];

/// Files that tools write, which name what they like.
const WRITTEN_BY_TOOLS: &[&str] = &["Cargo.lock", "package-lock.json"];

fn rust_sources() -> Vec<PathBuf> {
    files().unwrap().into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs")).collect()
}

/// Whether an exception names this file, or a folder above it.
fn listed(exceptions: &[(&str, &str)], path: &Path) -> bool {
    exceptions.iter().any(|(name, _)| match name.strip_suffix('/') {
        Some(folder) => path.starts_with(folder),
        None => path == Path::new(name),
    })
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase()
}

#[test]
fn every_source_says_first_what_it_is_for() {
    let mut silent = rust_sources();
    silent.retain(|path| !is_test_module(path) && !read(path).unwrap().unwrap_or_default().starts_with("//!"));
    assert!(silent.is_empty(), "these do not open with //! lines: {silent:#?}");
}

/// `tests.rs` beside the file it tests, which has said what both are about.
fn is_test_module(path: &Path) -> bool {
    path.ends_with("tests.rs") && path.components().any(|part| part.as_os_str() == "src")
}

#[test]
fn no_crate_has_an_empty_name() {
    let is_empty = |name: &str| EMPTY_CRATE_NAMES.contains(&name) || EMPTY_NAMES.contains(&name);
    let mut wrong: Vec<String> = crates().unwrap().into_iter().map(|krate| krate.place).collect();
    wrong.retain(|place| is_empty(place.rsplit('/').next().unwrap()));
    assert!(wrong.is_empty(), "name them by what they hold: {wrong:#?}");
}

#[test]
fn no_file_or_folder_has_an_empty_name() {
    let wrong: Vec<_> = rust_sources()
        .into_iter()
        .filter(|path| {
            let folders = path.parent().into_iter().flat_map(Path::components);
            let mut names = folders.map(|part| part.as_os_str().to_string_lossy().to_lowercase());
            EMPTY_NAMES.contains(&stem(path).as_str()) || names.any(|name| EMPTY_NAMES.contains(&name.as_str()))
        })
        .collect();
    assert!(wrong.is_empty(), "name them by what they hold: {wrong:#?}");
}

#[test]
fn no_source_outgrows_a_reader() {
    let long: Vec<_> = rust_sources()
        .into_iter()
        .filter(|path| !listed(MAY_BE_LONG, path))
        .map(|path| (read(&path).unwrap().unwrap_or_default().lines().count(), path))
        .filter(|(lines, _)| *lines > MAX_LINES)
        .collect();
    assert!(long.is_empty(), "split these by meaning: {long:#?}");
}

#[test]
fn nothing_names_a_path_of_one_machine_or_a_registry_host() {
    // Spelled in two parts, so that this file does not find itself.
    let parts = [
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("/far", "m/"),
        ("/home/", "runner"),
        ("static.crates", ".io"),
        ("index.crates", ".io"),
        ("pypi", ".org"),
        ("files.python", "hosted.org"),
        ("registry.npm", "js.org"),
        ("proxy.go", "lang.org"),
        ("deb.debian", ".org"),
        ("repo.maven", ".apache.org"),
    ];
    let forbidden = parts.map(|(a, b)| format!("{a}{b}"));
    let mut found = Vec::new();
    for path in files().unwrap() {
        if WRITTEN_BY_TOOLS.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let Some(text) = read(&path).unwrap() else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = forbidden.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_manifest_takes_version_edition_and_lints_from_the_workspace() {
    let mut wrong = Vec::new();
    for krate in crates().unwrap() {
        let manifest = std::fs::read_to_string(krate.folder.join("Cargo.toml")).unwrap();
        let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !lines.contains(&format!("{key}.workspace = true").as_str()) {
                wrong.push(format!("{}: {key}.workspace = true is missing", krate.place));
            }
        }
        let lints = lines.iter().position(|line| *line == "[lints]").and_then(|at| lines.get(at + 1));
        if lints != Some(&"workspace = true") {
            wrong.push(format!("{}: [lints] workspace = true is missing", krate.place));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_crate_is_named_after_its_folder() {
    let mut wrong = Vec::new();
    for krate in crates().unwrap() {
        let manifest = std::fs::read_to_string(krate.folder.join("Cargo.toml")).unwrap();
        let folder = krate.place.rsplit('/').next().unwrap();
        let name = if krate.place == "bin/gibbon" { folder.to_owned() } else { format!("gibbon-{folder}") };
        if !manifest.contains(&format!("name = \"{name}\"")) {
            wrong.push(format!("{} should be called {name}", krate.place));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
