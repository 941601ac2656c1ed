//! Do the examples do what their comments say? Each file under `examples/` is started, and each of its requests sent.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gibbon_acceptance::backends::Backends;
use gibbon_acceptance::example::Example;
use gibbon_testkit::Settings;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../examples");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "yaml")).collect();
    files.sort();
    files
}

fn prove(path: &Path, backends: &Backends) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let example = Example::parse(&text)?;
    let mut settings = Settings::new().config(backends.fill(&text));
    for (name, value) in &example.settings {
        settings = settings.set(name, value);
    }
    let gateway = settings.start()?;
    example.tries.iter().try_for_each(|one| one.check(gateway.addresses().proxy))
}

#[test]
fn every_example_does_what_it_says() {
    let backends = Backends::start().unwrap();
    let mut failures = Vec::new();
    let files = examples();
    assert!(!files.is_empty());
    for path in &files {
        if let Err(error) = prove(path, &backends).with_context(|| path.display().to_string()) {
            failures.push(format!("{error:#}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
