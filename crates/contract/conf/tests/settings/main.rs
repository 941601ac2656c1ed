//! What a configuration means: the table, the layers, the typed form, the rules between settings.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod defaults;
mod injected_directives;
mod layers;
mod logs;
mod names;
mod pending;
mod rules_between_settings;
mod secrets;
mod the_table;
mod tls;
mod traffic;
mod unsafe_choices;

use std::path::Path;
use std::time::Duration;

use gibbon_conf::listen::Address;
use gibbon_conf::vault::{Options, Reference, VaultError};
use gibbon_conf::*;

/// A machine on which only some paths exist.
#[derive(Default)]
struct Machine {
    paths: Vec<&'static str>,
}

impl Surroundings for Machine {
    fn exists(&self, path: &Path) -> bool {
        self.paths.iter().any(|known| Path::new(known) == path)
    }

    /// A vault that knows nobody without its token.
    fn secret(&self, reference: &Reference, options: &Options) -> Result<String, VaultError> {
        let token = options.iter().find(|(name, _)| *name == "vault_hcv_token").map(|(_, token)| token);
        match (reference.vault.as_str(), token) {
            ("hcv", Some("of-the-vault")) => Ok("from-hcv".into()),
            _ => Err(VaultError::NoVault(reference.vault.clone())),
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_file(text: &str) -> Result<Loaded, Refused> {
    load(&Input { file: Some(("kong.conf".into(), text.into())), ..Input::default() }, &Machine::default())
}

fn from_environment(variables: &[(&str, &str)]) -> Result<Loaded, Refused> {
    load(&Input { environment: pairs(variables), ..Input::default() }, &Machine::default())
}

fn settings(text: &str) -> Settings {
    from_file(text).unwrap().settings
}

fn faults(text: &str) -> Vec<String> {
    from_file(text).unwrap_err().faults.iter().map(|fault| fault.message.clone()).collect()
}

fn notices(text: &str, kind: NoticeKind) -> Vec<String> {
    from_file(text).unwrap().notices.iter().filter(|n| n.kind == kind).map(ToString::to_string).collect()
}
