//! Google's Secret Manager: `{vault://gcp/db/password}` is the key `password` of the secret `db`. The version of a
//! reference is the secret's own; without one it is the latest.
//!
//! Who asks is the service account in `GCP_SERVICE_ACCOUNT`, or the machine's own by its metadata server.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_cloud::google::ServiceAccount;
use gibbon_cloud::{Address, TokenSource, Tokens};
use gibbon_conf::vault::Reference;
use gibbon_message::Method;
use gibbon_pdk::{Clouds, HttpClient, SendFuture};
use serde_json::Value;

use super::{ReadError, Strategy, Surroundings, bearer, segment, text_of};
use crate::config::{Config, ConfigError};

const ENDPOINT: &str = "https://secretmanager.googleapis.com";

pub struct Gcp {
    base: Address,
    tokens: Tokens,
    http: Arc<dyn HttpClient>,
}

impl Gcp {
    pub fn new(config: &Config, surroundings: &Surroundings) -> Result<Self, ReadError> {
        let variable = |name: &str| (surroundings.variable)(name).filter(|value| !value.is_empty());
        let account = variable("GCP_SERVICE_ACCOUNT")
            .map(|json| ServiceAccount::parse(json.as_bytes()))
            .transpose()
            .map_err(|error| ReadError::Identity(error.to_string()))?;
        let project = config.text("project_id").or_else(|| account.as_ref()?.project());
        let project = segment("project_id", project.ok_or(ConfigError::Missing("project_id"))?)?;
        let endpoint = config.text("endpoint_url").unwrap_or(ENDPOINT).trim_end_matches('/');
        let base = Address::parse(&format!("{endpoint}/v1/projects/{project}/secrets"))
            .map_err(|_| ConfigError::Unsupported { field: "endpoint_url", supported: "an http or https URL" })?;
        let source = match account {
            Some(account) => TokenSource::ServiceAccount { account: Box::new(account), url: None },
            None => TokenSource::GoogleMachine {
                // Google's own libraries know this variable.
                url: variable("GCE_METADATA_HOST")
                    .map(|host| format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token")),
            },
        };
        Ok(Gcp { base, tokens: Tokens::new(source), http: Arc::clone(&surroundings.http) })
    }

    async fn look_up(&self, reference: &Reference) -> Result<String, ReadError> {
        let token = self.tokens.get(&Clouds(&*self.http), super::seconds()).await.map_err(ReadError::identity)?;
        let name = segment("resource", &reference.resource)?;
        let version = reference.version.map_or_else(|| "latest".to_owned(), |version| version.to_string());
        let mut address = self.base.clone();
        address.path.push_str(&format!("/{name}/versions/{version}:access"));
        let answer = bearer(&*self.http, Method::Get, &address, &token).await?;
        let data = answer.pointer("/payload/data").and_then(Value::as_str);
        let data = data.ok_or(ReadError::Answer("it has no payload"))?;
        text_of(STANDARD.decode(data).map_err(|_| ReadError::Answer("its payload is not base64"))?)
    }
}

impl Strategy for Gcp {
    fn read<'a>(&'a self, reference: &'a Reference) -> SendFuture<'a, Result<String, ReadError>> {
        Box::pin(self.look_up(reference))
    }
}
