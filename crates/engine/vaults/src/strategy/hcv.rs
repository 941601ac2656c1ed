//! HashiCorp Vault and OpenBao, over their HTTP API: the key-value engines 1 and 2, signed in to by token, Kubernetes
//! service account, AppRole (with a wrapped secret id), a JWT that an OAuth server gives, or the identity that a cloud
//! vouches for ([`cloud`]).
//!
//! A token that was signed in for is used until shortly before its lease ends, and once more signed in for when it is
//! refused.

mod cloud;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gibbon_cloud::encode;
use gibbon_conf::vault::Reference;
use gibbon_message::Method;
use gibbon_pdk::{Clouds, HttpClient, OutcallRequest, OutcallResponse, OutcallTls, SendFuture};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{MAX_SECRET, ReadError, Strategy, Surroundings, TIMEOUT, seconds};
use crate::config::{Config, ConfigError};
use cloud::CloudSignIn;

/// A token is given up so long before its lease ends.
const MARGIN: Duration = Duration::from_secs(10);
/// Where Kubernetes puts the token of a pod's service account.
const SERVICE_ACCOUNT: &str = "/run/secrets/kubernetes.io/serviceaccount/token";

pub struct Hcv {
    base: String,
    mount: String,
    has_versions: bool,
    namespace: Option<String>,
    tls: OutcallTls,
    sign_in: SignIn,
    http: Arc<dyn HttpClient>,
    token: Mutex<Option<Token>>,
}

/// How a token is come by.
enum SignIn {
    Token(String),
    Kubernetes { path: String, role: String, file: String },
    AppRole { path: String, role: String, secret: Secret, is_wrapped: bool },
    Jwt { role: String, endpoint: String, client: String, secret: String, audiences: Option<String> },
    Cloud(Box<CloudSignIn>),
}

/// A secret id, as such or in a file.
enum Secret {
    Given(String),
    File(String),
}

/// A token that was signed in for.
#[derive(Clone)]
struct Token {
    text: String,
    until: Option<Instant>,
}

impl Hcv {
    pub fn new(config: &Config, surroundings: &Surroundings) -> Result<Self, ReadError> {
        let or = |name: &str, default: &str| config.text(name).unwrap_or(default).to_owned();
        let host = or("host", "127.0.0.1");
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        Ok(Hcv {
            base: format!("{}://{host}:{}", or("protocol", "http"), or("port", "8200")),
            mount: or("mount", "secret"),
            has_versions: or("kv", "v1") == "v2",
            namespace: config.text("namespace").map(str::to_owned),
            tls: OutcallTls { verify: config.flag("ssl_verify").unwrap_or(true), ..OutcallTls::default() },
            sign_in: SignIn::of(config, surroundings)?,
            http: Arc::clone(&surroundings.http),
            token: Mutex::new(None),
        })
    }

    async fn look_up(&self, reference: &Reference) -> Result<String, ReadError> {
        let answer = match self.ask(reference, &self.token(false).await?).await? {
            refused if matches!(refused.status, 401 | 403) && self.sign_in.gives_tokens() => {
                self.ask(reference, &self.token(true).await?).await?
            }
            answer => answer,
        };
        let answer = parsed(&answer)?;
        let data = answer.get("data").ok_or(ReadError::Answer("it has no data"))?;
        let data = if self.has_versions { data.get("data") } else { Some(data) };
        match data {
            Some(Value::Object(fields)) => Ok(Value::Object(fields.clone()).to_string()),
            // A version that was deleted.
            _ => Err(ReadError::NotFound),
        }
    }

