//! AWS Secrets Manager: `{vault://aws/team/db/password}` is the key `password` of the secret `team/db`. Version 2 of a
//! reference is the one before the current.
//!
//! Who asks is found as everywhere in AWS: the environment's keys, the container's, a web identity's or the instance's,
//! and with them the role that the vault names.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gibbon_cloud::Address;
use gibbon_cloud::aws::{Keys, Source, Surroundings as Machine};
use gibbon_cloud::sigv4::{Signable, sign};
use gibbon_conf::vault::Reference;
use gibbon_message::Method;
use gibbon_pdk::{Clouds, HttpClient, SendFuture};
use serde_json::{Value, json};

use super::{ReadError, Strategy, Surroundings, call, seconds, text_of};
use crate::config::{Config, ConfigError};

/// What is called, and what signatures are for.
const SERVICE: &str = "secretsmanager";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const TARGET: &str = "secretsmanager.GetSecretValue";

pub struct Aws {
    address: Address,
    region: String,
    keys: Keys,
    http: Arc<dyn HttpClient>,
}

impl Aws {
    pub fn new(config: &Config, surroundings: &Surroundings) -> Result<Self, ReadError> {
        let machine = Machine::from(|name| (surroundings.variable)(name));
        let region = config.text("region").map(str::to_owned).or_else(|| machine.region.clone());
        let region = region.ok_or(ConfigError::Missing("region"))?;
        // It becomes part of a host name.
        if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(ConfigError::Unsupported { field: "region", supported: "such as eu-west-1" }.into());
        }
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        let own = format!("https://{SERVICE}.{region}.{domain}");
        let address = Address::parse(config.text("endpoint_url").unwrap_or(&own))
            .map_err(|_| ConfigError::Unsupported { field: "endpoint_url", supported: "an http or https URL" })?;
        let source = Source {
            keys: None,
            role: config.text("assume_role_arn").map(str::to_owned),
            session: config.text("role_session_name").unwrap_or("KongVault").to_owned(),
            sts: config.text("sts_endpoint_url").map(str::to_owned),
            region: region.clone(),
            with_session: true,
        };
        Ok(Aws { address, region, keys: Keys::new(source, machine), http: Arc::clone(&surroundings.http) })
    }

    async fn look_up(&self, reference: &Reference) -> Result<String, ReadError> {
        let now = seconds();
        let keys = self.keys.get(&Clouds(&*self.http), now).await.map_err(ReadError::identity)?;
        let stage = match reference.version {
            None | Some(1) => "AWSCURRENT",
            Some(2) => "AWSPREVIOUS",
            Some(_) => return Err(ConfigError::Unsupported { field: "version", supported: "1 and 2" }.into()),
        };
        let body = json!({"SecretId": reference.resource, "VersionStage": stage}).to_string();
        let headers = [("content-type", CONTENT_TYPE), ("x-amz-target", TARGET)];
        let signable = Signable { method: "POST", address: &self.address, headers: &headers, body: body.as_bytes() };
        let signed = sign(&signable, &keys, &self.region, SERVICE, now);
        let mut request = call(Method::Post, &self.address);
        request.body = Bytes::from(body);
        request.headers.append("Content-Type", CONTENT_TYPE);
        request.headers.append("X-Amz-Target", TARGET);
        for (name, value) in signed {
            request.headers.append(name, value);
        }
        let answer = self.http.call(request).await?;
        let said: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let field = |name: &str| said.as_ref().and_then(|said| said.get(name)).and_then(Value::as_str);
        match (answer.status, field("SecretString"), field("SecretBinary")) {
            (200, Some(text), _) => Ok(text.to_owned()),
            (200, None, Some(binary)) => {
                let bytes = STANDARD.decode(binary).map_err(|_| ReadError::Answer("its binary is not base64"))?;
                text_of(bytes)
            }
            (200, None, None) => Err(ReadError::Answer("it has no secret")),
            // Every refusal has status 400; its type, with or without a namespace, says what it is.
            (status, ..) => Err(match field("__type").and_then(|kind| kind.rsplit('#').next()) {
                Some("ResourceNotFoundException") => ReadError::NotFound,
                Some(kind) if DENIALS.contains(&kind) => ReadError::Denied(status),
                _ if matches!(status, 401 | 403) => ReadError::Denied(status),
                _ => ReadError::Status(status),
            }),
        }
    }
}

/// What AWS calls it when the keys are not good enough.
const DENIALS: [&str; 6] = [
    "AccessDeniedException",
    "AccessDenied",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "InvalidClientTokenId",
];

impl Strategy for Aws {
    fn read<'a>(&'a self, reference: &'a Reference) -> SendFuture<'a, Result<String, ReadError>> {
        Box::pin(self.look_up(reference))
    }
}
