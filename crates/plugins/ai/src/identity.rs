//! Who calls a provider: keys as configured, or tokens that are fetched, kept, and fetched again before they expire.
//! What is sent for a token and how the answer is read is `gibbon-llm`'s.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gibbon_llm::provider::aws::{self, Role, TemporaryKeys};
use gibbon_llm::provider::google::{self, ServiceAccount};
use gibbon_llm::provider::sigv4::AwsKeys;
use gibbon_llm::provider::{Credential, Preset, Scheme, Token, TokenRequest, azure};
use gibbon_message::{Headers, Method};
use gibbon_pdk::{Build, HttpClient, OutcallRequest};

use crate::config::{Auth, Options, ParamLocation};

/// A token service answers at once or not at all.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Tokens and keys are short; more is no answer of a token service.
const MAX_TOKEN_ANSWER: usize = 256 * 1024;
/// Seconds before the end of a token at which another is fetched.
const EARLY: u64 = 300;

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
    source: Source,
    kept: Arc<Mutex<Option<Kept>>>,
    http: Arc<dyn HttpClient>,
}

#[derive(Clone)]
struct Kept {
    credential: Credential,
    /// Seconds since 1970.
    expires: u64,
}

enum Source {
    /// Keys of AWS, perhaps to take a role with.
    Aws {
        keys: Option<AwsKeys>,
        region: String,
        role: Option<(String, String, Option<String>)>,
    },
    ServiceAccount {
        account: ServiceAccount,
        url: Option<String>,
    },
    GoogleMetadata {
        url: Option<String>,
    },
    AzureSecret {
        tenant: String,
        client: String,
        secret: String,
    },
    AzureManaged {
        client: Option<String>,
    },
}

impl Identity {
    /// The identity of a target.
    ///
    /// # Errors
    /// What is missing or not valid, without quoting it.
    pub fn new(preset: &Preset, auth: &Auth, options: &Options, build: &Build<'_>) -> Result<Self, String> {
        let fixed = fixed(auth);
        let source = match preset.name {
            "bedrock" if fixed.is_empty() => aws_source(auth, options),
            "gemini" if auth.gcp_use_service_account => google_source(auth)?,
            "azure" => azure_source(auth)?,
            _ => None,
        };
        Ok(match source {
            None => Identity::Fixed(fixed),
            Some(Source::Aws { keys: Some(keys), region, role: None }) => {
                Identity::Fixed(vec![Credential::Aws { keys, region, service: "bedrock" }])
            }
            Some(source) => Identity::Fetched(Fetched { source, kept: Arc::default(), http: Arc::clone(&build.http) }),
        })
    }

    /// The credentials, if there is nothing to wait for. `now` is in seconds since 1970.
    pub fn ready(&self, now: u64) -> Option<Vec<Credential>> {
        match self {
            Identity::Fixed(list) => Some(list.clone()),
            Identity::Fetched(fetched) => {
                let kept = fetched.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.as_ref().filter(|k| k.expires > now.saturating_add(EARLY)).map(|k| vec![k.credential.clone()])
            }
        }
    }

    /// Fetches credentials and keeps them.
    ///
    /// # Errors
    /// Why there are none, for the log; no secret is in it.
    pub async fn fetch(&self, now: u64) -> Result<Vec<Credential>, String> {
        let Identity::Fetched(fetched) = self else { return Ok(self.ready(now).unwrap_or_default()) };
        let kept = fetched.ask(now).await?;
        let credential = kept.credential.clone();
        *fetched.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(vec![credential])
    }
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

fn aws_source(auth: &Auth, options: &Options) -> Option<Source> {
    let keys = match (&auth.aws_access_key_id, &auth.aws_secret_access_key) {
        (Some(access), Some(secret)) => Some(AwsKeys { access: access.clone(), secret: secret.clone(), session: None }),
        _ => env("AWS_ACCESS_KEY_ID").zip(env("AWS_SECRET_ACCESS_KEY")).map(|(access, secret)| AwsKeys {
            access,
            secret,
            session: env("AWS_SESSION_TOKEN"),
        }),
    };
    let bedrock = options.bedrock.as_ref();
    let region = bedrock.and_then(|b| b.aws_region.clone()).or_else(|| env("AWS_REGION"));
    let role = bedrock.and_then(|b| {
        let session = b.aws_role_session_name.clone().unwrap_or_else(|| "gibbon".to_owned());
        Some((b.aws_assume_role_arn.clone()?, session, b.aws_sts_endpoint_url.clone()))
    });
    Some(Source::Aws { keys, region: region.unwrap_or_else(|| "us-east-1".to_owned()), role })
}

fn google_source(auth: &Auth) -> Result<Option<Source>, String> {
    let json = auth.gcp_service_account_json.clone().or_else(|| env("GCP_SERVICE_ACCOUNT"));
    Ok(Some(match json {
        Some(json) => {
            let account = ServiceAccount::parse(json.as_bytes()).map_err(|e| e.to_string())?;
            Source::ServiceAccount { account, url: auth.gcp_oauth_token_url.clone() }
        }
        None => Source::GoogleMetadata { url: auth.gcp_metadata_url.clone() },
    }))
}

fn azure_source(auth: &Auth) -> Result<Option<Source>, String> {
    if auth.azure_use_managed_identity {
        return Ok(Some(Source::AzureManaged { client: auth.azure_client_id.clone() }));
    }
    match (&auth.azure_tenant_id, &auth.azure_client_id, &auth.azure_client_secret) {
        (Some(tenant), Some(client), Some(secret)) => {
            Ok(Some(Source::AzureSecret { tenant: tenant.clone(), client: client.clone(), secret: secret.clone() }))
        }
        (None, None, None) => Ok(None),
        _ => Err("an identity of Azure needs azure_tenant_id, azure_client_id and azure_client_secret".to_owned()),
    }
}

impl Fetched {
    async fn ask(&self, now: u64) -> Result<Kept, String> {
        let request = match &self.source {
            Source::Aws { keys, region, role } => return self.ask_aws(keys.as_ref(), region, role.as_ref(), now).await,
            Source::ServiceAccount { account, url } => {
                account.token_request(url.as_deref(), now).map_err(|e| e.to_string())?
            }
            Source::GoogleMetadata { url } => google::metadata(url.as_deref()).map_err(|e| e.to_string())?,
            Source::AzureSecret { tenant, client, secret } => {
                azure::client_secret(tenant, client, secret).map_err(|e| e.to_string())?
            }
            Source::AzureManaged { client } => azure::managed_identity(client.as_deref()).map_err(|e| e.to_string())?,
        };
        let body = self.send(request).await?;
        let token: Token = google::read(&body, now).map_err(|e| e.to_string())?;
        Ok(Kept { credential: Scheme::Bearer.with_key(&token.value), expires: token.expires })
    }

