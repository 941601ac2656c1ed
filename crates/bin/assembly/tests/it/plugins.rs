//! What holds of every bundled plugin: it has a page with an example that is accepted, and what it has beyond Kong's is
//! on one list.

use std::fs;
use std::path::{Path, PathBuf};

use gibbon_assembly::bundled;

use crate::rig::Rig;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../..");

/// The folder of a plugin, whichever family it is of.
fn folder(plugin: &str) -> PathBuf {
    let families = fs::read_dir(Path::new(ROOT).join("crates/plugins")).unwrap();
    let mut folders = families.map(|family| family.unwrap().path().join("src").join(plugin.replace('-', "_")));
    folders.find(|folder| folder.is_dir()).unwrap_or_else(|| panic!("{plugin} has no folder"))
}

#[test]
fn every_plugin_has_a_readme_whose_examples_are_accepted() {
    let rig = Rig::bare(&[]);
    for name in bundled().keys() {
        let readme = folder(name).join("README.md");
        let text = fs::read_to_string(&readme).unwrap_or_else(|e| panic!("{}: {e}", readme.display()));
        let examples: Vec<&str> =
            text.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
        assert!(examples.iter().any(|example| example.contains(&format!("name: {name}"))), "{name} has no example");
        for example in examples {
            let declared = rig.running().declarative.replace(example.as_bytes());
            assert!(declared.is_ok(), "{}: {:#}", readme.display(), declared.err().unwrap());
        }
    }
}

#[test]
fn what_is_beyond_kongs_plugins_is_on_one_list() {
    let mut names: Vec<_> = bundled().into_iter().collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let additions: Vec<String> =
        names.iter().flat_map(|(name, plugin)| gibbon_rig::parity::additions(name, &plugin.schema)).collect();
    let mut page = "# Additions to Kong's plugins\n\nWhat the configurations of bundled plugins have beyond those of Kong \
        3.10: fields that a later version brought, and our own.\nAll of them are absent while unset, and a plugin then does \
        what Kong's does.\n\n"
        .to_owned();
    additions.iter().for_each(|line| page += &format!("- {line}\n"));
    println!("{page}");
    let path = Path::new(ROOT).join("docs/plugin-additions.md");
    if std::env::var_os("GIBBON_WRITE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/plugin-additions.md is old: run this test with GIBBON_WRITE_DOCS=1");
}
