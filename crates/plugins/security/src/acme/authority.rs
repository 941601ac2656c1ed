//! Talking to the authority: directory, nonces, signed requests, and what it says when it refuses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gibbon_message::Method;
use gibbon_pdk::{HttpClient, OutcallError, OutcallRequest, OutcallResponse};
use serde_json::Value;

use super::jws::{AccountKey, KeyError};
use super::storage::StorageError;

/// Time for one call.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Answers of an authority are small.
const MAX_ANSWER: usize = 1 << 20;

/// Why no certificate was obtained.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error("the authority cannot be reached: {0}")]
    Http(#[from] OutcallError),
    #[error("the storage failed: {0}")]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the authority refused ({status}): {detail}")]
    Refused { status: u16, detail: String },
    #[error("the authority's answer has no {0}")]
    Missing(&'static str),
    #[error("the authority did not finish in time: {0}")]
    TooSlow(&'static str),
    #[error("a key could not be made: {0}")]
    KeyNotMade(String),
    #[error("the key of the external account is no base64url")]
    ExternalKey,
    #[error("the account's key '{kid}' cannot be used: {why}")]
    GivenKey { kid: String, why: String },
}

/// The addresses that the authority's directory names.
struct Directory {
    new_nonce: String,
    new_account: String,
    new_order: String,
}

/// An authority.
pub struct Authority {
    http: Arc<dyn HttpClient>,
    /// Of the directory.
    pub url: String,
    /// A nonce left over from the last answer.
    nonce: Mutex<Option<String>>,
}

/// What an answer says, with the headers that matter.
pub struct Said {
    pub body: Value,
    pub raw: bytes::Bytes,
    pub location: Option<String>,
    /// Addresses of other chains.
    pub alternates: Vec<String>,
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    pub key: &'a AccountKey,
    pub kid: Option<&'a str>,
}

/// Which request of the directory is meant.
#[derive(Clone, Copy)]
pub enum Resource {
    Account,
    Order,
}

impl Authority {
    pub fn new(http: Arc<dyn HttpClient>, api_uri: &str) -> Self {
        let trimmed = api_uri.trim_end_matches('/');
        let url = if trimmed.ends_with("/directory") || trimmed.ends_with("/dir") {
            trimmed.to_owned()
        } else {
            format!("{trimmed}/directory")
        };
        Authority { http, url, nonce: Mutex::default() }
    }

    /// # Errors
    /// When the directory cannot be read.
    pub async fn address(&self, resource: Resource) -> Result<String, AcmeError> {
        let directory = self.directory().await?;
        Ok(match resource {
            Resource::Account => directory.new_account,
            Resource::Order => directory.new_order,
        })
    }

    /// Asks with a signed request. An empty payload reads (POST as GET).
    ///
    /// # Errors
    /// What the authority or the way to it has against it.
    pub async fn ask(&self, url: &str, signer: Signer<'_>, payload: &[u8]) -> Result<Said, AcmeError> {
        /// The authority may tell us to use a fresh nonce (RFC 8555 6.5).
        const TRIES: usize = 4;
        let mut tries = 0;
        loop {
            tries += 1;
            let nonce = self.nonce().await?;
            let body = signer.key.sign(url, &nonce, signer.kid, payload)?.to_string();
            let mut request = OutcallRequest::new(Method::Post, url);
            request.headers.append("Content-Type", "application/jose+json");
            request.body = body.into();
            let answer = self.call(request).await?;
            match refusal(&answer) {
                None => return Ok(said(answer)),
                Some(AcmeError::Refused { detail, .. }) if detail.contains("badNonce") && tries < TRIES => {}
                Some(error) => return Err(error),
            }
        }
    }

    /// A call that is not for the authority.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn plain(&self, request: OutcallRequest) -> Result<OutcallResponse, OutcallError> {
        self.http.call(request).await
    }

    async fn directory(&self) -> Result<Directory, AcmeError> {
        let answer = self.call(OutcallRequest::new(Method::Get, &self.url)).await?;
        if let Some(error) = refusal(&answer) {
            return Err(error);
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let address = |name: &'static str| {
            body.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(AcmeError::Missing(name))
        };
        Ok(Directory {
            new_nonce: address("newNonce")?,
            new_account: address("newAccount")?,
            new_order: address("newOrder")?,
        })
    }

    async fn nonce(&self) -> Result<String, AcmeError> {
        if let Some(nonce) = self.kept_nonce().take() {
            return Ok(nonce);
        }
        let url = self.directory().await?.new_nonce;
        self.call(OutcallRequest::new(Method::Head, url)).await?;
        self.kept_nonce().take().ok_or(AcmeError::Missing("Replay-Nonce"))
    }

    fn kept_nonce(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call(&self, mut request: OutcallRequest) -> Result<OutcallResponse, AcmeError> {
        request.timeout = TIMEOUT;
        request.max_response_bytes = MAX_ANSWER;
        request.headers.append("User-Agent", "gibbon-acme");
        let answer = self.http.call(request).await?;
        if let Some(nonce) = answer.headers.get_str("replay-nonce") {
            *self.kept_nonce() = Some(nonce.to_owned());
        }
        Ok(answer)
    }
}

/// A problem document (RFC 7807), shortened: it goes to the log.
fn refusal(answer: &OutcallResponse) -> Option<AcmeError> {
    const LONGEST: usize = 500;
    if answer.status < 400 {
        return None;
    }
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let part = |name| problem.get(name).and_then(Value::as_str).unwrap_or_default();
    let detail = format!("{} {}", part("type"), part("detail")).chars().take(LONGEST).collect::<String>();
    Some(AcmeError::Refused { status: answer.status, detail: detail.trim().to_owned() })
}

fn said(answer: OutcallResponse) -> Said {
    let location = answer.headers.get_str("location").map(str::to_owned);
    let links = answer.headers.get_all("link").filter_map(|link| std::str::from_utf8(link).ok());
    let alternates = links.flat_map(|links| links.split(',')).filter_map(alternate).collect();
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    Said { body, raw: answer.body, location, alternates }
}

/// The address of `<address>;rel="alternate"`.
fn alternate(link: &str) -> Option<String> {
    let (address, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_alternate = parameters.split(';').any(|p| matches!(p.trim(), "rel=\"alternate\"" | "rel=alternate"));
    is_alternate.then(|| address.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternates_are_read_from_links() {
        assert_eq!(alternate("<https://a.test/1>;rel=\"alternate\""), Some("https://a.test/1".to_owned()));
        assert_eq!(alternate("<https://a.test/dir>; rel=\"index\""), None);
        assert_eq!(alternate("nonsense"), None);
    }
}
