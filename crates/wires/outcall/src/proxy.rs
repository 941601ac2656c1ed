//! Through a forward proxy: plain requests are handed to it whole, TLS goes through a tunnel it opens (RFC 9110 9.3.6).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gibbon_net::Stream;
use http::Uri;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::pool::Origin;
use crate::{CallError, Reach};

/// The answer to CONNECT is a status line and a few headers.
const LONGEST_ANSWER: usize = 16 << 10;

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proxy {
    pub host: String,
    pub port: u16,
    /// The value of Proxy-Authorization.
    pub credentials: Option<String>,
}

impl Proxy {
    pub fn parse(url: &str) -> Result<Proxy, CallError> {
        // Credentials of the URL stay out of the error.
        let wrong = || CallError::Url("of a proxy".to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong());
        }
        let authority = uri.authority().ok_or_else(wrong)?.as_str();
        let credentials = authority.rsplit_once('@').map(|(said, _)| {
            let decoded = gibbon_message::uri::decode(said.as_bytes(), false);
            format!("Basic {}", STANDARD.encode(decoded))
        });
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        Ok(Proxy { host, port: uri.port_u16().unwrap_or(80), credentials })
    }

    /// A connection that leads to the origin.
    pub async fn reach(&self, reach: &Reach, origin: &Origin, limit: Duration) -> Result<Stream, CallError> {
        let mut stream = reach.tcp(&self.host, self.port, None, limit).await?;
        let Some(tls) = &origin.tls else { return Ok(stream) };
        let mut connect = format!("CONNECT {0}:{1} HTTP/1.1\r\nHost: {0}:{1}\r\n", origin.host, origin.port);
        if let Some(credentials) = &self.credentials {
            connect.push_str(&format!("Proxy-Authorization: {credentials}\r\n"));
        }
        connect.push_str("\r\n");
        let broken = |error: std::io::Error| CallError::Protocol(format!("the proxy: {error}"));
        stream.write_all(connect.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        let mut answer = Vec::new();
        // Byte by byte: what follows the head already belongs to the tunnel.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= LONGEST_ANSWER {
                return Err(CallError::Protocol("the proxy's answer is too long".to_owned()));
            }
            answer.push(stream.read_u8().await.map_err(broken)?);
        }
        let status = answer.split(|&b| b == b' ').nth(1).unwrap_or_default();
        if !answer.starts_with(b"HTTP/1.") || !matches!(status, [b'2', _, _]) {
            let status = String::from_utf8_lossy(status.get(..3).unwrap_or(status)).into_owned();
            return Err(CallError::Protocol(format!("the proxy opens no tunnel: it answers {status}")));
        }
        Ok(reach.start_tls(stream, &origin.host, tls, None, limit).await?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_spoken_to_in_plain_and_shown_its_credentials() {
        let proxy = Proxy::parse("http://me:p%40ss@proxy.test:3128").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.test", 3128));
        assert_eq!(proxy.credentials.as_deref(), Some("Basic bWU6cEBzcw=="));
        assert_eq!(Proxy::parse("http://proxy.test").unwrap().port, 80);
        for wrong in ["https://proxy.test", "proxy.test:80", "http://"] {
            assert!(Proxy::parse(wrong).is_err(), "{wrong}");
        }
        assert!(!Proxy::parse("https://me:secret@p").unwrap_err().to_string().contains("secret"));
    }
}
