//! The condition of a plugin: an expression over the request, in the language of routes. A plugin whose condition does
//! not hold when it is reached in `access` sits this request out, in the later phases too; `rewrite` comes before and
//! is not asked.

use gibbon_expr::{Program, Schema, Subject};
use gibbon_message::{Scheme, uri};
use gibbon_pdk::Exchange;

/// A compiled condition.
#[derive(Debug)]
pub struct Condition(Program);

impl Condition {
    /// # Errors
    /// What is wrong with the text.
    pub fn new(text: &str) -> Result<Self, String> {
        gibbon_expr::compile(text, Schema::Http).map(Condition).map_err(|error| error.to_string())
    }

    /// Whether it holds of the request as it stands now: plugins that ran before may have changed it. On a stream
    /// connection nothing of HTTP is there, and what compares it does not hold.
    #[must_use]
    pub fn holds(&self, x: &Exchange) -> bool {
        let is_http = !x.request.target.is_empty();
        let path = is_http.then(|| uri::normalize(x.request.path()));
        let host = x.request.headers.get("host").map(without_port);
        self.0.matches(&Subject {
            protocol: if x.client.scheme == Scheme::Https { "https" } else { "http" },
            sni: x.client.tls.as_ref().and_then(|tls| tls.sni.as_deref()),
            method: is_http.then(|| x.request.method.as_str()),
            host,
            path: path.as_deref(),
            query: x.request.query(),
            headers: is_http.then_some(&x.request.headers),
            source_ip: Some(x.client.ip),
            source_port: Some(i64::from(x.client.port)),
            destination_ip: Some(x.client.local.ip()),
            destination_port: Some(i64::from(x.client.published_port)),
        })
    }
}

/// The host of a `Host` header; an address of version 6 keeps its brackets.
fn without_port(host: &[u8]) -> &[u8] {
    let end = match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if host.get(colon + 1..).is_some_and(|port| port.iter().all(u8::is_ascii_digit)) => colon,
        _ => host.len(),
    };
    host.get(..end).unwrap_or(host)
}
