//! One certificate from order to chain (RFC 8555 7.4).

use std::net::IpAddr;
use std::time::Duration;

use gibbon_pdk::CertificatePem;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize,
};
use serde_json::{Value, json};

use super::account::Account;
use super::authority::{AcmeError, Resource, Said};
use super::certificates::issuer_names;
use super::challenge;
use super::config::CertType;
use super::jws::encode;
use super::keeper::Keeper;

/// How often a state is asked for, and how long to wait between two questions.
const QUESTIONS: usize = 60;
const PAUSE: Duration = Duration::from_secs(1);

impl Keeper {
    /// Obtains a certificate for a name.
    ///
    /// # Errors
    /// What went wrong on the way.
    pub async fn obtain(&self, host: &str) -> Result<CertificatePem, AcmeError> {
        let account = self.account().await?;
        let kind = if host.parse::<IpAddr>().is_ok() { "ip" } else { "dns" };
        let order = json!({ "identifiers": [{ "type": kind, "value": host }] });
        let url = self.authority.address(Resource::Order).await?;
        let order = self.authority.ask(&url, account.signer(), order.to_string().as_bytes()).await?;
        let order_url = order.location.ok_or(AcmeError::Missing("Location of the order"))?;
        for authorization in list(&order.body, "authorizations") {
            self.authorize(&account, &authorization).await?;
        }
        let key = self.certificate_key().await?;
        let request = self.signing_request(host, &key)?;
        let payload = json!({ "csr": encode(&request) }).to_string();
        self.authority.ask(&text(&order.body, "finalize")?, account.signer(), payload.as_bytes()).await?;
        let order = self.wait(&account, &order_url, "the order is not ready").await?;
        let cert = self.download(&account, &text(&order.body, "certificate")?).await?;
        Ok(CertificatePem { cert, key: key.serialize_pem() })
    }

    /// Proves that the name is ours, unless the authority knows that already.
    async fn authorize(&self, account: &Account, url: &str) -> Result<(), AcmeError> {
        let authorization = self.authority.ask(url, account.signer(), b"").await?;
        if authorization.body.get("status") == Some(&"valid".into()) {
            return Ok(());
        }
        let challenges = authorization.body.get("challenges").and_then(Value::as_array);
        let http = challenges.into_iter().flatten().find(|c| c.get("type") == Some(&"http-01".into()));
        let http = http.ok_or(AcmeError::Missing("http-01 challenge"))?;
        let token = text(http, "token")?;
        let answer = format!("{token}.{}", account.key.thumbprint());
        let place = challenge::place(&token);
        self.storage.set(&place, &answer, Some(challenge::TIME_TO_LIVE)).await?;
        self.authority.ask(&text(http, "url")?, account.signer(), b"{}").await?;
        let proven = self.wait(account, url, "the authorization is not decided").await;
        self.storage.delete(&place).await?;
        proven.map(drop)
    }

    /// Asks until a state is final.
    async fn wait(&self, account: &Account, url: &str, what: &'static str) -> Result<Said, AcmeError> {
        for _ in 0..QUESTIONS {
            let said = self.authority.ask(url, account.signer(), b"").await?;
            match said.body.get("status").and_then(Value::as_str) {
                Some("valid") => return Ok(said),
                Some("pending" | "processing" | "ready") => self.clock.sleep(PAUSE).await,
                _ => return Err(AcmeError::Refused { status: 200, detail: reason(&said.body) }),
            }
        }
        Err(AcmeError::TooSlow(what))
    }

    async fn certificate_key(&self) -> Result<KeyPair, AcmeError> {
        let size = match self.settings.rsa_key_size {
            2048 => RsaKeySize::_2048,
            3072 => RsaKeySize::_3072,
            _ => RsaKeySize::_4096,
        };
        match self.settings.cert_type {
            CertType::Rsa => self.make_key(move || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, size)).await,
            CertType::Ecc => self.make_key(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)).await,
        }
    }

    /// Makes a key where it holds nobody up: an RSA key takes seconds.
    pub async fn make_key(
        &self,
        make: impl FnOnce() -> Result<KeyPair, rcgen::Error> + Send + 'static,
    ) -> Result<KeyPair, AcmeError> {
        let work = move || Box::new(make()) as Box<dyn std::any::Any + Send>;
        let made = self.compute.run_for_control(Box::new(work)).await;
        let made = made.and_then(|made| made.downcast::<Result<KeyPair, rcgen::Error>>().ok());
        match made {
            Some(made) => made.map_err(|error| AcmeError::KeyNotMade(error.to_string())),
            None => Err(AcmeError::KeyNotMade("no thread is free".to_owned())),
        }
    }

    fn signing_request(&self, host: &str, key: &KeyPair) -> Result<Vec<u8>, AcmeError> {
        /// The most that a common name may have (RFC 5280, `ub-common-name`).
        const LONGEST: usize = 64;
        let failed = |error: rcgen::Error| AcmeError::KeyNotMade(error.to_string());
        let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        let is_address = host.parse::<IpAddr>().is_ok();
        if host.len() <= LONGEST && (!is_address || self.settings.common_name_of_addresses) {
            params.distinguished_name.push(DnType::CommonName, host);
        }
        Ok(params.serialize_request(key).map_err(failed)?.der().to_vec())
    }

    /// The chain, or of several the one that leads where it should.
    async fn download(&self, account: &Account, url: &str) -> Result<String, AcmeError> {
        let first = self.authority.ask(url, account.signer(), b"").await?;
        let chain = String::from_utf8_lossy(&first.raw).into_owned();
        let Some(preferred) = &self.settings.preferred_chain else { return Ok(chain) };
        if issuer_names(&chain).iter().any(|name| name == preferred) {
            return Ok(chain);
        }
        for url in &first.alternates {
            let other = self.authority.ask(url, account.signer(), b"").await?;
            let other = String::from_utf8_lossy(&other.raw).into_owned();
            if issuer_names(&other).iter().any(|name| name == preferred) {
                return Ok(other);
            }
        }
        tracing::warn!("acme: no chain leads to '{preferred}'; the first is taken");
        Ok(chain)
    }
}

fn text(value: &Value, name: &'static str) -> Result<String, AcmeError> {
    value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(AcmeError::Missing(name))
}

fn list(value: &Value, name: &str) -> Vec<String> {
    let items = value.get(name).and_then(Value::as_array);
    items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Why an order or authorization became invalid.
fn reason(body: &Value) -> String {
    let challenges = body.get("challenges").and_then(Value::as_array).into_iter().flatten();
    let errors = challenges.filter_map(|challenge| challenge.get("error")).chain(body.get("error"));
    let details: Vec<&str> = errors.filter_map(|error| error.get("detail")?.as_str()).collect();
    if details.is_empty() { "it became invalid".to_owned() } else { details.join("; ") }
}
