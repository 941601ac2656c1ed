//! The database's tables.

use std::io::IsTerminal as _;

use crate::brand::Brand;
use crate::cli::{MigrationAction, MigrationFlags};
use crate::exit::{Outcome, fail};
use crate::output::Output;
use crate::{machine, schema};

/// Runs a `migrations` command. Exit codes of `list` are Kong's: 3 to be bootstrapped, 5 new, 4 pending, 0 up to date.
pub fn run(action: MigrationAction, _brand: Brand, out: &Output) -> Outcome {
    use MigrationAction::{Bootstrap, Finish, List, Reset, Status, Up};
    let (Bootstrap(flags) | Up(flags) | Finish(flags) | List(flags) | Reset(flags) | Status(flags)) = &action;
    let loaded = machine::load(&flags.place, out, true)?;
    let schema::State::UpToDate = schema::state(&loaded.settings)?;
    let say = |message: &str| {
        if !flags.quiet {
            out.say(message);
        }
    };
    match &action {
        Bootstrap(_) => say("Database already bootstrapped"),
        Up(_) | List(_) => say("Database is already up-to-date"),
        Finish(_) => say("No pending migrations to finish"),
        Status(_) => say(r#"{"needs_bootstrap":false,"new_migrations":[],"pending_migrations":[]}"#),
        Reset(flags) => return reset(flags, &say),
    }
    Ok(())
}

fn reset(flags: &MigrationFlags, say: &dyn Fn(&str)) -> Outcome {
    if !flags.yes {
        if !std::io::stdin().is_terminal() {
            return fail("not a tty: invoke 'reset' non-interactively with the --yes flag");
        }
        if !confirmed("Are you sure? This operation is irreversible.") {
            say("cancelled");
            return Ok(());
        }
    }
    fail("the datastore is not part of this build")
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
