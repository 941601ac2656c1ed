//! Going to the background: `start` runs this program again as a session of its own and waits for its word. The child's
//! standard output is the pipe it reports through: `ready`, or why it could not start.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::Context as _;
use gibbon_conf::{Settings, Sink};
use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

use crate::brand::Brand;
use crate::exit::{Exit, Outcome, fail};
use crate::process::Origin;
use crate::upgrade::Program;
use crate::{machine, process};

/// Name of the hidden command the child runs.
pub const COMMAND: &str = "serve-in-background";

const READY: &str = "ready";

/// Starts the node of a prepared prefix in the background and waits until it listens.
pub fn start(prefix: &Path, brand: Brand, verbose: bool) -> Outcome {
    let mut command = Program::this(brand)?.background(prefix);
    if verbose {
        command.arg("--v");
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let mut child = child.context("could not start the background process")?;
    let mut word = String::new();
    if let Some(pipe) = child.stdout.as_mut() {
        pipe.read_to_string(&mut word).context("could not hear from the background process")?;
    }
    match word.trim_end() {
        READY => Ok(()),
        "" => {
            let status = child.wait().context("could not wait for the background process")?;
            fail(format!("the background process ended without a word ({status})"))
        }
        reason => {
            // It has said its last word; waiting leaves no zombie behind.
            let _ = child.wait();
            fail(reason)
        }
    }
}

/// The child: serves, after telling the parent that it listens or why it cannot.
pub fn serve(prefix: &Path, brand: Brand) -> Outcome {
    // It fails only where this process leads a session already, which is what is wanted.
    let _ = setsid();
    let served = machine::load_prepared(prefix).and_then(|loaded| {
        let settings = loaded.settings.clone();
        process::run(loaded, brand, Origin::Background, move || {
            report(READY)?;
            detach(&settings)
        })
    });
    match served {
        Ok(()) => Ok(()),
        Err(Exit::Failed(error)) => {
            tracing::error!(severity = "emerg", "{error:#}");
            let _ = report(&format!("{error:#}"));
            Err(Exit::Silent(1))
        }
        Err(silent) => Err(silent),
    }
}

fn report(word: &str) -> anyhow::Result<()> {
    let mut pipe = std::io::stdout();
    writeln!(pipe, "{word}")?;
    pipe.flush().context("the starting command is gone")
}

/// Lets go of the terminal: output goes nowhere (unless a log was asked for there), and what a panic says goes to the error
/// log.
fn detach(settings: &Settings) -> anyhow::Result<()> {
    let nowhere = OpenOptions::new().write(true).open("/dev/null").context("could not open /dev/null")?;
    dup2_stdout(&nowhere)?;
    let errors: Option<File> = match &settings.logs.proxy_error {
        Sink::File(path) if path.starts_with("/dev") => return Ok(()),
        Sink::File(path) => OpenOptions::new().append(true).open(path).ok(),
        Sink::Off | Sink::Syslog(_) => None,
    };
    dup2_stderr(errors.as_ref().unwrap_or(&nowhere))?;
    Ok(())
}
