//! Who calls a provider: keys as configured, or keys and tokens that are fetched, kept, and fetched again before they
//! expire. How they are fetched is `gibbon-cloud`'s.

use std::fmt;
use std::sync::Arc;

use gibbon_cloud::aws::{Keys, Source, Surroundings};
use gibbon_cloud::google::ServiceAccount;
use gibbon_cloud::sigv4::AwsKeys;
use gibbon_cloud::{TokenSource, Tokens, azure};
use gibbon_llm::provider::{Credential, Preset, Scheme};
use gibbon_pdk::{Build, Clouds, HttpClient};

use crate::config::{Auth, Options, ParamLocation};

/// What tokens of Azure are for: its AI services.
const AZURE_RESOURCE: &str = "https://cognitiveservices.azure.com";

/// How calls prove who makes them.
pub enum Identity {
    Fixed(Vec<Credential>),
    Fetched(Fetched),
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identity::Fixed(list) => f.debug_tuple("Fixed").field(list).finish(),
            Identity::Fetched(_) => f.write_str("Fetched"),
        }
    }
}

/// Credentials with an end, kept for all workers.
pub struct Fetched {
    source: Credentials,
    http: Arc<dyn HttpClient>,
}

enum Credentials {
    Aws { keys: Box<Keys>, region: String },
    Bearer(Tokens),
}

impl Identity {
    /// The identity of a target.
    ///
    /// # Errors
    /// What is missing or not valid, without quoting it.
    pub fn new(preset: &Preset, auth: &Auth, options: &Options, build: &Build<'_>) -> Result<Self, String> {
        let fixed = fixed(auth);
        let source = match preset.name {
            "bedrock" if fixed.is_empty() => Some(aws(auth, options)),
            "gemini" if auth.gcp_use_service_account => Some(Credentials::Bearer(Tokens::new(google(auth)?))),
            "azure" => entra(auth)?.map(|source| Credentials::Bearer(Tokens::new(source))),
            _ => None,
        };
        Ok(match source {
            None => Identity::Fixed(fixed),
            Some(source) => Identity::Fetched(Fetched { source, http: Arc::clone(&build.http) }),
        })
    }

    /// The credentials, if there is nothing to wait for. `now` is in seconds since 1970.
    pub fn ready(&self, now: u64) -> Option<Vec<Credential>> {
        match self {
            Identity::Fixed(list) => Some(list.clone()),
            Identity::Fetched(Fetched { source: Credentials::Aws { keys, region }, .. }) => {
                keys.ready(now).map(|keys| vec![signing(keys, region)])
            }
            Identity::Fetched(Fetched { source: Credentials::Bearer(tokens), .. }) => {
                tokens.ready(now).map(|token| vec![Scheme::Bearer.with_key(&token)])
            }
        }
    }

    /// Fetches credentials and keeps them.
    ///
    /// # Errors
    /// Why there are none, for the log; no secret is in it.
    pub async fn fetch(&self, now: u64) -> Result<Vec<Credential>, String> {
        let Identity::Fetched(Fetched { source, http }) = self else {
            return Ok(self.ready(now).unwrap_or_default());
        };
        let world = Clouds(&**http);
        let credential = match source {
            Credentials::Aws { keys, region } => keys.get(&world, now).await.map(|keys| signing(keys, region)),
            Credentials::Bearer(tokens) => tokens.get(&world, now).await.map(|token| Scheme::Bearer.with_key(&token)),
        };
        credential.map(|credential| vec![credential]).map_err(|error| error.to_string())
    }
}

fn signing(keys: AwsKeys, region: &str) -> Credential {
    Credential::Aws { keys, region: region.to_owned(), service: "bedrock" }
}

/// What is configured outright: a header, and a parameter.
fn fixed(auth: &Auth) -> Vec<Credential> {
    let mut list = Vec::new();
    if let (Some(name), Some(value), Some(place)) = (&auth.param_name, &auth.param_value, auth.param_location) {
        let (name, value) = (name.clone(), value.clone());
        list.push(match place {
            ParamLocation::Query => Credential::Query { name, value },
            ParamLocation::Body => Credential::Body { name, value },
        });
    }
    if let (Some(name), Some(value)) = (&auth.header_name, &auth.header_value) {
        list.push(Credential::Header { name: name.clone(), value: value.clone() });
    }
    list
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn aws(auth: &Auth, options: &Options) -> Credentials {
    let surroundings = Surroundings::from(env);
    let bedrock = options.bedrock.as_ref();
    let region = bedrock.and_then(|b| b.aws_region.clone()).or_else(|| surroundings.region.clone());
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    let given = auth.aws_access_key_id.clone().zip(auth.aws_secret_access_key.clone());
    let source = Source {
        keys: given.map(|(access, secret)| AwsKeys { access, secret, session: None }),
        role: bedrock.and_then(|b| b.aws_assume_role_arn.clone()),
        session: bedrock.and_then(|b| b.aws_role_session_name.clone()).unwrap_or_else(|| "gibbon".to_owned()),
        sts: bedrock.and_then(|b| b.aws_sts_endpoint_url.clone()),
        region: region.clone(),
        with_session: true,
    };
    Credentials::Aws { keys: Box::new(Keys::new(source, surroundings)), region }
}

fn google(auth: &Auth) -> Result<TokenSource, String> {
    let json = auth.gcp_service_account_json.clone().or_else(|| env("GCP_SERVICE_ACCOUNT"));
    Ok(match json {
        Some(json) => {
            let account = ServiceAccount::parse(json.as_bytes()).map_err(|e| e.to_string())?;
            TokenSource::ServiceAccount { account: Box::new(account), url: auth.gcp_oauth_token_url.clone() }
        }
        None => TokenSource::GoogleMachine { url: auth.gcp_metadata_url.clone() },
    })
}

fn entra(auth: &Auth) -> Result<Option<TokenSource>, String> {
    let resource = AZURE_RESOURCE.to_owned();
    if auth.azure_use_managed_identity {
        return Ok(Some(TokenSource::AzureMachine { endpoint: None, client: auth.azure_client_id.clone(), resource }));
    }
    match (&auth.azure_tenant_id, &auth.azure_client_id, &auth.azure_client_secret) {
        (Some(tenant), Some(client), Some(secret)) => Ok(Some(TokenSource::AzureSecret {
            authority: azure::AUTHORITY.to_owned(),
            tenant: tenant.clone(),
            client: client.clone(),
            secret: secret.clone(),
            resource,
        })),
        (None, None, None) => Ok(None),
        _ => Err("an identity of Azure needs azure_tenant_id, azure_client_id and azure_client_secret".to_owned()),
    }
}
