//! The `gibbon` program: a command line with Kong's commands, and the process they start. Called as `kong` it speaks of
//! itself as Kong, so that scripts written for Kong go on working.

mod brand;
mod certificates;
mod cli;
mod commands;
mod daemon;
mod declarative;
mod exit;
mod journals;
mod machine;
mod open_files;
mod output;
mod pid;
mod prefix;
mod privileges;
mod process;
mod schema;
mod serve;
mod signals;
mod syslog;
mod upgrade;

use std::process::ExitCode;

use crate::brand::Brand;
use crate::exit::Exit;
use crate::output::Output;

/// Many small, short-lived objects on several threads are its strength.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A huge page is two megabytes for the first object in it: the allocator asks for them, and most of what thousands of
    // idle clients seem to cost would be what is empty in between. Without the kernel's consent all stays as it was.
    let _ = nix::sys::prctl::set_thp_disable(true);
    let mut words = std::env::args_os();
    let called = words.next().unwrap_or_else(|| "gibbon".into());
    let brand = Brand::of(&called);
    let command = match cli::parse(brand, std::iter::once(called).chain(words)) {
        Ok(command) => command,
        Err(code) => return code,
    };
    let out = Output::new(command.verbosity());
    match commands::run(command, brand, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit::Silent(code)) => ExitCode::from(code),
        Err(Exit::Failed(error)) => {
            out.failure(&error);
            ExitCode::FAILURE
        }
    }
}
