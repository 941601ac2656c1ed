//! What commands print: plain in a pipe, with colours on a terminal. Kong's forms: messages bare on standard output,
//! `Error: …` on standard error, and log lines with a time where something is only told.

use std::io::{IsTerminal as _, Write as _};

use jiff::Zoned;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Messages only.
    Quiet,
    /// `--v`.
    Verbose,
    /// `--vv`.
    Debug,
}

/// The terminal or pipe a command prints to.
#[derive(Debug)]
pub struct Output {
    verbosity: Verbosity,
    colours: bool,
}

const RED: &str = "31";
const YELLOW: &str = "33";
const GREEN: &str = "32";
const DIM: &str = "2";

impl Output {
    /// Colours are used on a terminal, unless NO_COLOR is set.
    pub fn new(verbosity: Verbosity) -> Self {
        let colours = std::io::stderr().is_terminal()
            && std::io::stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { verbosity, colours }
    }

    /// A message.
    pub fn say(&self, message: impl std::fmt::Display) {
        // A closed pipe is the reader's choice.
        let _ = writeln!(std::io::stdout(), "{message}");
    }

    /// A message of success.
    pub fn done(&self, message: impl std::fmt::Display) {
        self.say(self.painted(GREEN, &message.to_string()));
    }

    /// Only with `--v`.
    pub fn verbose(&self, message: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.log(DIM, "verbose", &message.to_string());
        }
    }

    /// Only with `--vv`.
    pub fn debug(&self, message: impl std::fmt::Display) {
        if self.verbosity >= Verbosity::Debug {
            self.log(DIM, "debug", &message.to_string());
        }
    }

    /// Something is odd, and the command goes on.
    pub fn warn(&self, message: impl std::fmt::Display) {
        self.log(YELLOW, "warn", &message.to_string());
    }

    /// One of several faults.
    pub fn error(&self, message: impl std::fmt::Display) {
        self.log(RED, "error", &message.to_string());
    }

    /// The command failed.
    pub fn failure(&self, error: &anyhow::Error) {
        let label = self.painted(RED, "Error:");
        let mut text = format!("{label} {error:#}\n");
        if self.verbosity == Verbosity::Quiet {
            text.push_str("\n  Run with --v (verbose) or --vv (debug) for more details\n");
        }
        let _ = std::io::stderr().write_all(text.as_bytes());
    }

    fn log(&self, colour: &str, level: &str, message: &str) {
        let time = Zoned::now().strftime("%Y/%m/%d %H:%M:%S").to_string();
        let level = self.painted(colour, &format!("[{level}]"));
        let _ = writeln!(std::io::stderr(), "{time} {level} {message}");
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