    async fn ask(&self, reference: &Reference, token: &str) -> Result<OutcallResponse, ReadError> {
        let data = if self.has_versions { "data/" } else { "" };
        let mut path = format!("/v1/{}/{data}{}", self.mount, escaped(&reference.resource));
        if let (true, Some(version)) = (self.has_versions, reference.version) {
            path.push_str(&format!("?version={version}"));
        }
        self.call(Method::Get, &path, Some(token), Bytes::new()).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Bytes,
    ) -> Result<OutcallResponse, ReadError> {
        let mut request = OutcallRequest::new(method, format!("{}{path}", self.base));
        request.headers.append("x-vault-request", "true");
        if let Some(token) = token {
            request.headers.append("x-vault-token", token);
        }
        if let Some(namespace) = &self.namespace {
            request.headers.append("x-vault-namespace", namespace.as_str());
        }
        request.body = body;
        request.timeout = TIMEOUT;
        request.tls = self.tls.clone();
        request.max_response_bytes = MAX_SECRET;
        Ok(self.http.call(request).await?)
    }

    /// The token in use, or another one.
    async fn token(&self, another: bool) -> Result<String, ReadError> {
        if let SignIn::Token(token) = &self.sign_in {
            return Ok(token.clone());
        }
        // Whoever comes while one signs in waits for that one's token.
        let mut held = self.token.lock().await;
        let is_good = |token: &&Token| token.until.is_none_or(|until| Instant::now() < until);
        if let Some(token) = held.as_ref().filter(|_| !another).filter(is_good) {
            return Ok(token.text.clone());
        }
        let token = self.sign_in().await?;
        *held = Some(token.clone());
        Ok(token.text)
    }

    async fn sign_in(&self) -> Result<Token, ReadError> {
        let (path, credentials) = match &self.sign_in {
            SignIn::Token(token) => return Ok(Token { text: token.clone(), until: None }),
            SignIn::Kubernetes { path, role, file } => (path.as_str(), json!({"role": role, "jwt": read_file(file)?})),
            SignIn::AppRole { path, role, secret, is_wrapped } => {
                let mut secret = secret.read()?;
                if *is_wrapped {
                    secret = self.unwrap(&secret).await?;
                }
                (path.as_str(), json!({"role_id": role, "secret_id": secret}))
            }
            SignIn::Jwt { role, endpoint, client, secret, audiences } => {
                let jwt = self.oauth_token(endpoint, client, secret, audiences.as_deref()).await?;
                ("jwt", json!({"role": role, "jwt": jwt}))
            }
            SignIn::Cloud(cloud) => (cloud.path.as_str(), cloud.credentials(&Clouds(&*self.http), seconds()).await?),
        };
        let body = Bytes::from(credentials.to_string());
        let answer = self.call(Method::Post, &format!("/v1/auth/{path}/login"), None, body).await?;
        let answer = parsed(&answer)?;
        let auth = answer.get("auth").ok_or(ReadError::Answer("it gives no token"))?;
        let text = auth.get("client_token").and_then(Value::as_str).ok_or(ReadError::Answer("it gives no token"))?;
        let lease = auth.get("lease_duration").and_then(Value::as_u64).filter(|seconds| *seconds > 0);
        let until = lease.map(|seconds| Instant::now() + Duration::from_secs(seconds).saturating_sub(MARGIN));
        Ok(Token { text: text.to_owned(), until })
    }

    /// The secret id inside a wrapping token; a wrapping token can be opened once.
    async fn unwrap(&self, wrapping: &str) -> Result<String, ReadError> {
        let answer = self.call(Method::Post, "/v1/sys/wrapping/unwrap", Some(wrapping), Bytes::new()).await?;
        let answer = parsed(&answer)?;
        let secret = answer.pointer("/data/secret_id").and_then(Value::as_str);
        secret.map(str::to_owned).ok_or(ReadError::Answer("there is no secret id in the wrapping"))
    }

