//! gRPC echo: request and reply messages have the same fields, so the reply stream is the request stream byte for byte,
//! followed by the trailers that end a call. That serves unary and streaming calls alike without a protobuf library.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::serve::{Answer, whole};

/// The service's definition, for clients such as grpcurl (`-proto echo.proto`).
pub const PROTO: &str = r#"syntax = "proto3";
package gibbon.demo;

message Text { string text = 1; }

service Echo {
  rpc Say(Text) returns (Text);
  rpc Chat(stream Text) returns (stream Text);
}
"#;

const METHODS: [&str; 2] = ["/gibbon.demo.Echo/Say", "/gibbon.demo.Echo/Chat"];
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
/// Status codes of the gRPC protocol.
const OK: HeaderValue = HeaderValue::from_static("0");
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");

pub(crate) async fn answer(request: Request<Incoming>) -> Answer {
    let known = METHODS.contains(&request.uri().path());
    let body = if known { Echo::new(request.into_body()).boxed_unsync() } else { whole("") };
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    if !known {
        // A call that ends at once has its status in the head ("trailers-only").
        answer.headers_mut().insert("grpc-status", UNIMPLEMENTED);
        answer.headers_mut().insert("grpc-message", HeaderValue::from_static("no such method"));
    }
    answer
}

/// The request's data frames, then the trailers.
struct Echo {
    request: Incoming,
    trailers: Option<HeaderMap>,
}

impl Echo {
    fn new(request: Incoming) -> Self {
        let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), OK)]);
        Self { request, trailers: Some(trailers) }
    }
}

impl Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.trailers.is_none() {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut self.request).poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            // The end, or trailers of the client, which gRPC does not use.
            _ => Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }
}
