//! Accepting connections and handing their requests, HTTP/1.1 or HTTP/2 without TLS, to a backend's answer function.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections that one backend serves at a time; more wait in the listen queue.
const MAX_CONNECTIONS: usize = 1024;

/// Rest after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What a backend answers with; a broken request body breaks the answer that echoes it.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, hyper::Error>>;

/// Serves until dropped.
pub(crate) async fn http<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Answer> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        let Ok((socket, _)) = listener.accept().await else {
            // Either this one connection was reset while it waited, or descriptors have run out until another one
            // ends: no reason to stop, and none to spin.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            // A connection that breaks concerns its client alone.
            let _ = builder.serve_connection_with_upgrades(TokioIo::new(socket), service).await;
            drop(slot);
        });
    }
}

/// A whole body.
pub(crate) fn whole(body: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, hyper::Error> {
    Full::new(body.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A short text with a status.
pub(crate) fn text(status: http::StatusCode, body: &'static str) -> Answer {
    let mut answer = Response::new(whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    answer
}
