//! Entries go through a queue; a batch becomes one request.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gibbon_message::{Headers, Method};
use gibbon_pdk::{
    Build, BuildError, Deliver, Exchange, Handler, Host, HttpClient, OutcallRequest, OutcallTls, Queue, QueueEntry,
    QueueSettings, SendFuture, write_log_entry,
};

use super::config::Config;
use super::shown::Shown;
use crate::custom_fields::CustomFields;
use crate::queue_settings::milliseconds;

pub struct HttpLog {
    fields: CustomFields,
    queue: Arc<dyn Queue>,
}

impl HttpLog {
    pub fn new(config: &Config, build: &Build<'_>) -> Result<Self, BuildError> {
        let fields = CustomFields::new("http-log", config.custom_fields_by_lua.as_ref());
        let settings = config
            .queue
            .settings(config.queue_size.map(|size| (size, 1)), config.flush_timeout.map(|delay| (delay, 2.0)));
        let delivery = Delivery {
            http: Arc::clone(&build.http),
            method: Method::parse(config.method.as_bytes()).unwrap_or(Method::Post),
            url: endpoint(&config.http_endpoint),
            headers: headers(config),
            timeout: milliseconds(config.timeout),
            keepalive: milliseconds(config.keepalive),
            verify: config.ssl_verify.unwrap_or(false),
            shown: config.client_certificate.as_ref().and_then(|of| Shown::new(&of.id, build)),
            single: settings.max_batch_size == 1,
        };
        let name = queue_name(config, &settings, &delivery, build);
        Ok(HttpLog { fields, queue: build.queues.open(&name, settings, Arc::new(delivery)) })
    }
}

/// Configurations of a workspace that send alike to one endpoint share a queue, so that many routes with the same log
/// server make one connection and full batches. The name is seen in logs and metrics: of URL and headers, where secrets
/// may stand, it has no more than the server and a hash.
fn queue_name(config: &Config, settings: &QueueSettings, delivery: &Delivery, build: &Build<'_>) -> String {
    let mut alike = DefaultHasher::new();
    let sending = (&config.http_endpoint, &config.method, &config.content_type, delivery.timeout, delivery.keepalive);
    let shown = config.client_certificate.as_ref().map(|of| &of.id);
    (build.workspace, sending, delivery.verify, shown, format!("{settings:?}")).hash(&mut alike);
    config.headers.iter().flatten().for_each(|header| header.hash(&mut alike));
    let (scheme, rest) = delivery.url.split_once("://").unwrap_or_default();
    let server = rest.split('/').next().unwrap_or_default();
    format!("http-log:{scheme}://{server}:{:016x}", alike.finish())
}

impl Handler for HttpLog {
    fn log(&self, x: &mut Exchange, host: &Host) {
        let mut entry = Vec::with_capacity(2048);
        self.fields.add(x, host);
        write_log_entry(&mut entry, x);
        self.queue.push(entry.into());
    }
}

/// How a batch is sent.
struct Delivery {
    http: Arc<dyn HttpClient>,
    method: Method,
    url: String,
    headers: Headers,
    timeout: Duration,
    keepalive: Duration,
    /// Off unless asked for, as in Kong: collectors often have certificates of their own making.
    verify: bool,
    shown: Option<Shown>,
    /// Batches of one are sent as an object, others as an array.
    single: bool,
}

impl Deliver for Delivery {
    fn deliver<'a>(&'a self, batch: &'a [QueueEntry]) -> SendFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let identity = match &self.shown {
                None => None,
                Some(shown) => Some(shown.certificate().await?),
            };
            let request = OutcallRequest {
                headers: self.headers.clone(),
                body: self.body(batch),
                timeout: self.timeout,
                keepalive: self.keepalive,
                tls: OutcallTls { verify: self.verify, server_name: None, identity },
                ..OutcallRequest::new(self.method.clone(), self.url.clone())
            };
            let answer = self.http.call(request).await.map_err(|error| format!("failed request: {error}"))?;
            match answer.status {
                0..300 => Ok(()),
                status => Err(format!("request to log server returned status code {status}")),
            }
        })
    }
}

impl Delivery {
    fn body(&self, batch: &[QueueEntry]) -> Bytes {
        if let ([entry], true) = (batch, self.single) {
            return entry.clone();
        }
        let mut body = Vec::with_capacity(batch.iter().map(|entry| entry.len() + 1).sum::<usize>() + 2);
        body.push(b'[');
        for (at, entry) in batch.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(entry);
        }
        body.push(b']');
        body.into()
    }
}

fn headers(config: &Config) -> Headers {
    let mut headers = Headers::new();
    headers.append("Content-Type", &config.content_type);
    if let Some(user) = user_info(&config.http_endpoint) {
        headers.append("Authorization", format!("Basic {}", STANDARD.encode(user)));
    }
    for (name, value) in config.headers.iter().flatten() {
        if !headers.contains(name) {
            headers.append(name, value);
        }
    }
    headers
}

/// `user:password` of a URL.
pub fn user_info(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit_once('@').map(|(user, _)| user)
}

/// The URL without credentials, query and fragment.
fn endpoint(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    match (plain.split_once("://"), user_info(plain)) {
        (Some((scheme, rest)), Some(user)) => {
            format!("{scheme}://{}", rest.get(user.len() + 1..).unwrap_or_default())
        }
        _ => plain.to_owned(),
    }
}
