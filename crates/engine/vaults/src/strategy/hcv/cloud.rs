//! Signing in to HashiCorp Vault as who a cloud says one is: a signed question to AWS who one is, which Vault asks in one's
//! place; a token of Azure; an assertion of a Google service account or of the machine.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_cloud::aws::{Keys, Source, Surroundings as Machine};
use gibbon_cloud::google::ServiceAccount;
use gibbon_cloud::sigv4::{AwsKeys, Signable, sign};
use gibbon_cloud::{Address, Tokens, World};
use serde_json::{Map, Value, json};

use crate::config::{Config, ConfigError};
use crate::strategy::azure::source as azure_source;
use crate::strategy::{ReadError, Surroundings};

/// The question that Vault asks AWS in one's place.
const QUESTION: &str = "Action=GetCallerIdentity&Version=2011-06-15";
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
/// What Azure's tokens are for, unless Vault is set up otherwise.
const AZURE_RESOURCE: &str = "https://management.azure.com/";
/// The longest that Vault takes an assertion for, in seconds.
const LONGEST_ASSERTION: u64 = 900;
/// Where a machine of Google's tells who it is.
const GOOGLE_IDENTITY: &str =
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity";

/// Who one is.
pub enum CloudIdentity {
    Aws { keys: Box<Keys>, sts: Box<Address>, region: String, nonce: Option<String> },
    Azure(Tokens),
    GoogleAccount { account: Box<ServiceAccount>, seconds: u64 },
    GoogleMachine { url: String },
}

/// A way to sign in with it.
pub struct CloudSignIn {
    pub path: String,
    role: String,
    identity: CloudIdentity,
}

impl CloudSignIn {
    /// For a sign-in of that name; `None` if it is none of a cloud.
    ///
    /// # Errors
    /// A configuration that lacks something.
    pub fn of(method: &str, config: &Config, surroundings: &Surroundings) -> Result<Option<Self>, ReadError> {
        let or = |name: &str, default: &str| config.text(name).unwrap_or(default).to_owned();
        let role = |name: &'static str| config.required(name).map(str::to_owned);
        Ok(Some(match method {
            "aws_iam" => CloudSignIn {
                path: or("aws_login_path", "aws"),
                role: role("aws_auth_role")?,
                identity: aws(config, surroundings)?,
            },
            "azure" => CloudSignIn {
                path: or("azure_login_path", "azure"),
                role: role("azure_auth_role")?,
                identity: CloudIdentity::Azure(Tokens::new(azure_source(config, surroundings, AZURE_RESOURCE.into())?)),
            },
            "gcp_iam" | "gcp_gce" => CloudSignIn {
                path: or("gcp_login_path", "gcp"),
                role: role("gcp_auth_role")?,
                identity: google(method, config, surroundings)?,
            },
            _ => return Ok(None),
        }))
    }

    /// What is shown at the login. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The cloud does not say who one is.
    pub async fn credentials(&self, world: &dyn World, now: u64) -> Result<Value, ReadError> {
        let role = &self.role;
        Ok(match &self.identity {
            CloudIdentity::Aws { keys, sts, region, nonce } => {
                let keys = keys.get(world, now).await.map_err(ReadError::identity)?;
                let mut shown = question(&keys, sts, region, now);
                shown.insert("role".into(), json!(role));
                shown.extend(nonce.as_ref().map(|nonce| ("nonce".into(), json!(nonce))));
                Value::Object(shown)
            }
            CloudIdentity::Azure(tokens) => {
                json!({"role": role, "jwt": tokens.get(world, now).await.map_err(ReadError::identity)?})
            }
            CloudIdentity::GoogleAccount { account, seconds } => {
                let audience = format!("vault/{role}");
                let jwt = account.identity(&audience, now, *seconds).map_err(|e| ReadError::Identity(e.to_string()))?;
                json!({"role": role, "jwt": jwt})
            }
            CloudIdentity::GoogleMachine { url } => {
                let request = gibbon_cloud::google::machine_identity(url, &format!("vault/{role}"))
                    .map_err(|e| ReadError::Identity(e.to_string()))?;
                let answer = world.send(request).await.map_err(|e| ReadError::Identity(e.to_string()))?;
                let jwt = String::from_utf8(answer.body.to_vec()).ok().filter(|_| answer.status == 200);
                let jwt = jwt.ok_or(ReadError::Answer("the machine does not say who it is"))?;
                json!({"role": role, "jwt": jwt.trim()})
            }
        })
    }
}

