//! The command line: Kong's commands and flags, and a few of our own.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::brand::Brand;
use crate::output::Verbosity;

/// API gateway, AI gateway and service mesh that speaks Kong.
#[derive(Debug, Parser)]
#[command(name = "gibbon", disable_version_flag = true, disable_help_subcommand = true, arg_required_else_help = true)]
pub struct Line {
    #[command(subcommand)]
    pub command: Command,

    /// Tell what is done
    #[arg(long = "v", short = 'v', global = true, action = ArgAction::Count)]
    verbose: u8,

    /// Tell everything
    #[arg(long = "vv", global = true)]
    debug: bool,
}

impl Line {
    /// How much is told.
    pub fn verbosity(&self) -> Verbosity {
        match (self.debug, self.verbose) {
            (true, _) | (_, 2..) => Verbosity::Debug,
            (false, 1) => Verbosity::Verbose,
            (false, 0) => Verbosity::Quiet,
        }
    }
}

/// Where settings come from.
#[derive(Debug, Clone, Default, Args)]
pub struct Where {
    /// Settings file
    #[arg(short, long, value_name = "FILE")]
    pub conf: Option<PathBuf>,

    /// Working directory of the node
    #[arg(short, long, value_name = "DIRECTORY")]
    pub prefix: Option<PathBuf>,
}

/// Where the node works.
#[derive(Debug, Clone, Default, Args)]
pub struct At {
    /// Working directory of the node
    #[arg(short, long, value_name = "DIRECTORY")]
    pub prefix: Option<PathBuf>,
}

/// What `start` and `restart` take.
#[derive(Debug, Clone, Default, Args)]
pub struct StartFlags {
    #[command(flatten)]
    pub place: Where,

    /// Template of nginx's configuration; accepted for Kong's sake, there is no nginx
    #[arg(long, value_name = "FILE")]
    pub nginx_conf: Option<PathBuf>,

    /// Flags for that template; accepted for Kong's sake
    #[arg(long, value_name = "FLAGS")]
    pub nginx_conf_flags: Option<String>,

    /// Run migrations of the database first
    #[arg(long)]
    pub run_migrations: bool,

    /// Seconds for each operation of the database
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub db_timeout: u64,

    /// Seconds to wait for another node that migrates
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub lock_timeout: u64,
}

/// What the `migrations` commands take.
#[derive(Debug, Clone, Default, Args)]
pub struct MigrationFlags {
    #[command(flatten)]
    pub place: Where,

    /// Answer yes to questions
    #[arg(short, long)]
    pub yes: bool,

    /// Print nothing
    #[arg(short, long)]
    pub quiet: bool,

    /// Run even if it was run before
    #[arg(short, long)]
    pub force: bool,

    /// With bootstrap: take over the configuration of a Kong gateway whose tables are in the database
    #[arg(long)]
    pub from_kong: bool,

    /// Seconds for each operation of the database
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub db_timeout: u64,

    /// Seconds to wait for another node that migrates
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub lock_timeout: u64,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the node in the background
    Start(StartFlags),

    /// Run the node in the foreground
    Run(StartFlags),

    /// Run a node in front of backends of its own, to look around
    Demo,

    /// Stop the node at once
    Stop(At),

    /// Stop the node after the requests under way
    Quit {
        #[command(flatten)]
        at: At,
        /// Seconds until the node is stopped at once
        #[arg(short, long, value_name = "SECONDS", default_value_t = 10)]
        timeout: u64,
        /// Seconds to wait before anything is done
        #[arg(short, long, value_name = "SECONDS", default_value_t = 0)]
        wait: u64,
    },

    /// Stop and start the node
    Restart(StartFlags),

    /// Apply settings and declarative configuration without losing a request
    Reload {
        #[command(flatten)]
        place: Where,
        /// Template of nginx's configuration; accepted for Kong's sake, there is no nginx
        #[arg(long, value_name = "FILE")]
        nginx_conf: Option<PathBuf>,
        /// Flags for that template; accepted for Kong's sake
        #[arg(long, value_name = "FLAGS")]
        nginx_conf_flags: Option<String>,
    },

    /// Check settings without starting
    Check {
        /// Settings file
        conf: Option<PathBuf>,
    },

