//! Applications that are registered as clients, and how they show who they are (RFC 6749 2.3).

use std::num::NonZeroU32;
use std::sync::Arc;

use aws_lc_rs::pbkdf2;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use gibbon_pdk::{Credential, CredentialKind, Exchange, Host};
use serde_json::Value;
use uuid::Uuid;

use super::parameters::{Parameters, Refusal};
use crate::authorization::UserPassword;
use crate::identity;

pub const CLIENTS: CredentialKind = CredentialKind("oauth2_credentials");

/// Rounds of a stored hash that are still computed; a stored hash is ours, the bound is against a mistake.
const MAX_ROUNDS: u32 = 1_000_000;

/// A client.
pub struct Client {
    pub credential: Arc<Credential>,
    /// Where it is registered; its codes and tokens are there too.
    pub workspace: Uuid,
    /// Where end users are sent back to; empty if none is registered.
    pub redirect_uris: Vec<String>,
    pub is_public: bool,
    hashed: bool,
}

impl Client {
    pub fn find(x: &Exchange, host: &Host, client_id: &str) -> Option<Client> {
        if client_id.is_empty() {
            return None;
        }
        let credential = host.directory.credential(x.workspace, CLIENTS, client_id)?;
        let document = credential.document.as_deref();
        let uris = document.and_then(|d| d.get("redirect_uris")).and_then(Value::as_array);
        Some(Client {
            redirect_uris: uris.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            is_public: credential.field("client_type") == Some("public"),
            workspace: x.workspace,
            hashed: document.and_then(|d| d.get("hash_secret")) == Some(&Value::Bool(true)),
            credential,
        })
    }

    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.is_public { "public" } else { "confidential" }
    }

    /// Whether a confidential client's secret is right. A hashed one takes milliseconds and is computed elsewhere.
    pub async fn is_secret(&self, host: &Host, given: Option<&str>) -> bool {
        let (Some(stored), Some(given)) = (self.credential.field("client_secret"), given) else { return false };
        if !self.hashed {
            return identity::equal_in_constant_time(stored.as_bytes(), given.as_bytes());
        }
        let (stored, given) = (stored.to_owned(), given.to_owned());
        let work = host.compute.run(Box::new(move || Box::new(matches_phc(&stored, &given))));
        work.await.and_then(|verdict| verdict.downcast::<bool>().ok()).is_some_and(|verdict| *verdict)
    }
}

/// Whether a hash in PHC form, `$pbkdf2-sha512$i=ROUNDS,l=LENGTH$SALT$HASH`, is that of a secret.
fn matches_phc(stored: &str, given: &str) -> bool {
    let parse = || {
        let mut parts = stored.strip_prefix("$pbkdf2-sha512$")?.split('$');
        let (settings, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let rounds = settings.split(',').find_map(|s| s.strip_prefix("i="))?.parse().ok()?;
        let rounds = NonZeroU32::new(rounds).filter(|rounds| rounds.get() <= MAX_ROUNDS)?;
        Some((rounds, STANDARD_NO_PAD.decode(salt).ok()?, STANDARD_NO_PAD.decode(hash).ok()?))
    };
    parse().is_some_and(|(rounds, salt, hash)| {
        pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, rounds, &salt, given.as_bytes(), &hash).is_ok()
    })
}

/// How a client says who it is.
pub struct Claimed {
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
    /// In the header rather than in parameters.
    pub by_header: bool,
}

impl Claimed {
    /// Both parameters, else the header, else the client's id alone.
    pub fn of(x: &Exchange, parameters: &Parameters, header: &str) -> Claimed {
        let id = parameters.text("client_id").map(Into::into);
        let secret: Option<String> = parameters.text("client_secret").map(Into::into);
        if id.is_some() && secret.is_some() {
            return Claimed { client_id: id, client_secret: secret, by_header: false };
        }
        if !x.request.headers.contains(header) {
            return Claimed { client_id: id, client_secret: None, by_header: false };
        }
        let basic = UserPassword::basic(x, header);
        let secret = basic.as_ref().and_then(|pair| String::from_utf8(pair.password.clone()).ok());
        Claimed { client_id: basic.map(|pair| pair.user), client_secret: secret, by_header: true }
    }

    /// The client, if it is who it says.
    ///
    /// # Errors
    /// A wrong secret, or one where there must be none.
    pub async fn verify(&self, client: &Client, host: &Host) -> Result<(), Refusal> {
        let secret = self.client_secret.as_deref();
        if !client.is_public {
            let is_it = client.is_secret(host, secret).await;
            return if is_it { Ok(()) } else { Err(Refusal::invalid_client(self.by_header)) };
        }
        if secret.is_some_and(|secret| !secret.trim().is_empty()) {
            return Err(Refusal::new("invalid_request", "client_secret is disallowed for public clients"));
        }
        Ok(())
    }
}

/// The redirect URI asked for, or the first that is registered.
///
/// # Errors
/// When it is not registered; a code must not go to a stranger (RFC 6749 10.6).
pub fn redirect_uri(parameters: &Parameters, client: &Client) -> Result<String, Refusal> {
    let first = client.redirect_uris.first().cloned().unwrap_or_default();
    let asked = match parameters.get("redirect_uri") {
        None => first,
        Some(Value::String(uri)) => uri.clone(),
        Some(_) => String::new(),
    };
    if client.redirect_uris.contains(&asked) {
        return Ok(asked);
    }
    Err(Refusal::new(
        "invalid_request",
        "Invalid redirect_uri that does not match with any redirect_uri created with the application",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_hash_matches_its_secret_only() {
        // Made with Python's hashlib.pbkdf2_hmac('sha512', b'secret', b'0123456789abcdef', 10000, 32).
        let stored = "$pbkdf2-sha512$i=10000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$vmRQw0BpocKqrhRKR3m3G/IeOsJdowFFKr1BqQJRowY";
        assert!(matches_phc(stored, "secret"));
        assert!(!matches_phc(stored, "Secret"));
        for broken in
            ["", "secret", "$pbkdf2-sha512$", "$pbkdf2-sha512$i=0,l=32$YQ$YQ", "$pbkdf2-sha512$i=99999999$YQ$YQ"]
        {
            assert!(!matches_phc(broken, "secret"), "{broken}");
        }
    }
}
