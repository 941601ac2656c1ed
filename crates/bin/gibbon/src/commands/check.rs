//! Checks settings without starting anything: every fault on a line of its own, then what is worth knowing.

use std::path::PathBuf;

use gibbon_conf::{Input, Refused};

use crate::brand::Brand;
use crate::exit::{Exit, Outcome, fail};
use crate::machine::{self, ThisMachine};
use crate::output::Output;

/// Checks a file, the default one if none is named.
pub fn check(conf: Option<PathBuf>, brand: Brand, out: &Output) -> Outcome {
    let default = PathBuf::from("/etc/kong/kong.conf");
    let path = conf.clone().unwrap_or(default);
    let file = match std::fs::read_to_string(&path) {
        Ok(text) => Some((path.display().to_string(), text)),
        Err(_) if conf.is_none() && brand == Brand::Gibbon => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            out.error(format!("no file at: {}", path.display()));
            return Err(Exit::Silent(1));
        }
        Err(error) => return fail(format!("could not load config file: {}: {error}", path.display())),
    };
    let input = Input { file, environment: machine::environment(), arguments: Vec::new() };
    let loaded = gibbon_conf::load(&input, &ThisMachine).map_err(|refused| tell(&refused, out))?;
    loaded.notices.iter().for_each(|notice| out.warn(notice));
    let formats = || crate::journals::check_formats(&loaded.settings.logs);
    if let Err(error) = formats().and_then(|()| gibbon_assembly::check(&loaded.settings, &loaded.values)) {
        out.error(format!("{error:#}"));
        return Err(Exit::Silent(1));
    }
    match input.file {
        Some((path, _)) => out.done(format!("configuration at {path} is valid")),
        None => out.done("no configuration file; defaults and environment are valid"),
    }
    Ok(())
}

fn tell(refused: &Refused, out: &Output) -> Exit {
    refused.notices.iter().for_each(|notice| out.warn(notice));
    refused.faults.iter().for_each(|fault| out.error(fault));
    Exit::Silent(1)
}
