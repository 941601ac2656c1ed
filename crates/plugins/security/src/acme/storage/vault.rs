//! A key-value engine (version 2) of HashiCorp Vault. It has no time to live, so each value carries its own.

use std::sync::Arc;
use std::time::Duration;

use gibbon_message::Method;
use gibbon_pdk::{Clock, HttpClient, OutcallRequest, OutcallResponse, OutcallTls};
use serde_json::{Value, json};

use super::super::config::{self, VaultLogin};
use super::{Result, StorageError};

pub struct Vault {
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    /// Up to and with the mount of the engine, and a slash.
    mount: String,
    /// The path below the mount, with a slash behind it unless it is empty.
    path: String,
    token: String,
    timeout: Duration,
    tls: OutcallTls,
}

impl Vault {
    /// # Errors
    /// What is missing, or not available.
    pub fn new(
        config: &config::Vault,
        http: Arc<dyn HttpClient>,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, &'static str> {
        if config.auth_method == VaultLogin::Kubernetes {
            return Err("logging in to Vault through Kubernetes is not available; use 'token'");
        }
        let scheme = if config.https { "https" } else { "http" };
        let host = config.host.as_deref().ok_or("storage 'vault' needs a host")?;
        let kv_path = config.kv_path.as_deref().unwrap_or("secret").trim_matches('/');
        let (mount, path) = kv_path.split_once('/').unwrap_or((kv_path, ""));
        Ok(Vault {
            http,
            clock,
            mount: format!("{scheme}://{host}:{}/v1/{mount}/", config.port.unwrap_or(8200)),
            path: if path.is_empty() { String::new() } else { format!("{path}/") },
            token: config.token.clone().ok_or("storage 'vault' needs a token")?,
            timeout: Duration::from_millis(config.timeout.unwrap_or(2000.0) as u64),
            tls: OutcallTls { verify: config.tls_verify, server_name: config.tls_server_name.clone(), identity: None },
        })
    }

    pub async fn get(&self, key: &str) -> Result<Option<String>> {
        let answer = self.call(Method::Get, "data", key, "", Value::Null).await?;
        if answer.status == 404 {
            return Ok(None);
        }
        let answer = parsed(&answer)?;
        let stored = answer.pointer("/data/data").cloned().unwrap_or_default();
        let until = stored.get("expire").and_then(Value::as_i64);
        if until.is_some_and(|until| until <= self.clock.wall()) {
            return Ok(None);
        }
        Ok(stored.get("value").and_then(Value::as_str).map(str::to_owned))
    }

    pub async fn set(&self, key: &str, value: &str, ttl: Option<Duration>) -> Result<()> {
        let until = ttl.map(|ttl| self.clock.wall() + ttl.as_secs() as i64);
        let body = json!({ "data": { "value": value, "expire": until } });
        self.call(Method::Post, "data", key, "", body).await.map(drop)
    }

    pub async fn delete(&self, key: &str) -> Result<()> {
        self.call(Method::Delete, "metadata", key, "", Value::Null).await.map(drop)
    }

    /// All names at the path; Vault lists no prefixes.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let answer = self.call(Method::Get, "metadata", "", "?list=true", Value::Null).await?;
        if answer.status == 404 {
            return Ok(Vec::new());
        }
        let answer = parsed(&answer)?;
        let keys = answer.pointer("/data/keys").and_then(Value::as_array).cloned().unwrap_or_default();
        let own = keys.iter().filter_map(Value::as_str).filter(|key| key.starts_with(prefix));
        Ok(own.map(str::to_owned).collect())
    }

    async fn call(&self, method: Method, part: &str, key: &str, query: &str, body: Value) -> Result<OutcallResponse> {
        let url = format!("{}{part}/{}{}{query}", self.mount, self.path, super::escaped(key));
        let mut request = OutcallRequest::new(method, url);
        request.headers.append("X-Vault-Token", &self.token);
        if !body.is_null() {
            request.headers.append("Content-Type", "application/json");
            request.body = body.to_string().into();
        }
        request.timeout = self.timeout;
        request.tls = self.tls.clone();
        let answer = self.http.call(request).await?;
        match answer.status {
            200 | 204 | 404 => Ok(answer),
            status => Err(StorageError::Answer(format!("Vault answered with status {status}"))),
        }
    }
}

fn parsed(answer: &OutcallResponse) -> Result<Value> {
    serde_json::from_slice(&answer.body).map_err(|_| StorageError::Answer("Vault answered with no JSON".to_owned()))
}