    /// Make the working directory without starting
    Prepare {
        #[command(flatten)]
        place: Where,
        /// Template of nginx's configuration; accepted for Kong's sake, there is no nginx
        #[arg(long, value_name = "FILE")]
        nginx_conf: Option<PathBuf>,
    },

    /// Tell whether the node runs
    Health(At),

    /// Print the version
    Version {
        /// Also of what it is built from
        #[arg(short, long)]
        all: bool,
    },

    /// Make the node answer that it is not ready
    Drain(Where),

    /// Work with declarative files
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },

    /// Work with control and data planes
    Hybrid {
        #[command(subcommand)]
        action: HybridAction,
    },

    /// Work with secrets
    Vault {
        #[command(subcommand)]
        action: VaultAction,
    },

    /// Work with the database's tables
    Migrations {
        #[command(subcommand)]
        action: MigrationAction,
    },

    /// List the plugins in the order they run in, with priority and phases
    Plugins {
        #[command(flatten)]
        place: Where,
        /// As JSON
        #[arg(long)]
        json: bool,
    },

    /// Print a picture
    Roar,

    /// Print completions for a shell
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },

    /// Print the manual page
    Man,

    /// The process that `start` leaves in the background
    #[command(name = crate::daemon::COMMAND, hide = true)]
    Background {
        /// Working directory, already prepared
        #[arg(long)]
        prefix: PathBuf,
        /// Standard input is a socket to the running node, from which this process takes over
        #[arg(long)]
        successor: bool,
    },
}

/// What can be done with declarative files.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Write an example to kong.yml
    Init,

    /// Check a file
    Parse {
        /// Declarative file
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Where,
    },

    /// Load a file into the database
    #[command(name = "db_import", alias = "db-import")]
    DbImport {
        /// Declarative file
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Where,
    },

    /// Write the database's content to a file
    #[command(name = "db_export", alias = "db-export")]
    DbExport {
        /// Declarative file, kong.yml if none is named
        file: Option<PathBuf>,
        /// The workspace to write; without, the default one
        #[arg(long)]
        workspace: Option<String>,
        #[command(flatten)]
        place: Where,
    },
}

/// What can be done for hybrid mode.
#[derive(Debug, Subcommand)]
pub enum HybridAction {
    /// Make a certificate and key for the link between planes
    #[command(name = "gen_cert", alias = "gen-cert")]
    GenCert {
        /// Certificate, then key; ./cluster.crt and ./cluster.key if none are named
        files: Vec<PathBuf>,
        /// Days of validity
        #[arg(short, long, default_value_t = 1095)]
        days: u32,
    },
}

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub enum VaultAction {
    /// Print the secret of a reference, such as env/my-secret
    Get {
        /// Reference
        reference: Option<String>,
        #[command(flatten)]
        place: Where,
    },
}

/// What can be done with the database's tables.
#[derive(Debug, Subcommand)]
pub enum MigrationAction {
    /// Make all tables
    Bootstrap(MigrationFlags),
    /// Run new migrations
    Up(MigrationFlags),
    /// Finish what `up` left pending
    Finish(MigrationFlags),
    /// List migrations that were run
    List(MigrationFlags),
    /// Drop everything
    Reset(MigrationFlags),
    /// Print the state as JSON
    Status(MigrationFlags),
}

/// The command line as clap sees it, under the name the program was called by.
pub fn command(brand: Brand) -> clap::Command {
    Line::command().name(brand.command()).bin_name(brand.command())
}

/// Reads the command line. Like Kong's, every wrong use ends with code 1; help that was asked for ends with 0.
pub fn parse(brand: Brand, words: impl Iterator<Item = OsString>) -> Result<Line, ExitCode> {
    let parsed = command(brand).try_get_matches_from(words).and_then(|matches| Line::from_arg_matches(&matches));
    parsed.map_err(|error| {
        use clap::error::{ContextKind, ErrorKind};
        if let (ErrorKind::InvalidSubcommand, Some(name)) = (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
            eprintln!("{}: No such command: {name}\n", brand.command());
        }
        // A closed pipe is the reader's choice.
        let _ = error.print();
        if error.kind() == ErrorKind::DisplayHelp { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}