fn aws(config: &Config, surroundings: &Surroundings) -> Result<CloudIdentity, ReadError> {
    let machine = Machine::from(|name| (surroundings.variable)(name));
    let region = config.text("aws_auth_region").map(str::to_owned).or_else(|| machine.region.clone());
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    // It becomes part of a host name.
    if !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(ConfigError::Unsupported { field: "aws_auth_region", supported: "such as eu-west-1" }.into());
    }
    let own = format!("https://sts.{region}.amazonaws.com/");
    let sts = config.text("aws_sts_endpoint_url");
    let address = Address::parse(sts.unwrap_or(&own))
        .map_err(|_| ConfigError::Unsupported { field: "aws_sts_endpoint_url", supported: "an http or https URL" })?;
    let given = config.text("aws_access_key_id").zip(config.text("aws_secret_access_key"));
    let source = Source {
        keys: given.map(|(access, secret)| AwsKeys { access: access.into(), secret: secret.into(), session: None }),
        role: config.text("aws_assume_role_arn").map(str::to_owned),
        session: config.text("aws_role_session_name").unwrap_or("KongVault").to_owned(),
        sts: sts.map(str::to_owned),
        region: region.clone(),
        with_session: true,
    };
    let nonce = config.text("aws_auth_nonce").map(str::to_owned);
    Ok(CloudIdentity::Aws { keys: Box::new(Keys::new(source, machine)), sts: Box::new(address), region, nonce })
}

fn google(method: &str, config: &Config, surroundings: &Surroundings) -> Result<CloudIdentity, ReadError> {
    let variable = |name: &str| (surroundings.variable)(name).filter(|value| !value.is_empty());
    if method == "gcp_gce" {
        let host = variable("GCE_METADATA_HOST");
        let url = host.map_or_else(
            || GOOGLE_IDENTITY.to_owned(),
            |host| GOOGLE_IDENTITY.replace("metadata.google.internal", &host),
        );
        return Ok(CloudIdentity::GoogleMachine { url });
    }
    let given = config.text("gcp_service_account").map(str::to_owned).or_else(|| variable("GCP_SERVICE_ACCOUNT"));
    let given = given.ok_or(ConfigError::Missing("gcp_service_account"))?;
    let account = ServiceAccount::parse(given.as_bytes()).map_err(|error| ReadError::Identity(error.to_string()))?;
    let seconds = config.seconds("gcp_jwt_exp").unwrap_or(LONGEST_ASSERTION).clamp(1, LONGEST_ASSERTION);
    Ok(CloudIdentity::GoogleAccount { account: Box::new(account), seconds })
}

/// The signed question, as Vault's AWS engine takes it.
fn question(keys: &AwsKeys, sts: &Address, region: &str, now: u64) -> Map<String, Value> {
    let signable =
        Signable { method: "POST", address: sts, headers: &[("content-type", FORM)], body: QUESTION.as_bytes() };
    let mut headers =
        BTreeMap::from([("Content-Type".to_owned(), FORM.to_owned()), ("Host".to_owned(), sts.authority())]);
    headers.extend(sign(&signable, keys, region, "sts", now).into_iter().map(|(name, value)| (name.to_owned(), value)));
    let scheme = if sts.tls { "https" } else { "http" };
    let shown = [
        ("iam_http_request_method", "POST".to_owned()),
        ("iam_request_url", STANDARD.encode(format!("{scheme}://{}{}", sts.authority(), sts.target()))),
        ("iam_request_body", STANDARD.encode(QUESTION)),
        ("iam_request_headers", STANDARD.encode(json!(headers).to_string())),
    ];
    shown.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}
