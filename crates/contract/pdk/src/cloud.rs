//! The search for a cloud's identity (`gibbon-cloud`) on this machine: its calls go through the HTTP port.

use std::time::Duration;

use bytes::Bytes;
use gibbon_cloud::{Reply, Said, TokenRequest, World};
use gibbon_message::Method;

use crate::{HttpClient, OutcallRequest};

/// Services that hand out keys and tokens are near, or the token service; none takes longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Answers with keys or tokens are a few kilobytes.
const LONGEST_ANSWER: usize = 256 << 10;

/// Where identities are searched for.
pub struct Clouds<'a>(pub &'a dyn HttpClient);

impl World for Clouds<'_> {
    fn send(&self, request: TokenRequest) -> Said<'_> {
        let scheme = if request.address.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}{}", request.address.authority(), request.address.target());
        let method = Method::parse(request.method.as_bytes()).unwrap_or(Method::Get);
        let mut call = OutcallRequest {
            body: Bytes::from(request.body),
            timeout: PATIENCE,
            max_response_bytes: LONGEST_ANSWER,
            ..OutcallRequest::new(method, url)
        };
        for (name, value) in request.headers {
            call.headers.append(name, value);
        }
        Box::pin(async move {
            let answer = self.0.call(call).await.map_err(|error| error.to_string())?;
            Ok(Reply { status: answer.status, body: answer.body.to_vec() })
        })
    }

    /// Token files are a few kilobytes, on a file system in memory.
    fn file(&self, path: &str) -> std::io::Result<String> {
        std::fs::read_to_string(path)
    }
}
