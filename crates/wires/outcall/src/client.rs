//! The HTTP client. Connections live on the runtime it was made for, whatever thread calls.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gibbon_message::Headers;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::pool::{Origin, Pool, Sender};
use crate::{CallError, Reach, Request, Response};

/// Between two looks at idle connections.
const SWEEP: Duration = Duration::from_secs(5);

/// An HTTP/1.1 client with a connection pool. Clones share it.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    runtime: Handle,
    sweeping: Arc<OnceLock<()>>,
}

struct Inner {
    reach: Arc<Reach>,
    pool: Pool,
}

/// A task that ends with whoever waits for it.
struct Waited<T>(JoinHandle<T>);

impl<T> Drop for Waited<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// A client whose connections live on `runtime`.
    #[must_use]
    pub fn new(reach: Arc<Reach>, runtime: Handle) -> Self {
        Client { inner: Arc::new(Inner { reach, pool: Pool::default() }), runtime, sweeping: Arc::default() }
    }

    /// Sends a request and receives the whole answer. Dropping the future cuts the exchange off.
    ///
    /// # Errors
    /// The peer cannot be reached, takes too long, or answers with what is no HTTP or too large.
    pub async fn call(&self, request: Request) -> Result<Response, CallError> {
        self.sweeping.get_or_init(|| self.sweep());
        let inner = Arc::clone(&self.inner);
        let limit = request.timeout;
        let work = async move {
            let timed = tokio::time::timeout(limit, inner.exchange(&request)).await;
            timed.unwrap_or(Err(CallError::Timeout))
        };
        let mut task = Waited(self.runtime.spawn(work));
        (&mut task.0).await.unwrap_or_else(|error| Err(CallError::Protocol(error.to_string())))
    }

    fn sweep(&self) {
        let inner = Arc::downgrade(&self.inner);
        self.runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                match inner.upgrade() {
                    Some(inner) => inner.pool.sweep(),
                    None => return,
                }
            }
        });
    }
}

impl Inner {
    async fn exchange(&self, request: &Request) -> Result<Response, CallError> {
        let (origin, uri) = request.target()?;
        if let Some(mut sender) = self.pool.take(&origin) {
            match sender.send_request(request.to_http(&origin, &uri)?).await {
                Ok(answer) => return self.receive(request, origin, sender, answer).await,
                // The peer closed while the connection was idle. Only what it certainly did not act
                // upon is sent again.
                Err(error) if error.is_canceled() || (stale(&error) && request.method.is_idempotent()) => {}
                Err(error) => return Err(protocol(&error)),
            }
        }
        let mut sender = self.connect(&origin, request.timeout).await?;
        let answer = sender.send_request(request.to_http(&origin, &uri)?).await.map_err(|error| protocol(&error))?;
        self.receive(request, origin, sender, answer).await
    }

    async fn connect(&self, origin: &Origin, limit: Duration) -> Result<Sender, CallError> {
        let stream = match &origin.proxy {
            Some(proxy) => proxy.reach(&self.reach, origin, limit).await?,
            None => self.reach.tcp(&origin.host, origin.port, origin.tls.as_ref(), limit).await?,
        };
        let mut builder = http1::Builder::new();
        builder.title_case_headers(true);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(|error| protocol(&error))?;
        // Its errors reach whoever waits for an answer.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    async fn receive(
        &self,
        request: &Request,
        origin: Origin,
        mut sender: Sender,
        answer: http::Response<Incoming>,
    ) -> Result<Response, CallError> {
        let (head, body) = answer.into_parts();
        let mut headers = Headers::new();
        for (name, value) in &head.headers {
            headers.append(name.as_str(), value.as_bytes());
        }
        let body = read(body, request.max_response_bytes).await?;
        // The connection's task notices the end of the body after we do.
        if !request.keepalive.is_zero() && sender.ready().await.is_ok() {
            self.pool.put(origin, sender, request.keepalive);
        }
        Ok(Response { status: head.status.as_u16(), headers, body })
    }
}

async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, CallError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(CallError::TooLarge(limit));
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| protocol(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(CallError::TooLarge(limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

fn stale(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_closed()
}

fn protocol(error: &hyper::Error) -> CallError {
    let source = std::error::Error::source(error);
    CallError::Protocol(source.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")))
}
