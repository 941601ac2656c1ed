//! As whom the function is called: keys of the configuration, else of the process' environment, of the container, of a
//! web identity, or of the instance; and, if one is configured, the role that is assumed with them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gibbon_cloud::aws::{self, Role, TemporaryKeys};
use gibbon_cloud::sigv4::AwsKeys;
use gibbon_cloud::{AddressError, TokenError, TokenRequest};
use gibbon_message::Method;
use gibbon_pdk::{HttpClient, OutcallError, OutcallRequest};

use super::config::Config;

/// Temporary keys are fetched again this many seconds before they end, so that none ends on its way.
const EARLY: u64 = 300;
/// Services that hand out keys are near, or the token service; none takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers with keys are a few kilobytes.
const LONGEST_ANSWER: usize = 64 << 10;
/// Where containers on ECS find their keys.
const CONTAINER: &str = "http://169.254.170.2";

/// What the process says about where it runs.
#[derive(Clone, Default)]
pub struct Surroundings {
    pub region: Option<String>,
    pub keys: Option<AwsKeys>,
    /// Where the container's keys are.
    pub container_url: Option<String>,
    pub container_token: Option<String>,
    pub container_token_file: Option<String>,
    /// A file with a token, and the role that it stands for.
    pub web_identity: Option<(String, String)>,
    /// The instance metadata service.
    pub metadata: Option<String>,
}

impl Surroundings {
    /// Reads the variables that AWS defines.
    pub fn of_process() -> Self {
        Self::from(|name| std::env::var(name).ok())
    }

