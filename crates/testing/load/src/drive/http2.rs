//! HTTP/2 load: several streams at a time on each connection, plain requests or gRPC unary calls.

use std::rc::Rc;

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::Job;
use super::connector::{Connector, Link};
use crate::command::Protocol;
use crate::requests::{Dice, Template, body_of};

/// A unary message: not compressed, 64 bytes.
const MESSAGE: &[u8] = b"\0\0\0\0\x40\x0A\x3Exxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

struct Asker {
    method: http::Method,
    host: Template,
    path: Template,
    headers: HeaderMap,
    body: Bytes,
    dice: Dice,
    scheme: &'static str,
}

impl Asker {
    fn new(job: &Job) -> Result<Self, &'static str> {
        let of = &job.drive.requests;
        let grpc = job.drive.protocol == Protocol::Grpc;
        let mut headers = HeaderMap::new();
        for (name, value) in &of.headers {
            let name: http::HeaderName = name.parse().map_err(|_| "a header that HTTP/2 does not have")?;
            headers.insert(name, value.parse().map_err(|_| "a header that HTTP/2 does not have")?);
        }
        if grpc {
            headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
            headers.insert("te", http::HeaderValue::from_static("trailers"));
        }
        let body = if grpc { MESSAGE.into() } else { body_of(of).unwrap_or_default().into() };
        Ok(Self {
            method: of.method.parse().map_err(|_| "a method that HTTP/2 does not have")?,
            host: Template::new(&of.host),
            path: Template::new(&of.path),
            headers,
            body,
            dice: Dice::new(of),
            scheme: if job.drive.tls { "https" } else { "http" },
        })
    }

    fn request(&self) -> Result<Request<()>, &'static str> {
        let draw = self.dice.draw();
        let uri = format!("{}://{}{}", self.scheme, self.host.fill(draw), self.path.fill(draw));
        let mut request = Request::builder().method(self.method.clone()).uri(uri).version(http::Version::HTTP_2);
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
        }
        request.body(()).map_err(|_| "a request that HTTP/2 does not have")
    }
}

/// One connection with its streams until one of them breaks or the drive is over.
pub(super) async fn streams(job: &Rc<Job>, connector: &Connector) -> Result<(), &'static str> {
    match connector.open().await? {
        Link::Plain(stream) => on(stream, job).await,
        Link::Tls(stream) => on(stream, job).await,
    }
}

async fn on<S>(stream: S, job: &Rc<Job>) -> Result<(), &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = handshake::<S>(stream).await.map_err(|_| "HTTP/2 handshake failed")?;
    let mut tasks = JoinSet::new();
    tasks.spawn_local(async { connection.await.map_err(|_| "HTTP/2 connection broken") });
    let asker = Rc::new(Asker::new(job)?);
    for _ in 0..job.drive.streams {
        tasks.spawn_local(ask_again_and_again(sender.clone(), Rc::clone(&asker), Rc::clone(job)));
    }
    // The first that breaks ends all; after a farewell or the end of the drive each ends by itself.
    drop(sender);
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap_or(Ok(()))?;
    }
    Ok(())
}

async fn ask_again_and_again(sender: SendRequest<Bytes>, asker: Rc<Asker>, job: Rc<Job>) -> Result<(), &'static str> {
    let mut sender = sender;
    while !job.tally.is_over() {
        let since = job.arrivals.next().await;
        // After a farewell the request goes out on the next connection (RFC 9113 section 6.8).
        sender = match sender.ready().await {
            Ok(ready) => ready,
            Err(error) if is_farewell(&error) => return Ok(()),
            Err(_) => return Err("no stream to be had"),
        };
        let (answer, mut body) = match sender.send_request(asker.request()?, asker.body.is_empty()) {
            Ok(begun) => begun,
            Err(error) if is_farewell(&error) => return Ok(()),
            Err(_) => return Err("request not sent"),
        };
        if !asker.body.is_empty() {
            body.send_data(asker.body.clone(), true).map_err(|_| "body not sent")?;
        }
        let answer = answer.await.map_err(|_| "stream broken before its head")?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        let mut bytes = 0;
        while let Some(piece) = body.data().await {
            let piece = piece.map_err(|_| "stream broken in its body")?;
            bytes += piece.len();
            body.flow_control().release_capacity(piece.len()).map_err(|_| "stream broken in its body")?;
        }
        let trailers = body.trailers().await.map_err(|_| "stream broken in its trailers")?;
        let ended_well = job.drive.protocol != Protocol::Grpc || status_is_zero(trailers.as_ref());
        if status != job.drive.requests.expect {
            job.tally.failed(&format!("status {status}"));
        } else if !ended_well {
            job.tally.failed("a call without grpc-status 0");
        } else {
            job.tally.answered(since, bytes);
        }
    }
    Ok(())
}

fn is_farewell(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
}

fn status_is_zero(trailers: Option<&HeaderMap>) -> bool {
    trailers.and_then(|trailers| trailers.get("grpc-status")).is_some_and(|status| status == "0")
}