    async fn oauth_token(
        &self,
        endpoint: &str,
        client: &str,
        secret: &str,
        audiences: Option<&str>,
    ) -> Result<String, ReadError> {
        let mut body = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            escaped_fully(client),
            escaped_fully(secret)
        );
        for audience in audiences.into_iter().flat_map(|list| list.split(',')) {
            body.push_str(&format!("&audience={}", escaped_fully(audience.trim())));
        }
        let mut request = OutcallRequest::new(Method::Post, endpoint);
        request.headers.append("content-type", "application/x-www-form-urlencoded");
        request.body = Bytes::from(body);
        request.timeout = TIMEOUT;
        request.tls = self.tls.clone();
        request.max_response_bytes = MAX_SECRET;
        let answer = parsed(&self.http.call(request).await?)?;
        let token = answer.get("access_token").and_then(Value::as_str);
        token.map(str::to_owned).ok_or(ReadError::Answer("the token endpoint gives no access token"))
    }
}

impl Strategy for Hcv {
    fn read<'a>(&'a self, reference: &'a Reference) -> SendFuture<'a, Result<String, ReadError>> {
        Box::pin(self.look_up(reference))
    }
}

impl SignIn {
    fn of(config: &Config, surroundings: &Surroundings) -> Result<SignIn, ReadError> {
        let or = |name: &str, default: &str| config.text(name).unwrap_or(default).to_owned();
        let required = |name: &'static str| config.required(name).map(str::to_owned);
        Ok(match config.text("auth_method").unwrap_or("token") {
            "token" => SignIn::Token(required("token")?),
            "kubernetes" => SignIn::Kubernetes {
                path: or("kube_auth_path", "kubernetes"),
                role: required("kube_role")?,
                file: or("kube_api_token_file", SERVICE_ACCOUNT),
            },
            "approle" => SignIn::AppRole {
                path: or("approle_auth_path", "approle"),
                role: required("approle_role_id")?,
                secret: match config.text("approle_secret_id") {
                    Some(secret) => Secret::Given(secret.to_owned()),
                    None => Secret::File(required("approle_secret_id_file")?),
                },
                is_wrapped: config.flag("approle_response_wrapping").unwrap_or(false),
            },
            "jwt" => SignIn::Jwt {
                role: required("jwt_role")?,
                endpoint: required("oauth2_token_endpoint")?,
                client: required("oauth2_client_id")?,
                secret: required("oauth2_client_secret")?,
                audiences: config.text("oauth2_audiences").map(str::to_owned),
            },
            other => match CloudSignIn::of(other, config, surroundings)? {
                Some(cloud) => SignIn::Cloud(Box::new(cloud)),
                None => {
                    let supported = "token, kubernetes, approle, jwt, aws_iam, azure, gcp_iam, gcp_gce";
                    return Err(ConfigError::Unsupported { field: "auth_method", supported }.into());
                }
            },
        })
    }

    fn gives_tokens(&self) -> bool {
        !matches!(self, SignIn::Token(_))
    }
}

impl Secret {
    fn read(&self) -> Result<String, ReadError> {
        match self {
            Secret::Given(text) => Ok(text.clone()),
            Secret::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &str) -> Result<String, ReadError> {
    let failed = |cause: std::io::Error| ReadError::File { path: path.to_owned(), cause: cause.to_string() };
    Ok(std::fs::read_to_string(path).map_err(failed)?.trim().to_owned())
}

fn parsed(answer: &OutcallResponse) -> Result<Value, ReadError> {
    match answer.status {
        200..=299 => serde_json::from_slice(&answer.body).map_err(|_| ReadError::Answer("it is not JSON")),
        404 => Err(ReadError::NotFound),
        status @ (401 | 403) => Err(ReadError::Denied(status)),
        status => Err(ReadError::Status(status)),
    }
}

/// A path whose slashes stay. No segment may lead upwards, and nothing may begin a query.
fn escaped(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | "." | "..")).map(escaped_fully).collect::<Vec<_>>().join("/")
}

fn escaped_fully(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    encode(text, &mut escaped);
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_cannot_leave_the_mount() {
        assert_eq!(escaped("team/../../sys/mounts?x#y"), "team/sys/mounts%3Fx%23y");
    }
}
