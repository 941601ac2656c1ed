//! The certificate that is shown to the endpoint: an entity, read again now and then, so that a new one is in use soon.

use std::sync::{Arc, Mutex, PoisonError};

use gibbon_pdk::{Build, CertificatePem, Clock, EntityKey, Store};
use serde_json::Value;
use uuid::Uuid;

/// For so long what was read is not read again.
const FRESH_NS: u64 = 10_000_000_000;

pub struct Shown {
    id: Uuid,
    workspace: Uuid,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Until when it is fresh (monotonic nanoseconds), and what was read.
    read: Mutex<Option<(u64, Arc<CertificatePem>)>>,
}

impl Shown {
    /// Nothing if that is no id.
    pub fn new(id: &str, build: &Build<'_>) -> Option<Self> {
        let (store, clock) = (Arc::clone(&build.store), Arc::clone(&build.clock));
        let id = Uuid::parse_str(id).ok()?;
        Some(Shown { id, workspace: build.workspace, store, clock, read: Mutex::default() })
    }

    /// The certificate with its key.
    ///
    /// # Errors
    /// When there is none now: the entries wait for it.
    pub async fn certificate(&self) -> Result<Arc<CertificatePem>, String> {
        let now = self.clock.monotonic_ns();
        if let Some((until, pem)) = &*self.read.lock().unwrap_or_else(PoisonError::into_inner)
            && *until > now
        {
            return Ok(Arc::clone(pem));
        }
        let missing = |why: String| format!("the client certificate {} cannot be had: {why}", self.id);
        let entities = self.store.entities().ok_or_else(|| missing("entities cannot be read yet".to_owned()))?;
        let found = entities.select(self.workspace, "certificates".to_owned(), EntityKey::Id(self.id)).await;
        let found = found.map_err(|fault| missing(fault.to_string()))?;
        let text = |field: &str| found.as_ref()?.get(field).and_then(Value::as_str).map(str::to_owned);
        let Some((cert, key)) = text("cert").zip(text("key")) else {
            return Err(missing("there is no such certificate".to_owned()));
        };
        let pem = Arc::new(CertificatePem { cert, key });
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((now.saturating_add(FRESH_NS), Arc::clone(&pem)));
        Ok(pem)
    }
}
