//! Consul's key-value store. It has no time to live for plain keys, so each value carries its own.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_message::Method;
use gibbon_pdk::{Clock, HttpClient, OutcallRequest, OutcallResponse};
use serde_json::{Value, json};

use super::super::config;
use super::{Result, StorageError};

pub struct Consul {
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    /// Up to and with the path below which keys lie, and a slash.
    base: String,
    /// The path below which keys lie, as Consul lists keys with it.
    path: String,
    token: Option<String>,
    timeout: Duration,
}

impl Consul {
    /// # Errors
    /// What is missing.
    pub fn new(
        config: &config::Consul,
        http: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, &'static str> {
        let scheme = if config.https { "https" } else { "http" };
        let host = config.host.as_deref().ok_or("storage 'consul' needs a host")?;
        let path = config.kv_path.as_deref().unwrap_or_default().trim_matches('/').to_owned();
        let path = if path.is_empty() { path } else { format!("{path}/") };
        Ok(Consul {
            http,
            clock,
            base: format!("{scheme}://{host}:{}/v1/kv/{path}", config.port.unwrap_or(8500)),
            path,
            token: config.token.clone(),
            timeout: Duration::from_millis(config.timeout.unwrap_or(2000.0) as u64),
        })
    }

    pub async fn get(&self, key: &str) -> Result<Option<String>> {
        let answer = self.call(Method::Get, key, "", Vec::new()).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let rows: Value = parsed(&answer)?;
        let value = rows.get(0).and_then(|row| row.get("Value")).and_then(Value::as_str);
        let stored = value.and_then(|value| STANDARD.decode(value).ok());
        let stored: Value = stored.and_then(|stored| serde_json::from_slice(&stored).ok()).unwrap_or_default();
        let until = stored.get("expire").and_then(Value::as_i64);
        if until.is_some_and(|until| until <= self.clock.wall()) {
            return Ok(None);
        }
        Ok(stored.get("value").and_then(Value::as_str).map(str::to_owned))
    }

    pub async fn set(&self, key: &str, value: &str, ttl: Option<Duration>) -> Result<()> {
        let until = ttl.map(|ttl| self.clock.wall() + ttl.as_secs() as i64);
        let body = json!({ "value": value, "expire": until }).to_string().into_bytes();
        self.call(Method::Put, key, "", body).await.map(drop)
    }

    pub async fn delete(&self, key: &str) -> Result<()> {
        self.call(Method::Delete, key, "", Vec::new()).await.map(drop)
    }

    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let answer = self.call(Method::Get, prefix, "?keys", Vec::new()).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let keys: Value = parsed(&answer)?;
        let own = |key: &Value| key.as_str()?.strip_prefix(&self.path).map(str::to_owned);
        Ok(keys.as_array().into_iter().flatten().filter_map(own).collect())
    }

    async fn call(&self, method: Method, key: &str, query: &str, body: Vec<u8>) -> Result<OutcallResponse> {
        let mut request = OutcallRequest::new(method, format!("{}{}{query}", self.base, super::escaped(key)));
        if let Some(token) = &self.token {
            request.headers.append("X-Consul-Token", token);
        }
        request.body = body.into();
        request.timeout = self.timeout;
        let answer = self.http.call(request).await?;
        match answer.status {
            200 | 404 => Ok(answer),
            status => Err(StorageError::Answer(format!("Consul answered with status {status}"))),
        }
    }
}

fn parsed(answer: &OutcallResponse) -> Result<Value> {
    serde_json::from_slice(&answer.body).map_err(|_| StorageError::Answer("Consul answered with no JSON".to_owned()))
}
