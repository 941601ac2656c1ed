//! With a datastore, a certificate that was obtained is an entity like any other, with a name that it serves: every node
//! shows it, and people see it in the Admin API. A tag says where it came from.

use std::sync::Arc;

use gibbon_pdk::{CertificatePem, Random, Store};
use serde_json::{Value, json};

use super::storage::StorageError;

/// Marks what this plugin may replace.
const TAG: &str = "managed-by-acme";

/// Certificates and their names in the datastore.
pub struct Entities {
    pub store: Arc<dyn Store>,
    pub random: Arc<dyn Random>,
}

impl Entities {
    /// Puts a certificate in the place of an earlier one, or beside the others. `now` is in seconds since the epoch.
    ///
    /// # Errors
    /// When the datastore cannot be reached, or somebody else's certificate serves the name.
    pub async fn put(&self, host: &str, pem: &CertificatePem, now: i64) -> Result<(), StorageError> {
        let known = self.store.get("snis", "name", host).await?;
        refuse_foreign(host, known.as_ref())?;
        let id = self.random.uuid().to_string();
        let certificate = json!({
            "id": id, "cert": pem.cert, "key": pem.key, "cert_alt": null, "key_alt": null, "tags": [TAG],
            "created_at": now, "updated_at": now,
        });
        self.store.put("certificates", certificate, None).await?;
        let (sni, created, old) = match &known {
            Some(sni) => (text(sni, "id"), sni.get("created_at").cloned(), certificate_of(sni)),
            None => (None, None, None),
        };
        let sni = json!({
            "id": sni.unwrap_or_else(|| self.random.uuid().to_string()), "name": host, "tags": [TAG],
            "certificate": { "id": id }, "created_at": created.unwrap_or_else(|| now.into()), "updated_at": now,
        });
        self.store.put("snis", sni, None).await?;
        // Last, so that the name is never without one.
        if let Some(old) = old {
            self.store.delete("certificates", &old).await?;
        }
        Ok(())
    }

    /// Whether a certificate for the name may be put here, to be asked before one is ordered.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn takes(&self, host: &str) -> Result<(), StorageError> {
        refuse_foreign(host, self.store.get("snis", "name", host).await?.as_ref())
    }

    /// The certificate that serves a name, if it is of this plugin.
    ///
    /// # Errors
    /// When the datastore cannot be reached.
    pub async fn get(&self, host: &str) -> Result<Option<CertificatePem>, StorageError> {
        let sni = self.store.get("snis", "name", host).await?.filter(is_ours);
        let Some(id) = sni.as_ref().and_then(certificate_of) else { return Ok(None) };
        let found = self.store.get("certificates", "id", &id).await?;
        Ok(found.and_then(|row| Some(CertificatePem { cert: text(&row, "cert")?, key: text(&row, "key")? })))
    }
}

fn refuse_foreign(host: &str, sni: Option<&Value>) -> Result<(), StorageError> {
    match sni.is_none_or(is_ours) {
        true => Ok(()),
        false => Err(StorageError::Answer(format!("the name '{host}' has a certificate that is not managed by acme"))),
    }
}

fn is_ours(row: &Value) -> bool {
    row.get("tags").and_then(Value::as_array).is_some_and(|tags| tags.iter().any(|tag| tag == TAG))
}

fn certificate_of(sni: &Value) -> Option<String> {
    text(sni.get("certificate")?, "id")
}

fn text(row: &Value, field: &str) -> Option<String> {
    row.get(field).and_then(Value::as_str).map(str::to_owned)
}
