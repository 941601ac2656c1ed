//! A request of the gateway's own and its answer.

use std::time::Duration;

use bytes::Bytes;
use gibbon_message::{Headers, Method};
use http::Uri;

use crate::pool::Origin;
use crate::proxy::Proxy;
use crate::{CallError, Tls};

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// `http://` or `https://`, host, optional port, path and query; a fragment is not sent.
    pub url: String,
    /// Host and Content-Length are filled in if absent.
    pub headers: Headers,
    pub body: Bytes,
    /// From connecting to the last byte received.
    pub timeout: Duration,
    /// How long the connection is kept for another request; zero closes it.
    pub keepalive: Duration,
    pub tls: Tls,
    /// A forward proxy, `http://host:port`; credentials in it are shown to it.
    pub proxy: Option<String>,
    pub max_response_bytes: usize,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    pub body: Bytes,
}

impl Request {
    pub(crate) fn target(&self) -> Result<(Origin, Uri), CallError> {
        let wrong = || CallError::Url(self.url.clone());
        let whole = self.url.split('#').next().unwrap_or_default();
        let uri: Uri = whole.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(self.tls.clone()),
            _ => return Err(wrong()),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?.to_owned();
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let proxy = self.proxy.as_deref().map(Proxy::parse).transpose()?;
        Ok((Origin { host, port, tls, proxy }, uri))
    }

    /// The request in the form of the library; the path alone, as an origin expects it, or the whole URL where a proxy
    /// reads it.
    pub(crate) fn to_http(
        &self,
        origin: &Origin,
        uri: &Uri,
    ) -> Result<http::Request<http_body_util::Full<Bytes>>, CallError> {
        let wrong = |error: &dyn std::fmt::Display| CallError::Request(error.to_string());
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let handed = origin.proxy.as_ref().filter(|_| origin.tls.is_none());
        let target = match handed {
            Some(_) => format!("http://{}:{}{path}", origin.host, origin.port),
            None => path,
        };
        let mut builder = http::Request::builder().method(self.method.as_str()).uri(target);
        if let Some(credentials) = handed.and_then(|proxy| proxy.credentials.as_deref()) {
            builder = builder.header("proxy-authorization", credentials);
        }
        for (name, value) in self.headers.iter() {
            builder = builder.header(name, value);
        }
        if !self.headers.contains("host") {
            let authority = uri.authority().map_or("", |a| a.as_str());
            // Credentials of the URL are not part of the host.
            builder = builder.header("host", authority.rsplit('@').next().unwrap_or(authority));
        }
        builder.body(http_body_util::Full::new(self.body.clone())).map_err(|error| wrong(&error))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn to(url: &str) -> Request {
        Request {
            method: Method::parse(b"GET").unwrap(),
            url: url.to_owned(),
            headers: Headers::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(1),
            keepalive: Duration::ZERO,
            tls: Tls { verify: true, server_name: None, identity: None },
            proxy: None,
            max_response_bytes: 1,
        }
    }

    #[test]
    fn the_scheme_decides_the_port_and_tls() {
        let (origin, _) = to("http://a.example/x").target().unwrap();
        assert_eq!((origin.host.as_str(), origin.port, origin.tls.is_some()), ("a.example", 80, false));
        let (origin, _) = to("https://[::1]:8443").target().unwrap();
        assert_eq!((origin.host.as_str(), origin.port, origin.tls.is_some()), ("[::1]", 8443, true));
    }

    #[test]
    fn other_schemes_and_missing_hosts_are_refused() {
        for url in ["ftp://a/", "/path", "http:///x", "a.example"] {
            assert!(matches!(to(url).target(), Err(CallError::Url(_))), "{url}");
        }
    }

    #[test]
    fn the_host_header_leaves_credentials_and_the_path_leaves_the_fragment_out() {
        let request = to("http://me:secret@a.example:81?q=1#f");
        let (origin, uri) = request.target().unwrap();
        let http = request.to_http(&origin, &uri).unwrap();
        assert_eq!(
            (http.uri().to_string().as_str(), http.headers()["host"].as_bytes()),
            ("/?q=1", &b"a.example:81"[..])
        );
    }
}
