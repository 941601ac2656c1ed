//! The vaults of this node: configured by its settings where no entity does, reading this process's environment.

use std::sync::Arc;

use gibbon_conf::vault::{Options, Reference, VaultError};
use gibbon_model::DEFAULT_WORKSPACE_ID;
use gibbon_outcall::{Client, Reach};
use gibbon_pdk::{EntityKey, HttpClient, SecretReader, SendFuture, Store as _};
use gibbon_ports::{HttpPort, StorePort};
use gibbon_vaults::strategy::Surroundings;
use gibbon_vaults::{Config, ReadError, Vaults};
use uuid::Uuid;

/// Vaults that are asked through `http`.
pub fn vaults(options: &Options, http: Arc<dyn HttpClient>) -> Arc<Vaults> {
    let options = options.clone();
    let by_settings = move |strategy: &str| {
        Config::of_settings(strategy, options.iter().map(|(name, value)| (name, value.to_owned())))
    };
    let variable = Arc::new(|name: &str| std::env::var(name).ok());
    Vaults::new(Surroundings { variable, http }, Box::new(by_settings))
}

/// Reads secrets for whoever asks by reference while the node runs, from the vaults that entities describe as well.
pub struct ByReference {
    pub vaults: Arc<Vaults>,
    pub store: Arc<StorePort>,
}

impl SecretReader for ByReference {
    fn read<'a>(&'a self, reference: &'a str) -> SendFuture<'a, Result<String, String>> {
        Box::pin(async move {
            let parsed = Reference::parse(reference).map_err(|error| error.to_string())?;
            let workspace = Uuid::parse_str(DEFAULT_WORKSPACE_ID).unwrap_or_default();
            let key = EntityKey::Unique { field: "prefix".to_owned(), value: parsed.vault.clone() };
            let vault = match self.store.entities() {
                Some(entities) => {
                    entities.select(workspace, "vaults".to_owned(), key).await.map_err(|e| e.to_string())?
                }
                None => None,
            };
            self.vaults.read_from(&parsed, vault.as_ref()).await.map_err(|error| error.to_string())
        })
    }
}

/// Reads the secret behind a reference, where no node runs: for settings and commands. Certificates of vaults are
/// verified against the system's authorities, since the settings that name others may be references themselves.
///
/// # Errors
/// Why it cannot be had.
pub fn read_secret(reference: &Reference, options: &Options) -> Result<String, VaultError> {
    let (vault, resource) = (reference.vault.clone(), reference.resource.clone());
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
    read().map_err(|error| match error.downcast::<ReadError>() {
        Ok(ReadError::NotFound) => VaultError::NotFound { vault, resource },
        Ok(ReadError::Reference(error)) => error,
        Ok(ReadError::NoVault(_)) => VaultError::NoVault(vault),
        Ok(error) => VaultError::Unreadable { vault, resource, cause: error.to_string() },
        Err(error) => VaultError::Unreadable { vault, resource, cause: error.to_string() },
    })
}