    async fn ask_aws(
        &self,
        keys: Option<&AwsKeys>,
        region: &str,
        role: Option<&(String, String, Option<String>)>,
        now: u64,
    ) -> Result<Kept, String> {
        let error = |e: &dyn fmt::Display| e.to_string();
        let mut held = match keys {
            Some(keys) => TemporaryKeys { keys: keys.clone(), expires: u64::MAX },
            None => self.ask_machine(role.is_none()).await?,
        };
        if let Some((arn, session, endpoint)) = role {
            let role = Role { arn, session, region, endpoint: endpoint.as_deref() };
            let request = role.assume(&held.keys, now).map_err(|e| error(&e))?;
            held = aws::read_sts(&self.send(request).await?).map_err(|e| error(&e))?;
        }
        let credential = Credential::Aws { keys: held.keys, region: region.to_owned(), service: "bedrock" };
        Ok(Kept { credential, expires: held.expires })
    }

    /// The keys that the machine gives its programs: by a web identity, a container or the instance.
    async fn ask_machine(&self, web_identity: bool) -> Result<TemporaryKeys, String> {
        let error = |e: &dyn fmt::Display| e.to_string();
        let file = env("AWS_WEB_IDENTITY_TOKEN_FILE").zip(env("AWS_ROLE_ARN"));
        if let Some((file, arn)) = file.filter(|_| web_identity) {
            let token = std::fs::read_to_string(file).map_err(|e| format!("the web identity's token: {e}"))?;
            let session = env("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "gibbon".to_owned());
            let region = env("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned());
            let role = Role { arn: &arn, session: &session, region: &region, endpoint: None };
            let request = role.assume_with_web_identity(token.trim()).map_err(|e| error(&e))?;
            return aws::read_sts(&self.send(request).await?).map_err(|e| error(&e));
        }
        let full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI");
        let relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|path| format!("http://169.254.170.2{path}"));
        if let Some(url) = full.or(relative) {
            let token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
            let request = aws::container(&url, token.as_deref()).map_err(|e| error(&e))?;
            return aws::read_metadata(&self.send(request).await?).map_err(|e| error(&e));
        }
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).trim().to_owned();
        let session = text(self.send(aws::instance_session(aws::METADATA).map_err(|e| error(&e))?).await?);
        let role =
            text(self.send(aws::instance_role(aws::METADATA, Some(&session), None).map_err(|e| error(&e))?).await?);
        let request = aws::instance_role(aws::METADATA, Some(&session), Some(&role)).map_err(|e| error(&e))?;
        aws::read_metadata(&self.send(request).await?).map_err(|e| error(&e))
    }

    async fn send(&self, request: TokenRequest) -> Result<Bytes, String> {
        let address = &request.address;
        let scheme = if address.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", address.authority(), address.target());
        let method = Method::parse(request.method.as_bytes()).ok_or("no method")?;
        let mut call = OutcallRequest::new(method, url);
        let mut headers = Headers::new();
        for (name, value) in &request.headers {
            headers.append(name, value);
        }
        call.headers = headers;
        call.body = Bytes::from(request.body);
        call.timeout = TOKEN_TIMEOUT;
        call.max_response_bytes = MAX_TOKEN_ANSWER;
        // Errors of token services are read like answers: they name what is wrong.
        self.http.call(call).await.map(|answer| answer.body).map_err(|e| e.to_string())
    }
}
