//! Identities of Google Cloud: a service account's key, or the metadata server of the machine.

use crate::token::{Token, read_oauth};
use crate::{Address, AddressError, TokenError, TokenRequest, form, form_header};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::fmt;

/// What tokens are for.
pub const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const METADATA_URL: &str = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";
/// The longest an assertion may hold.
const LIFE: u64 = 3600;

/// A service account, from its key file.
pub struct ServiceAccount {
    email: String,
    key_id: Option<String>,
    token_url: String,
    project: Option<String>,
    key: RsaKeyPair,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceAccount({})", self.email)
    }
}

impl ServiceAccount {
    /// Reads the JSON of a key file.
    ///
    /// # Errors
    /// [`TokenError::Credentials`], which quotes nothing of it.
    pub fn parse(json: &[u8]) -> Result<Self, TokenError> {
        let bad = |why| TokenError::Credentials { what: "service account", why };
        let fields: Map<String, Value> = serde_json::from_slice(json).map_err(|_| bad("no JSON object"))?;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        if text("type").is_some_and(|t| t != "service_account") {
            return Err(bad("its type is not service_account"));
        }
        let email = text("client_email").ok_or_else(|| bad("client_email is missing"))?;
        let pem = text("private_key").ok_or_else(|| bad("private_key is missing"))?;
        let der = pkcs8(&pem).ok_or_else(|| bad("private_key is no PEM with a PKCS #8 key"))?;
        let key = RsaKeyPair::from_pkcs8(&der).map_err(|_| bad("private_key is no RSA key"))?;
        let token_url = text("token_uri").unwrap_or_else(|| TOKEN_URL.to_owned());
        Ok(Self { email, key_id: text("private_key_id"), token_url, project: text("project_id"), key })
    }

    /// The project it belongs to, if its key file says so.
    #[must_use]
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// A request for a token, with a signed assertion (RFC 7523). `token_url` replaces the one of
    /// the key file; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The address is none, or signing failed.
    pub fn token_request(&self, token_url: Option<&str>, now: u64) -> Result<TokenRequest, TokenError> {
        let url = token_url.unwrap_or(&self.token_url);
        let address = Address::parse(url)
            .map_err(|_| TokenError::Credentials { what: "service account", why: "its token URL is no URL" })?;
        let assertion = self.assertion(url, now)?;
        let body = form(&[("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)]);
        Ok(TokenRequest { method: "POST", address, headers: vec![form_header()], body })
    }

    fn assertion(&self, audience: &str, now: u64) -> Result<String, TokenError> {
        self.signed(&json!({
            "iss": self.email, "scope": SCOPE, "aud": audience, "iat": now, "exp": now.saturating_add(LIFE),
        }))
    }

    /// An assertion of who one is, for `audience` and so many seconds from `now` (since 1970).
    ///
    /// # Errors
    /// Signing failed.
    pub fn identity(&self, audience: &str, now: u64, seconds: u64) -> Result<String, TokenError> {
        self.signed(&json!({
            "iss": self.email, "sub": self.email, "aud": audience, "iat": now, "exp": now.saturating_add(seconds),
        }))
    }

    fn signed(&self, claims: &Value) -> Result<String, TokenError> {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.key_id});
        let part = |v: &Value| BASE64_URL_SAFE_NO_PAD.encode(v.to_string());
        let text = format!("{}.{}", part(&header), part(claims));
        let mut signature = vec![0; self.key.public_modulus_len()];
        // PKCS #1 v1.5 signatures are deterministic; the random source is only asked for blinding.
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
            .map_err(|_| TokenError::Credentials { what: "service account", why: "its key cannot sign" })?;
        Ok(format!("{text}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}

/// The DER inside a PEM of a PKCS #8 private key.
fn pkcs8(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (base64, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let base64: String = base64.chars().filter(|c| !c.is_whitespace()).collect();
    BASE64_STANDARD.decode(base64).ok()
}

/// A request for a token to the machine's metadata server; `url` replaces its address.
///
/// # Errors
/// The address is none.
pub fn metadata(url: Option<&str>) -> Result<TokenRequest, AddressError> {
    let address = Address::parse(url.unwrap_or(METADATA_URL))?;
    let headers = vec![("Metadata-Flavor".to_owned(), "Google".to_owned())];
    Ok(TokenRequest { method: "GET", address, headers, body: Vec::new() })
}

/// A request to the metadata server at `url` for an assertion of who the machine is, for `audience`. What is answered is the
/// assertion itself.
///
/// # Errors
/// The address is none.
pub fn machine_identity(url: &str, audience: &str) -> Result<TokenRequest, AddressError> {
    let mut request = metadata(Some(url))?;
    request.address.query.push(("audience".to_owned(), audience.to_owned()));
    request.address.query.push(("format".to_owned(), "full".to_owned()));
    Ok(request)
}

/// Reads the answer to either.
///
/// # Errors
/// [`TokenError::Answer`].
pub fn read(body: &[u8], now: u64) -> Result<Token, TokenError> {
    read_oauth(body, now)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    fn account() -> (ServiceAccount, Vec<u8>) {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(der.as_ref())
        );
        let file = json!({"type": "service_account", "client_email": "a@p.iam.test", "private_key": pem,
            "private_key_id": "k1", "token_uri": "https://oauth2.test/token"});
        (ServiceAccount::parse(file.to_string().as_bytes()).unwrap(), key.public_key().as_ref().to_vec())
    }

    #[test]
    fn an_assertion_is_signed_by_the_account_for_the_token_service() {
        let (account, public) = account();
        let r = account.token_request(None, 1000).unwrap();
        assert_eq!(r.address.host, "oauth2.test");
        let body = String::from_utf8(r.body).unwrap();
        let jwt = body.split_once("assertion=").unwrap().1;
        let (text, signature) = jwt.rsplit_once('.').unwrap();
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public).verify(text.as_bytes(), &signature).unwrap();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().1).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(
            claims,
            json!({"iss": "a@p.iam.test", "scope": SCOPE, "aud": "https://oauth2.test/token", "iat": 1000, "exp": 4600})
        );
    }

    #[test]
    fn a_key_file_that_is_none_is_refused_without_quoting_it() {
        for bad in [
            "",
            "[]",
            r#"{"type":"user"}"#,
            r#"{"client_email":"a"}"#,
            r#"{"client_email":"a","private_key":"s3cret"}"#,
            r#"{"client_email":"a","private_key":"-----BEGIN PRIVATE KEY-----QUJD-----END PRIVATE KEY-----"}"#,
        ] {
            let err = ServiceAccount::parse(bad.as_bytes()).unwrap_err().to_string();
            assert!(!err.contains("s3cret"), "{err}");
        }
    }

    #[test]
    fn a_machine_asks_its_metadata_server() {
        let r = metadata(None).unwrap();
        assert_eq!(r.address.host, "metadata.google.internal");
        assert_eq!(r.headers, [("Metadata-Flavor".to_owned(), "Google".to_owned())]);
    }
}
