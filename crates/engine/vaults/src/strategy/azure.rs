//! Azure Key Vault: `{vault://azure/db-password}` is the current version of the secret `db-password`.
//!
//! Who asks is a client with its secret, by the vault's configuration or the environment (`AZURE_TENANT_ID`,
//! `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`, or with another prefix that the vault names); a client that a pod's token
//! stands for; or the managed identity of the app service or the machine.

use std::sync::Arc;

use gibbon_cloud::{Address, TokenSource, Tokens, azure};
use gibbon_conf::vault::Reference;
use gibbon_message::Method;
use gibbon_pdk::{Clouds, HttpClient, SendFuture};
use serde_json::Value;

use super::{ReadError, Strategy, Surroundings, bearer, segment};
use crate::config::{Config, ConfigError};

/// The version of Key Vault's interface.
const API: &str = "7.4";
/// What tokens are for, by the end of the vault's host name: Azure has clouds of its own for some countries.
const RESOURCES: [&str; 3] = ["vault.azure.net", "vault.azure.cn", "vault.usgovcloudapi.net"];

pub struct Azure {
    vault: Address,
    tokens: Tokens,
    http: Arc<dyn HttpClient>,
}

impl Azure {
    pub fn new(config: &Config, surroundings: &Surroundings) -> Result<Self, ConfigError> {
        let uri = config.required("vault_uri")?.trim_end_matches('/');
        let vault = Address::parse(uri)
            .map_err(|_| ConfigError::Unsupported { field: "vault_uri", supported: "an http or https URL" })?;
        if config.text("type").is_some_and(|kind| kind != "secrets") {
            return Err(ConfigError::Unsupported { field: "type", supported: "secrets" });
        }
        let tokens = Tokens::new(source(config, surroundings, resource(&vault.host))?);
        Ok(Azure { vault, tokens, http: Arc::clone(&surroundings.http) })
    }

    async fn look_up(&self, reference: &Reference) -> Result<String, ReadError> {
        // Key Vault names versions by hexadecimal ids, which no reference can hold.
        if reference.version.is_some() {
            return Err(ConfigError::Unsupported { field: "version", supported: "the current one" }.into());
        }
        let token = self.tokens.get(&Clouds(&*self.http), super::seconds()).await.map_err(ReadError::identity)?;
        let mut address = self.vault.clone();
        let path = format!("/secrets/{}", segment("resource", &reference.resource)?);
        address.path = format!("{}{path}", address.path.trim_end_matches('/'));
        address.query.push(("api-version".to_owned(), API.to_owned()));
        let answer = bearer(&*self.http, Method::Get, &address, &token).await?;
        let value = answer.get("value").and_then(Value::as_str).ok_or(ReadError::Answer("it has no value"))?;
        Ok(value.to_owned())
    }
}

fn resource(host: &str) -> String {
    let known = RESOURCES.iter().find(|end| host.ends_with(*end)).unwrap_or(&RESOURCES[0]);
    format!("https://{known}")
}

pub(super) fn source(
    config: &Config,
    surroundings: &Surroundings,
    resource: String,
) -> Result<TokenSource, ConfigError> {
    let variable = |name: &str| (surroundings.variable)(name).filter(|value| !value.is_empty());
    let prefix = config.text("credentials_prefix").unwrap_or("AZURE");
    let either = |field: &str, name: &str| {
        config.text(field).map(str::to_owned).or_else(|| variable(&format!("{prefix}_{name}")))
    };
    let authority = variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| azure::AUTHORITY.to_owned());
    let (tenant, client) = (either("tenant_id", "TENANT_ID"), either("client_id", "CLIENT_ID"));
    if let Some(secret) = either("client_secret", "CLIENT_SECRET") {
        let tenant = tenant.ok_or(ConfigError::Missing("tenant_id"))?;
        let client = client.ok_or(ConfigError::Missing("client_id"))?;
        return Ok(TokenSource::AzureSecret { authority, tenant, client, secret, resource });
    }
    let federated = variable("AZURE_FEDERATED_TOKEN_FILE");
    if let (Some(tenant), Some(client), Some(file)) = (&tenant, &client, federated) {
        let (tenant, client) = (tenant.clone(), client.clone());
        return Ok(TokenSource::AzureFederated { authority, tenant, client, file, resource });
    }
    Ok(match variable("IDENTITY_ENDPOINT").zip(variable("IDENTITY_HEADER")) {
        Some((endpoint, header)) => TokenSource::AzureApp { endpoint, header, client, resource },
        None => TokenSource::AzureMachine { endpoint: variable("AZURE_POD_IDENTITY_AUTHORITY_HOST"), client, resource },
    })
}

impl Strategy for Azure {
    fn read<'a>(&'a self, reference: &'a Reference) -> SendFuture<'a, Result<String, ReadError>> {
        Box::pin(self.look_up(reference))
    }
}
