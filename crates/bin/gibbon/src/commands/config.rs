//! Declarative files: an example, a check, import into and export from the database.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gibbon_assembly::Offline;
use gibbon_conf::Database;

use crate::brand::Brand;
use crate::cli::{ConfigAction, Where};
use crate::declarative;
use crate::exit::{Exit, Outcome, fail};
use crate::machine;
use crate::output::Output;

const FILE: &str = "kong.yml";

/// Runs a `config` command.
pub fn run(action: ConfigAction, brand: Brand, out: &Output) -> Outcome {
    match action {
        ConfigAction::Init => init(),
        ConfigAction::Parse { file, place: _ } => {
            parse(file, brand)?;
            out.say("parse successful");
            Ok(())
        }
        ConfigAction::DbImport { file, place } => import(file, &place, brand, out),
        ConfigAction::DbExport { file, workspace, place } => export(file, workspace.as_deref(), &place, out),
    }
}

fn init() -> Outcome {
    match OpenOptions::new().create_new(true).write(true).open(FILE) {
        Ok(mut file) => Ok(file.write_all(declarative::EXAMPLE.as_bytes())?),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fail(format!("{FILE} already exists in the current directory.\nWill not overwrite it."))
        }
        Err(error) => fail(format!("could not write {FILE}: {error}")),
    }
}

fn parse(file: Option<PathBuf>, brand: Brand) -> Result<serde_json::Value, Exit> {
    let Some(file) = file else {
        return fail(format!("expected a declarative configuration file; see `{} config --help`", brand.command()));
    };
    declarative::parse(&file).map_err(|error| Exit::Failed(anyhow::anyhow!("Failed parsing:\n{error:#}")))
}

fn import(file: Option<PathBuf>, place: &Where, brand: Brand, out: &Output) -> Outcome {
    let loaded = machine::load(place, out, true)?;
    if loaded.settings.datastore.database == Database::Off {
        return fail(format!(
            "'{} config db_import' only works with a database.\nWhen using database=off, reload your declarative \
             configuration\nusing the /config endpoint.",
            brand.command()
        ));
    }
    let Some(file) = file else {
        return fail(format!("expected a declarative configuration file; see `{} config --help`", brand.command()));
    };
    let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let store = Offline::open(&loaded.settings)?;
    out.say("beginning import");
    match store.import(&text) {
        Ok(_) => out.say("import successful"),
        Err(error) => return fail(format!("Failed importing:\n{error:#}")),
    }
    Ok(())
}

fn export(file: Option<PathBuf>, workspace: Option<&str>, place: &Where, out: &Output) -> Outcome {
    let file = file.unwrap_or_else(|| PathBuf::from(FILE));
    if Path::new(&file).exists() {
        return fail(format!("{} already exists in the current directory.\nWill not overwrite it.", file.display()));
    }
    let loaded = machine::load(place, out, true)?;
    if loaded.settings.datastore.database == Database::Off {
        return fail("'config db_export' only works with a database.");
    }
    let store = Offline::open(&loaded.settings)?;
    let text = store.export(workspace)?;
    // It holds secrets: nobody else may read it.
    let made = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&file);
    let written = made.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("could not write {}", file.display()))?;
    let others = store.other_workspaces()?;
    if workspace.is_none() && !others.is_empty() {
        out.say(format!(
            "other workspaces are written with --workspace, each to a file of its own: {}",
            others.join(", ")
        ));
    }
    Ok(())
}
