//! Bearer tokens of Google and Microsoft: where they come from, how the answer to a request for one is read, and how one is
//! kept until shortly before it expires.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};

use crate::google::ServiceAccount;
use crate::world::{ask, read};
use crate::{IdentityError, TokenError, World, azure, google};

/// Seconds before the end of a token at which another is fetched.
const EARLY: u64 = 300;

/// A token and until when it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token; secret.
    pub value: String,
    /// Seconds since 1970.
    pub expires: u64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(until {})", self.expires)
    }
}

/// Reads an OAuth 2 token answer (RFC 6749, section 5.1); Azure writes numbers as texts.
///
/// # Errors
/// [`TokenError::Answer`]. The error's description is passed on, its body never: it may echo a
/// credential.
pub fn read_oauth(body: &[u8], now: u64) -> Result<Token, TokenError> {
    let bad = |why: &str| TokenError::Answer { why: why.to_owned() };
    if let Some(error) = refusal(body) {
        return Err(error);
    }
    let fields: Map<String, Value> = serde_json::from_slice(body).map_err(|_| bad("no JSON object"))?;
    let value = fields.get("access_token").and_then(Value::as_str).filter(|t| !t.is_empty());
    let value = value.ok_or_else(|| bad("no access_token"))?.to_owned();
    let number =
        |key: &str| fields.get(key).and_then(|v| v.as_u64().or_else(|| v.as_str().and_then(|s| s.trim().parse().ok())));
    let expires = number("expires_in").map(|n| now.saturating_add(n)).or_else(|| number("expires_on"));
    Ok(Token { value, expires: expires.unwrap_or(now + 300) })
}

/// The code in a refusal of an OAuth server, such as `invalid_client`.
fn refusal(body: &[u8]) -> Option<TokenError> {
    let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let code: String = fields.get("error")?.as_str()?.chars().filter(char::is_ascii_graphic).take(64).collect();
    Some(TokenError::Answer { why: format!("error {code}") })
}

/// Whom a token is for, and who gives it.
pub enum TokenSource {
    /// A service account of Google, with the address of the token service if not its own.
    ServiceAccount {
        /// The account.
        account: Box<ServiceAccount>,
        /// The address.
        url: Option<String>,
    },
    /// The metadata server of a machine of Google's, at another address than its own.
    GoogleMachine {
        /// The address.
        url: Option<String>,
    },
    /// A client of Microsoft Entra with its secret.
    AzureSecret {
        /// The authority, such as [`azure::AUTHORITY`].
        authority: String,
        /// The client's tenant.
        tenant: String,
        /// The client.
        client: String,
        /// Its secret.
        secret: String,
        /// What the token is good for.
        resource: String,
    },
    /// A client of Microsoft Entra that the token in a file stands for.
    AzureFederated {
        /// The authority.
        authority: String,
        /// The client's tenant.
        tenant: String,
        /// The client.
        client: String,
        /// The file.
        file: String,
        /// What the token is good for.
        resource: String,
    },
    /// The managed identity of a machine.
    AzureMachine {
        /// Another address than [`azure::METADATA`].
        endpoint: Option<String>,
        /// Chooses among several identities.
        client: Option<String>,
        /// What the token is good for.
        resource: String,
    },
    /// The managed identity of an app service.
    AzureApp {
        /// Its address.
        endpoint: String,
        /// The header it wants.
        header: String,
        /// Chooses among several identities.
        client: Option<String>,
        /// What the token is good for.
        resource: String,
    },
}

/// The token of one configuration, kept while it holds.
pub struct Tokens {
    source: TokenSource,
    kept: Mutex<Option<Token>>,
}

impl Tokens {
    /// From this source.
    #[must_use]
    pub fn new(source: TokenSource) -> Self {
        Tokens { source, kept: Mutex::new(None) }
    }

    /// The token, if there is nothing to wait for. `now` is in seconds since 1970.
    #[must_use]
    pub fn ready(&self, now: u64) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|token| token.expires > now.saturating_add(EARLY)).map(|token| token.value.clone())
    }

    /// The token. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(&self, world: &dyn World, now: u64) -> Result<String, IdentityError> {
        if let Some(token) = self.ready(now) {
            return Ok(token);
        }
        let (request, what) = self.request(world, now)?;
        let token = read_oauth(&ask(world, request, what, refusal).await?, now)?;
        let value = token.value.clone();
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(value)
    }

    fn request(&self, world: &dyn World, now: u64) -> Result<(crate::TokenRequest, &'static str), IdentityError> {
        const MACHINE: &str = "the machine's metadata service";
        const SERVER: &str = "the token service";
        Ok(match &self.source {
            TokenSource::ServiceAccount { account, url } => (account.token_request(url.as_deref(), now)?, SERVER),
            TokenSource::GoogleMachine { url } => (google::metadata(url.as_deref())?, MACHINE),
            TokenSource::AzureSecret { authority, tenant, client, secret, resource } => {
                (azure::client_secret(authority, tenant, client, secret, resource)?, SERVER)
            }
            TokenSource::AzureFederated { authority, tenant, client, file, resource } => {
                let assertion = read(world, "federated token", file)?;
                (azure::client_assertion(authority, tenant, client, &assertion, resource)?, SERVER)
            }
            TokenSource::AzureMachine { endpoint, client, resource } => {
                (azure::managed_identity(endpoint.as_deref(), client.as_deref(), resource)?, MACHINE)
            }
            TokenSource::AzureApp { endpoint, header, client, resource } => {
                (azure::app_identity(endpoint, header, client.as_deref(), resource)?, MACHINE)
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::{Reply, Said, TokenRequest};

    #[test]
    fn tokens_are_read_however_their_life_is_written() {
        let read = |s: &str| read_oauth(s.as_bytes(), 1000).map(|t| (t.value, t.expires));
        assert_eq!(read(r#"{"access_token":"t","expires_in":3599}"#).unwrap(), ("t".into(), 4599));
        assert_eq!(read(r#"{"access_token":"t","expires_in":"3599"}"#).unwrap(), ("t".into(), 4599));
        assert_eq!(read(r#"{"access_token":"t","expires_on":"9000"}"#).unwrap(), ("t".into(), 9000));
        let err = read(r#"{"error":"invalid_grant","error_description":"secret"}"#).unwrap_err();
        assert_eq!(err.to_string(), "the answer of the token service is not valid: error invalid_grant");
        assert!(read("<html>").is_err());
    }

    /// A token service whose tokens are numbered, each for an hour.
    struct Numbering(std::sync::atomic::AtomicU64);

    impl World for Numbering {
        fn send(&self, _: TokenRequest) -> Said<'_> {
            let number = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let body = format!(r#"{{"access_token":"{number}","expires_in":3600}}"#).into_bytes();
            Box::pin(std::future::ready(Ok(Reply { status: 200, body })))
        }

        fn file(&self, _: &str) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }
    }

    #[test]
    fn a_token_is_kept_until_five_minutes_before_its_end() {
        let tokens = Tokens::new(TokenSource::GoogleMachine { url: None });
        let world = Numbering(0.into());
        let get = |now| {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match std::pin::pin!(tokens.get(&world, now)).poll(&mut context) {
                std::task::Poll::Ready(token) => token.unwrap(),
                std::task::Poll::Pending => panic!("it waits"),
            }
        };
        assert_eq!(tokens.ready(1000), None);
        assert_eq!((get(1000), get(4299), get(4300)), ("0".into(), "0".into(), "1".into()));
        assert_eq!(tokens.ready(4300), Some("1".into()));
    }
}
