//! The database's tables.

use std::io::IsTerminal as _;

use gibbon_assembly::MigrationState;
use gibbon_conf::{Database, Datastore, Settings};

use crate::brand::Brand;
use crate::cli::MigrationAction;
use crate::exit::{Exit, Outcome, fail};
use crate::output::Output;
use crate::{machine, schema};

/// Runs a `migrations` command.
pub fn run(action: MigrationAction, brand: Brand, out: &Output) -> Outcome {
    use MigrationAction::{Bootstrap, Finish, List, Reset, Status, Up};
    let (Bootstrap(flags) | Up(flags) | Finish(flags) | List(flags) | Reset(flags) | Status(flags)) = &action;
    let loaded = machine::load(&flags.place, out, true)?;
    let say = |message: &str| {
        if !flags.quiet {
            out.say(message);
        }
    };
    let Some(tables) = schema::tables(&loaded.settings)? else { return by_itself(&action, &loaded.settings, &say) };
    let state = tables.migrations.state()?;
    match (&action, &state) {
        (Status(_), _) => say(&schema::status(&state)),
        (List(_), _) => return list(&state, brand, &say),
        (Reset(flags), _) => {
            if agreed(flags.yes, &say)? {
                tables.migrations.reset()?;
                say("Database successfully reset");
            }
        }
        (Bootstrap(_), MigrationState::Present { .. }) => say("Database already bootstrapped"),
        (Bootstrap(_), MigrationState::ForeignOnly) | (_, MigrationState::Newer) => gibbon_assembly::readiness(&state)?,
        (Bootstrap(_), MigrationState::Absent) => {
            made(&tables.migrations.migrate()?, &say);
            say("Database is up-to-date");
        }
        (Up(_) | Finish(_), MigrationState::Absent | MigrationState::ForeignOnly) => {
            gibbon_assembly::readiness(&state)?
        }
        (Up(_), MigrationState::Present { pending }) if pending.is_empty() => say("Database is already up-to-date"),
        (Up(_), MigrationState::Present { .. }) => {
            made(&tables.migrations.migrate()?, &say);
            say("Database is up-to-date");
        }
        // Every step is whole by itself, so that nothing is ever left to finish.
        (Finish(_), MigrationState::Present { .. }) => say("No pending migrations to finish"),
    }
    Ok(())
}

fn made(steps: &[&str], say: &dyn Fn(&str)) {
    for step in steps {
        say(&format!("migrated: {step}"));
    }
}

/// Exit codes are Kong's: 3 to be bootstrapped, 5 new ones available, 0 up to date.
fn list(state: &MigrationState, brand: Brand, say: &dyn Fn(&str)) -> Outcome {
    match state {
        MigrationState::Absent | MigrationState::ForeignOnly => {
            say(&format!("Database needs bootstrapping; run '{} migrations bootstrap'", brand.command()));
            Err(Exit::Silent(3))
        }
        MigrationState::Present { pending } if pending.is_empty() => {
            say("Database is already up-to-date");
            Ok(())
        }
        MigrationState::Present { pending } => {
            say(&format!(
                "New migrations available: {}; run '{} migrations up' to proceed",
                pending.join(", "),
                brand.command()
            ));
            Err(Exit::Silent(5))
        }
        MigrationState::Newer => fail("the database's tables were made by a later release"),
    }
}

/// Of a database whose tables follow the program by themselves.
fn by_itself(action: &MigrationAction, settings: &Settings, say: &dyn Fn(&str)) -> Outcome {
    match action {
        MigrationAction::Bootstrap(_) => say("Database already bootstrapped"),
        MigrationAction::Up(_) | MigrationAction::List(_) => say("Database is already up-to-date"),
        MigrationAction::Finish(_) => say("No pending migrations to finish"),
        MigrationAction::Status(_) => say(&schema::status(&MigrationState::Present { pending: Vec::new() })),
        MigrationAction::Reset(flags) => {
            if agreed(flags.yes, say)? {
                remove(&settings.datastore)?;
                say("Database successfully reset");
            }
        }
    }
    Ok(())
}

/// Removes the embedded database's files.
fn remove(datastore: &Datastore) -> anyhow::Result<()> {
    if datastore.database != Database::Sqlite {
        return Ok(());
    }
    for end in ["", "-wal", "-shm"] {
        let mut path = datastore.sqlite_path.clone().into_os_string();
        path.push(end);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn agreed(yes: bool, say: &dyn Fn(&str)) -> Result<bool, Exit> {
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return fail("not a tty: invoke 'reset' non-interactively with the --yes flag");
    }
    let agreed = confirmed("Are you sure? This operation is irreversible.");
    if !agreed {
        say("cancelled");
    }
    Ok(agreed)
}

/// Asks up to three times; no clear answer is a no.
fn confirmed(question: &str) -> bool {
    for _ in 0..3 {
        eprint!("> {question} [Y/n] ");
        let mut answer = String::new();
        if std::io::stdin().read_line(&mut answer).is_err() {
            return false;
        }
        match answer.trim() {
            "y" | "Y" | "yes" | "YES" => return true,
            "n" | "N" | "no" | "NO" => return false,
            _ => {}
        }
    }
    false
}
