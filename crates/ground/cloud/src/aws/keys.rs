//! Where keys of AWS are found: given, else in the process' environment, with the container, by a web identity, or with the
//! instance; and, if one is named, the role that is assumed with them. Kept while they hold.

use std::sync::{Mutex, PoisonError};

use super::{Role, TemporaryKeys, container, instance_role, instance_session, read_metadata, read_sts, sts_refusal};
use crate::sigv4::AwsKeys;
use crate::world::{ask, read};
use crate::{IdentityError, World};

/// Temporary keys are fetched again this many seconds before they end, so that none ends on its way.
const EARLY: u64 = 300;
/// Where containers on ECS find their keys.
const CONTAINER: &str = "http://169.254.170.2";
const STS: &str = "the security token service";

/// What the process says about where it runs.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The region it runs in.
    pub region: Option<String>,
    /// Keys to use.
    pub keys: Option<AwsKeys>,
    /// Where the container's keys are.
    pub container_url: Option<String>,
    /// What it is shown.
    pub container_token: Option<String>,
    /// A file with what it is shown.
    pub container_token_file: Option<String>,
    /// A file with a token, and the role that it stands for.
    pub web_identity: Option<(String, String)>,
    /// What the session of a web identity is called.
    pub session: Option<String>,
    /// The instance metadata service.
    pub metadata: Option<String>,
}

impl Surroundings {
    /// Reads the variables that AWS defines.
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
            session: get("AWS_ROLE_SESSION_NAME"),
            metadata: get("AWS_EC2_METADATA_SERVICE_ENDPOINT").map(|url| url.trim_end_matches('/').to_owned()),
        }
    }
}

/// What a configuration says about whose keys are used.
#[derive(Clone, Default)]
pub struct Source {
    /// Keys that are given.
    pub keys: Option<AwsKeys>,
    /// The ARN of a role to assume.
    pub role: Option<String>,
    /// What the session of that role is called in AWS's logs.
    pub session: String,
    /// The address of the token service, if not the region's own.
    pub sts: Option<String>,
    /// The region whose token service is asked.
    pub region: String,
    /// Whether the instance's service is asked in its version 2, with a session.
    pub with_session: bool,
}

/// The keys of one configuration.
pub struct Keys {
    source: Source,
    surroundings: Surroundings,
    /// Of the source, and of the role assumed with them.
    kept: [Mutex<Option<TemporaryKeys>>; 2],
}

impl Keys {
    /// Of a configuration, in these surroundings.
    #[must_use]
    pub fn new(source: Source, surroundings: Surroundings) -> Self {
        Keys { source, surroundings, kept: Default::default() }
    }

    /// The keys to sign with, if there is nothing to wait for. `now` is in seconds since 1970.
    #[must_use]
    pub fn ready(&self, now: u64) -> Option<AwsKeys> {
        let [source, assumed] = &self.kept;
        match self.source.role {
            Some(_) => fresh(assumed, now),
            None => self.given().cloned().or_else(|| fresh(source, now)),
        }
    }

    /// The keys to sign with. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn get(&self, world: &dyn World, now: u64) -> Result<AwsKeys, IdentityError> {
        if let Some(keys) = self.ready(now) {
            return Ok(keys);
        }
        let [source, assumed] = &self.kept;
        let found = match self.given().cloned().or_else(|| fresh(source, now)) {
            Some(keys) => keys,
            None => keep(source, self.find(world).await?),
        };
        let Some(arn) = &self.source.role else { return Ok(found) };
        let request = self.role(arn, &self.source.session).assume(&found, now)?;
        Ok(keep(assumed, read_sts(&ask(world, request, STS, sts_refusal).await?)?))
    }

    fn given(&self) -> Option<&AwsKeys> {
        self.source.keys.as_ref().or(self.surroundings.keys.as_ref())
    }

    fn role<'a>(&'a self, arn: &'a str, session: &'a str) -> Role<'a> {
        Role { arn, session, region: &self.source.region, endpoint: self.source.sts.as_deref() }
    }

    async fn find(&self, world: &dyn World) -> Result<TemporaryKeys, IdentityError> {
        if self.surroundings.container_url.is_some() {
            self.of_container(world).await
        } else if let Some((file, arn)) = &self.surroundings.web_identity {
            let token = read(world, "web identity token", file)?;
            let session = self.surroundings.session.as_deref().unwrap_or(&self.source.session);
            let request = self.role(arn, session).assume_with_web_identity(&token)?;
            Ok(read_sts(&ask(world, request, STS, sts_refusal).await?)?)
        } else {
            self.of_instance(world).await
        }
    }

    async fn of_container(&self, world: &dyn World) -> Result<TemporaryKeys, IdentityError> {
        let around = &self.surroundings;
        let of_file = around.container_token_file.as_deref();
        let of_file = of_file.map(|file| read(world, "container's authorization token", file)).transpose()?;
        let token = of_file.as_deref().or(around.container_token.as_deref());
        let request = container(around.container_url.as_deref().unwrap_or_default(), token)?;
        Ok(read_metadata(&ask(world, request, "the container's credentials service", |_| None).await?)?)
    }

    async fn of_instance(&self, world: &dyn World) -> Result<TemporaryKeys, IdentityError> {
        const WHAT: &str = "the instance metadata service";
        let endpoint = self.surroundings.metadata.as_deref().unwrap_or(super::METADATA);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        let session = match self.source.with_session {
            true => Some(text(ask(world, instance_session(endpoint)?, WHAT, |_| None).await?)),
            false => None,
        };
        let session = session.as_deref();
        let names = text(ask(world, instance_role(endpoint, session, None)?, WHAT, |_| None).await?);
        let name = names.lines().next().filter(|name| !name.is_empty()).ok_or(IdentityError::NoRole)?;
        let answer = ask(world, instance_role(endpoint, session, Some(name))?, WHAT, |_| None).await?;
        Ok(read_metadata(&answer)?)
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