    pub fn from(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let keys = get("AWS_ACCESS_KEY_ID").zip(get("AWS_SECRET_ACCESS_KEY"));
        Surroundings {
            region: get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")),
            keys: keys.map(|(access, secret)| AwsKeys { access, secret, session: get("AWS_SESSION_TOKEN") }),
            container_url: get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
                .map(|path| format!("{CONTAINER}{path}"))
                .or_else(|| get("AWS_CONTAINER_CREDENTIALS_FULL_URI")),
            container_token: get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
            container_token_file: get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            web_identity: get("AWS_WEB_IDENTITY_TOKEN_FILE").zip(get("AWS_ROLE_ARN")),
            metadata: get("AWS_EC2_METADATA_SERVICE_ENDPOINT").map(|url| url.trim_end_matches('/').to_owned()),
        }
    }
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{what} cannot be reached: {cause}")]
    Unreachable { what: &'static str, cause: OutcallError },
    #[error("{what} answered {status}")]
    Refused { what: &'static str, status: u16 },
    #[error("the {what} cannot be read: {cause}")]
    File { what: &'static str, cause: std::io::Error },
    #[error(transparent)]
    Answer(#[from] TokenError),
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the instance has no role")]
    NoRole,
}

/// The keys of one configuration, kept while they hold.
pub struct Keys {
    own: Option<AwsKeys>,
    role: Option<String>,
    session: String,
    sts: Option<String>,
    with_session: bool,
    surroundings: Surroundings,
    /// Of the source, and of the role assumed with them.
    kept: [Mutex<Option<TemporaryKeys>>; 2],
}

impl Keys {
    pub fn new(config: &Config, surroundings: Surroundings) -> Self {
        let own = config.aws_key.clone().zip(config.aws_secret.clone());
        Keys {
            own: own.map(|(access, secret)| AwsKeys { access, secret, session: None }),
            role: config.aws_assume_role_arn.clone(),
            session: config.aws_role_session_name.clone().unwrap_or_else(|| "kong".to_owned()),
            sts: config.aws_sts_endpoint_url.clone(),
            with_session: config.aws_imds_protocol_version == "v2",
            surroundings,
            kept: Default::default(),
        }
    }

    /// The keys to sign with. `now` is in seconds since 1970.
    pub async fn get(&self, http: &dyn HttpClient, region: &str, now: u64) -> Result<AwsKeys, KeysError> {
        let [source, assumed] = &self.kept;
        let Some(arn) = &self.role else { return self.source(http, region, now, source).await };
        if let Some(keys) = fresh(assumed, now) {
            return Ok(keys);
        }
        let with = self.source(http, region, now, source).await?;
        let request = self.role(arn, region).assume(&with, now)?;
        let answer = send(http, request, "the security token service").await?;
        Ok(keep(assumed, aws::read_sts(&answer)?))
    }

    fn role<'a>(&'a self, arn: &'a str, region: &'a str) -> Role<'a> {
        Role { arn, session: &self.session, region, endpoint: self.sts.as_deref() }
    }

    async fn source(
        &self,
        http: &dyn HttpClient,
        region: &str,
        now: u64,
        kept: &Mutex<Option<TemporaryKeys>>,
    ) -> Result<AwsKeys, KeysError> {
        if let Some(keys) = self.own.as_ref().or(self.surroundings.keys.as_ref()) {
            return Ok(keys.clone());
        }
        if let Some(keys) = fresh(kept, now) {
            return Ok(keys);
        }
        let found = if self.surroundings.container_url.is_some() {
            self.of_container(http).await?
        } else if let Some((file, arn)) = &self.surroundings.web_identity {
            let token = read("web identity token", file)?;
            let request = self.role(arn, region).assume_with_web_identity(&token)?;
            aws::read_sts(&send(http, request, "the security token service").await?)?
        } else {
            self.of_instance(http).await?
        };
        Ok(keep(kept, found))
    }

    async fn of_container(&self, http: &dyn HttpClient) -> Result<TemporaryKeys, KeysError> {
        let around = &self.surroundings;
        let of_file = around.container_token_file.as_deref();
        let of_file = of_file.map(|file| read("container's authorization token", file)).transpose()?;
        let token = of_file.as_deref().or(around.container_token.as_deref());
        let request = aws::container(around.container_url.as_deref().unwrap_or_default(), token)?;
        Ok(aws::read_metadata(&send(http, request, "the container's credentials service").await?)?)
    }

    async fn of_instance(&self, http: &dyn HttpClient) -> Result<TemporaryKeys, KeysError> {
        const WHAT: &str = "the instance metadata service";
        let endpoint = self.surroundings.metadata.as_deref().unwrap_or(aws::METADATA);
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).trim().to_owned();
        let session = match self.with_session {
            true => Some(text(send(http, aws::instance_session(endpoint)?, WHAT).await?)),
            false => None,
        };
        let session = session.as_deref();
        let names = text(send(http, aws::instance_role(endpoint, session, None)?, WHAT).await?);
        let name = names.lines().next().filter(|name| !name.is_empty()).ok_or(KeysError::NoRole)?;
        let answer = send(http, aws::instance_role(endpoint, session, Some(name))?, WHAT).await?;
        Ok(aws::read_metadata(&answer)?)
    }
}

fn fresh(kept: &Mutex<Option<TemporaryKeys>>, now: u64) -> Option<AwsKeys> {
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.as_ref().filter(|keys| keys.expires > now + EARLY).map(|keys| keys.keys.clone())
}

fn keep(kept: &Mutex<Option<TemporaryKeys>>, found: TemporaryKeys) -> AwsKeys {
    let keys = found.keys.clone();
    *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
    keys
}

/// Token files are a few kilobytes, on a file system in memory; they are replaced while the process runs.
fn read(what: &'static str, file: &str) -> Result<String, KeysError> {
    let text = std::fs::read_to_string(file).map_err(|cause| KeysError::File { what, cause })?;
    Ok(text.trim().to_owned())
}

async fn send(http: &dyn HttpClient, request: TokenRequest, what: &'static str) -> Result<Bytes, KeysError> {
    let scheme = if request.address.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}{}", request.address.authority(), request.address.target());
    let method = Method::parse(request.method.as_bytes()).unwrap_or(Method::Get);
    let mut call = OutcallRequest {
        body: Bytes::from(request.body),
        timeout: PATIENCE,
        max_response_bytes: LONGEST_ANSWER,
        ..OutcallRequest::new(method, url)
    };
    for (name, value) in request.headers {
        call.headers.append(name, value);
    }
    let answer = http.call(call).await.map_err(|cause| KeysError::Unreachable { what, cause })?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(KeysError::Refused { what, status }),
    }
}
