//! The vaults of this node: configured by its settings where no entity does, reading this process's environment.

use std::sync::Arc;

use gibbon_conf::vault::{Options, Reference, VaultError};
use gibbon_outcall::{Client, Reach};
use gibbon_pdk::HttpClient;
use gibbon_ports::HttpPort;
use gibbon_vaults::strategy::Surroundings;
use gibbon_vaults::{Config, Vaults};

/// Vaults that are asked through `http`.
pub fn vaults(options: &Options, http: Arc<dyn HttpClient>) -> Arc<Vaults> {
    let options = options.clone();
    let by_settings = move |strategy: &str| {
        Config::of_settings(strategy, options.iter().map(|(name, value)| (name, value.to_owned())))
    };
    let variable = Arc::new(|name: &str| std::env::var(name).ok());
    Vaults::new(Surroundings { variable, http }, Box::new(by_settings))
}

/// Reads the secret behind a reference, where no node runs: for settings and commands. Certificates of vaults are
/// verified against the system's authorities, since the settings that name others may be references themselves.
///
/// # Errors
/// Why it cannot be had.
pub fn read_secret(reference: &Reference, options: &Options) -> Result<String, VaultError> {
    let unreadable = |cause: String| VaultError::Unreadable {
        vault: reference.vault.clone(),
        resource: reference.resource.clone(),
        cause,
    };
    let read = || -> anyhow::Result<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut names = crate::settings::system_names();
        names.hosts = gibbon_dns::Hosts::parse(&std::fs::read_to_string("/etc/hosts").unwrap_or_default());
        let resolver = gibbon_dns::Resolver::new(names, Arc::new(gibbon_dns::SystemClock::default()));
        let reach = Arc::new(Reach::new(resolver, None));
        let client = Client::new(reach, runtime.handle().clone());
        let http = Arc::new(HttpPort { client, user_agent: crate::settings::SERVER_TOKEN.into() });
        Ok(runtime.block_on(vaults(options, http).read_once(reference))?)
    };
    read().map_err(|error| unreadable(error.to_string()))
}
