//! The commands, one file for each that has more than a few lines.

mod check;
mod config;
mod demo;
mod drain;
mod hybrid;
mod life;
mod migrations;
mod plugins;
mod vault;

use std::io::Write as _;

use crate::brand::{Brand, VERSION};
use crate::cli::{self, Command, Line};
use crate::daemon;
use crate::exit::Outcome;
use crate::output::{Output, Verbosity};
use crate::upgrade;

/// Runs one command.
pub fn run(line: Line, brand: Brand, out: &Output) -> Outcome {
    let verbose = line.verbosity() > Verbosity::Quiet;
    match line.command {
        Command::Start(flags) => life::start(&flags, brand, out, verbose),
        Command::Run(flags) => life::run(&flags, brand, out),
        Command::Demo => demo::run(brand, out),
        Command::Stop(at) => life::stop(at.prefix, brand, out),
        Command::Quit { at, timeout, wait } => life::quit(at.prefix, timeout, wait, brand, out),
        Command::Restart(flags) => life::restart(flags, brand, out, verbose),
        Command::Reload { place, nginx_conf, nginx_conf_flags } => {
            life::tell_of_nginx_flags(nginx_conf.is_some(), nginx_conf_flags.is_some(), out);
            life::reload(&place, brand, out)
        }
        Command::Prepare { place, nginx_conf } => {
            life::tell_of_nginx_flags(nginx_conf.is_some(), false, out);
            life::prepare(&place, out)
        }
        Command::Check { conf } => check::check(conf, brand, out),
        Command::Health(at) => life::health(at.prefix, brand, out),
        Command::Version { all } => version(all, brand, out),
        Command::Drain(place) => drain::drain(&place, brand, out),
        Command::Config { action } => config::run(action, brand, out),
        Command::Hybrid { action } => hybrid::run(action, out),
        Command::Vault { action } => vault::run(action, brand, out),
        Command::Migrations { action } => migrations::run(action, brand, out),
        Command::Plugins { place, json } => plugins::list(&place, json, out),
        Command::Roar => roar(out),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut cli::command(brand), brand.command(), &mut std::io::stdout());
            Ok(())
        }
        Command::Man => manual(brand),
        Command::Background { prefix, successor: false } => daemon::serve(&prefix, brand),
        Command::Background { prefix, successor: true } => upgrade::succeed(&prefix, brand),
    }
}

fn version(all: bool, brand: Brand, out: &Output) -> Outcome {
    let kong = gibbon_conf::Compat::default().version();
    match (brand, all) {
        (Brand::Kong, false) => out.say(kong),
        (Brand::Gibbon, false) => out.say(format!("{VERSION} (Kong {kong})")),
        (_, true) => {
            out.say(format!("Kong: {kong}\nGibbon: {VERSION}\nTLS: rustls with aws-lc\nLua: LuaJIT 2.1"));
        }
    }
    Ok(())
}

fn manual(brand: Brand) -> Outcome {
    let mut page = Vec::new();
    clap_mangen::Man::new(cli::command(brand)).render(&mut page)?;
    std::io::stdout().write_all(&page)?;
    Ok(())
}

fn roar(out: &Output) -> Outcome {
    out.say(include_str!("roar.txt").trim_end());
    Ok(())
}
