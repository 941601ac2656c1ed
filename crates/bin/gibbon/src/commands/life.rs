//! Starting, stopping and looking after a node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gibbon_conf::Loaded;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::brand::Brand;
use crate::cli::{StartFlags, Where};
use crate::exit::{Outcome, fail};
use crate::output::Output;
use crate::process::Origin;
use crate::{daemon, machine, pid, prefix, process, schema};

/// Time `stop` waits for a node that was told to stop at once.
const FAST_STOP: Duration = Duration::from_secs(5);

/// Starts a node in the background, or in the foreground with `nginx_daemon = off`.
pub fn start(flags: &StartFlags, brand: Brand, out: &Output, verbose: bool) -> Outcome {
    let loaded = load_for_start(flags, brand, out)?;
    if !loaded.settings.node.daemon {
        return serve_here(loaded, brand, out);
    }
    daemon::start(&loaded.settings.prefix, brand, verbose)?;
    out.done(format!("{} started", brand.name()));
    Ok(())
}

/// Runs a node in the foreground.
pub fn run(flags: &StartFlags, brand: Brand, out: &Output) -> Outcome {
    let loaded = load_for_start(flags, brand, out)?;
    serve_here(loaded, brand, out)
}

fn serve_here(loaded: Loaded, brand: Brand, out: &Output) -> Outcome {
    for listener in &loaded.settings.listeners.proxy {
        out.verbose(format!("proxy listens on {}", listener.canonical()));
    }
    let message = format!("{} started", brand.name());
    process::run(loaded, brand, Origin::Foreground, move || {
        use std::io::Write as _;
        // Whoever started the node may have closed its output; it serves all the same.
        let _ = writeln!(std::io::stdout(), "{message}");
        Ok(())
    })
}

fn load_for_start(flags: &StartFlags, brand: Brand, out: &Output) -> Result<Loaded, crate::exit::Exit> {
    tell_of_nginx_flags(flags.nginx_conf.is_some(), flags.nginx_conf_flags.is_some(), out);
    let loaded = machine::load(&flags.place, out, false)?;
    let place = &loaded.settings.prefix;
    if pid::running(&prefix::pid_file(place)).is_some() {
        return fail(format!("{} is already running in {}", brand.name(), place.display()));
    }
    gibbon_assembly::refuse_unbuilt(&loaded.settings)?;
    crate::journals::check_formats(&loaded.settings.logs)?;
    if flags.run_migrations
        && let Some(tables) = schema::tables(&loaded.settings)?
    {
        tables.migrations.migrate()?;
    }
    schema::check(&loaded.settings)?;
    prefix::prepare(&loaded, out)?;
    Ok(loaded)
}

/// Flags that Kong passes on to nginx.
pub fn tell_of_nginx_flags(template: bool, flags: bool, out: &Output) {
    if template || flags {
        out.warn("--nginx-conf and --nginx-conf-flags have no effect: there is no nginx underneath");
    }
}

/// The node at a prefix, which must run.
fn running_node(place: &Path, brand: Brand) -> Result<Pid, crate::exit::Exit> {
    if !place.exists() {
        return fail(format!("no such prefix: {}", place.display()));
    }
    match pid::running(&prefix::pid_file(place)) {
        Some(pid) => Ok(pid),
        None => fail(brand.not_running(place)),
    }
}

fn place(given: Option<PathBuf>, out: &Output) -> Result<PathBuf, crate::exit::Exit> {
    machine::prefix_of(&Where { conf: None, prefix: given }, out)
}

/// Stops a node at once.
pub fn stop(at: Option<PathBuf>, brand: Brand, out: &Output) -> Outcome {
    let place = place(at, out)?;
    let node = running_node(&place, brand)?;
    out.verbose(format!("sending TERM to process {node}"));
    pid::signal(node, Signal::SIGTERM)?;
    if !pid::wait_until_gone(&prefix::pid_file(&place), FAST_STOP) {
        out.verbose("the node is still stopping");
    }
    out.done(format!("{} stopped", brand.name()));
    Ok(())
}

/// Stops a node after its requests, or at once when time is up.
pub fn quit(at: Option<PathBuf>, timeout: u64, wait: u64, brand: Brand, out: &Output) -> Outcome {
    let place = place(at, out)?;
    let node = running_node(&place, brand)?;
    if wait > 0 {
        out.verbose(format!("waiting {wait} seconds before quitting"));
        std::thread::sleep(Duration::from_secs(wait));
    }
    pid::signal(node, Signal::SIGQUIT)?;
    out.verbose("waiting for requests under way");
    let file = prefix::pid_file(&place);
    if pid::wait_until_gone(&file, Duration::from_secs(timeout.max(1))) {
        out.done(format!("{} stopped (gracefully)", brand.name()));
        return Ok(());
    }
    out.verbose(format!("still running at {}, forcing shutdown", place.display()));
    pid::signal(node, Signal::SIGTERM)?;
    pid::wait_until_gone(&file, FAST_STOP);
    out.say(format!("Timeout, {} stopped forcefully", brand.name()));
    Ok(())
}

/// Stops a node if it runs, and starts it.
pub fn restart(mut flags: StartFlags, brand: Brand, out: &Output, verbose: bool) -> Outcome {
    let place = machine::prefix_of(&flags.place, out)?;
    // Without a file the settings the node was started with count, as far as the environment does not say otherwise.
    if flags.place.conf.is_none() && flags.place.prefix.is_some() && prefix::is_prepared(&place) {
        flags.place.conf = Some(prefix::settings_file(&place));
    }
    flags.place.prefix = Some(place.clone());
    if pid::running(&prefix::pid_file(&place)).is_some() {
        stop(Some(place), brand, out)?;
    }
    start(&flags, brand, out, verbose)
}

/// Has a node read its settings again.
pub fn reload(given: &Where, brand: Brand, out: &Output) -> Outcome {
    let place = machine::prefix_of(given, out)?;
    let node = running_node(&place, brand)?;
    let conf = given.conf.clone().or_else(|| prefix::is_prepared(&place).then(|| prefix::settings_file(&place)));
    let loaded = machine::load(&Where { conf, prefix: Some(place) }, out, false)?;
    gibbon_assembly::refuse_unbuilt(&loaded.settings)?;
    crate::journals::check_formats(&loaded.settings.logs)?;
    prefix::prepare(&loaded, out)?;
    pid::signal(node, Signal::SIGHUP)?;
    out.done(format!("{} reloaded", brand.name()));
    Ok(())
}

/// Makes a prefix ready.
pub fn prepare(place: &Where, out: &Output) -> Outcome {
    let loaded = machine::load(place, out, false)?;
    prefix::prepare(&loaded, out)?;
    Ok(())
}

/// Tells whether a node runs.
pub fn health(at: Option<PathBuf>, brand: Brand, out: &Output) -> Outcome {
    let place = place(at, out)?;
    if !place.exists() {
        return fail(format!("no such prefix: {}", place.display()));
    }
    if !prefix::is_prepared(&place) {
        return fail(format!("{} is not running at {}", brand.name(), place.display()));
    }
    let running = pid::running(&prefix::pid_file(&place)).is_some();
    out.say(format!("{:.<12}{}\n", brand.process(), if running { "running" } else { "not running" }));
    if !running {
        return fail(format!("{} is not running at {}", brand.name(), place.display()));
    }
    out.done(format!("{} is healthy at {}", brand.name(), place.display()));
    Ok(())
}
