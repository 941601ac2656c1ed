//! The account at the authority: made once, and shared by all nodes through the storage.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use super::authority::{AcmeError, Authority, Resource, Signer};
use super::jws::AccountKey;
use super::keeper::Keeper;
use super::storage::Storage;

/// A known account.
pub struct Account {
    pub key: AccountKey,
    /// Its address at the authority, by which requests name it.
    pub kid: String,
}

impl Account {
    pub fn signer(&self) -> Signer<'_> {
        Signer { key: &self.key, kid: Some(&self.kid) }
    }
}

impl Keeper {
    /// The account: with the key that was given, or one of its own.
    ///
    /// # Errors
    /// When neither works.
    pub async fn account(&self) -> Result<Account, AcmeError> {
        let key = match &self.settings.account_key {
            Some(given) => given.load(&*self.store).await?,
            None => self.own_key().await?,
        };
        // Registering a key that is known gives its account again (RFC 8555 7.3).
        let kid = self.register(&self.authority, &key).await?;
        Ok(Account { key, kid })
    }

    /// The key that the storage has; made now if it has none.
    async fn own_key(&self) -> Result<AccountKey, AcmeError> {
        if let Some(stored) = stored(&self.storage, &self.account_place()).await? {
            return Ok(AccountKey::from_pem(&stored)?);
        }
        let key = self.make_account_key().await?;
        let value = json!({ "key": key.pem() }).to_string();
        self.storage.set(&self.account_place(), &value, None).await?;
        Ok(key)
    }

    fn account_place(&self) -> String {
        format!("kong_acme:account:{}:{}", self.authority.url, STANDARD.encode(&self.settings.email))
    }

    async fn make_account_key(&self) -> Result<AccountKey, AcmeError> {
        let pair = self.make_key(|| KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096)).await?;
        let key = AccountKey::new(pair)?;
        let print = digest(&SHA256, key.thumbprint().as_bytes());
        tracing::info!("acme: made a key for the account at '{}' ({:?})", self.authority.url, print.as_ref().get(..4));
        Ok(key)
    }

    async fn register(&self, authority: &Authority, key: &AccountKey) -> Result<String, AcmeError> {
        let url = authority.address(Resource::Account).await?;
        let contact = json!([format!("mailto:{}", self.settings.email)]);
        let agreed = self.settings.tos_accepted;
        let payload = match &self.settings.external {
            None => json!({ "contact": contact, "termsOfServiceAgreed": agreed }),
            Some((kid, secret)) => {
                let bound = key.bind(&url, kid, secret).ok_or(AcmeError::ExternalKey)?;
                json!({ "contact": contact, "termsOfServiceAgreed": agreed, "externalAccountBinding": bound })
            }
        };
        let said = authority.ask(&url, Signer { key, kid: None }, payload.to_string().as_bytes()).await?;
        said.location.ok_or(AcmeError::Missing("Location of the account"))
    }
}

async fn stored(storage: &Storage, place: &str) -> Result<Option<String>, AcmeError> {
    let value: Option<Value> = storage.get(place).await?.and_then(|text| serde_json::from_str(&text).ok());
    Ok(value.and_then(|value| value.get("key")?.as_str().map(str::to_owned)))
}
