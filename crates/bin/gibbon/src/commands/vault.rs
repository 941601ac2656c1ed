//! Prints a secret.

use gibbon_conf::vault::{Reference, is_reference};

use crate::brand::Brand;
use crate::cli::VaultAction;
use crate::exit::{Outcome, fail};
use crate::machine;
use crate::output::Output;

/// Runs a `vault` command.
pub fn run(action: VaultAction, brand: Brand, out: &Output) -> Outcome {
    let VaultAction::Get { reference, place } = action;
    let Some(reference) = reference else {
        let command = brand.command();
        return fail(format!("the 'get' command needs a <reference> argument \n{command} vault get <reference>"));
    };
    let text = if is_reference(&reference) { reference } else { format!("{{vault://{reference}}}") };
    let reference = Reference::parse(&text)?;
    let loaded = machine::load(&place, out, true)?;
    out.say(gibbon_assembly::read_secret(&reference, &loaded.settings.vault_options)?);
    Ok(())
}
