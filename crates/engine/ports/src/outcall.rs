//! Outgoing HTTP calls and raw connections, over `wires/outcall`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_outcall::{CallError, Client, Line, LineTarget, Reach, ReachError, Request, Tls};
use gibbon_pdk::{
    CertificatePem, Dial, DialTarget, Duplex, HttpClient, OutcallError, OutcallRequest, OutcallResponse, OutcallTls,
    SendFuture,
};
use gibbon_tls::Certificate;

/// The node's HTTP client.
pub struct HttpPort {
    pub client: Client,
    /// Who asks, where a plugin does not say so itself; nothing is said if it is empty.
    pub user_agent: Box<str>,
}

impl HttpClient for HttpPort {
    fn call(&self, mut request: OutcallRequest) -> SendFuture<'_, Result<OutcallResponse, OutcallError>> {
        if !self.user_agent.is_empty() && !request.headers.contains("user-agent") {
            request.headers.append("User-Agent", &*self.user_agent);
        }
        Box::pin(async move {
            let request = Request {
                method: request.method,
                url: request.url,
                headers: request.headers,
                body: request.body,
                timeout: request.timeout,
                keepalive: request.keepalive,
                tls: tls(request.tls),
                proxy: request.proxy,
                max_response_bytes: request.max_response_bytes,
            };
            let answer = self.client.call(request).await.map_err(error)?;
            Ok(OutcallResponse { status: answer.status, headers: answer.headers, body: answer.body })
        })
    }
}

/// The node's way to raw connections.
pub struct DialPort(pub Arc<Reach>);

impl Dial for DialPort {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> SendFuture<'a, io::Result<std::net::SocketAddr>> {
        Box::pin(async move { Ok(self.0.resolve(host, port).await?) })
    }

    fn connect(
        &self,
        target: DialTarget,
        secure: Option<OutcallTls>,
        timeout: Duration,
    ) -> SendFuture<'_, io::Result<Box<dyn Duplex>>> {
        Box::pin(async move {
            let to = match &target {
                DialTarget::Tcp { host, port } => LineTarget::Tcp { host, port: *port },
                DialTarget::Udp { host, port } => LineTarget::Udp { host, port: *port },
                DialTarget::Unix { path } => LineTarget::Unix { path },
                DialTarget::UnixDatagram { path } => LineTarget::UnixDatagram { path },
            };
            let line = Line::connect(&self.0, to, secure.map(tls).as_ref(), timeout).await?;
            let host = match target {
                DialTarget::Tcp { host, .. } => host,
                _ => String::new(),
            };
            Ok(Box::new(Dialled { line, host, reach: Arc::clone(&self.0) }) as Box<dyn Duplex>)
        })
    }
}

struct Dialled {
    line: Line,
    /// Of a TCP connection: the name to expect in a certificate.
    host: String,
    reach: Arc<Reach>,
}

impl Duplex for Dialled {
    fn read(&mut self, max: usize) -> SendFuture<'_, io::Result<Bytes>> {
        Box::pin(self.line.read(max))
    }

    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> SendFuture<'a, io::Result<()>> {
        Box::pin(self.line.write(bytes))
    }

    fn close(&mut self) -> SendFuture<'_, ()> {
        Box::pin(self.line.close())
    }

    fn start_tls(
        self: Box<Self>,
        secure: OutcallTls,
        timeout: Duration,
    ) -> SendFuture<'static, io::Result<Box<dyn Duplex>>> {
        Box::pin(self.secured(secure, None, timeout))
    }

    fn start_tls_as(
        self: Box<Self>,
        secure: OutcallTls,
        identity: Arc<CertificatePem>,
        timeout: Duration,
    ) -> SendFuture<'static, io::Result<Box<dyn Duplex>>> {
        Box::pin(async move {
            let identity = Certificate::from_pem(identity.cert.as_bytes(), identity.key.as_bytes());
            let identity = identity.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
            self.secured(secure, Some(identity), timeout).await
        })
    }
}

impl Dialled {
    async fn secured(
        self: Box<Self>,
        secure: OutcallTls,
        identity: Option<Certificate>,
        timeout: Duration,
    ) -> io::Result<Box<dyn Duplex>> {
        let Dialled { line, host, reach } = *self;
        let line = line.start_tls(&reach, &host, &tls(secure), identity, timeout).await?;
        Ok(Box::new(Dialled { line, host, reach }))
    }
}

fn tls(of: OutcallTls) -> Tls {
    Tls { verify: of.verify, server_name: of.server_name }
}

fn error(error: CallError) -> OutcallError {
    match error {
        CallError::Url(url) => OutcallError::Url(url),
        CallError::Timeout | CallError::Reach(ReachError::Timeout { .. }) => OutcallError::Timeout,
        CallError::Reach(ReachError::Resolve { host, .. }) => OutcallError::Resolve(host),
        CallError::Reach(ReachError::Connect { peer, cause }) => {
            OutcallError::Connect { peer, cause: cause.to_string() }
        }
        CallError::Reach(ReachError::Tls { peer, cause }) => OutcallError::Tls(format!("{peer}: {cause}")),
        CallError::TooLarge(limit) => OutcallError::TooLarge(limit),
        CallError::Request(cause) | CallError::Protocol(cause) => OutcallError::Protocol(cause),
    }
}
