//! Does no call get lost? Thousands of gRPC calls on shared connections, to an upstream that makes use of all that
//! HTTP/2 allows it: a limit of streams, streams refused, connections retired, data frames with nothing in them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gibbon_testkit::Gateway;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, LocalSet};

const CONNECTIONS: usize = 8;
const STREAMS: usize = 12;
const CALLS: usize = 40;
/// Far more than it takes; only so that a failure is not a hang.
const DEADLINE: Duration = Duration::from_secs(240);

/// What the upstream does besides echoing.
#[derive(Clone, Copy)]
struct Manners {
    /// Calls it takes at once on one connection.
    concurrent: u32,
    /// Every so manyth call is refused unprocessed; 0 is none.
    refuses: usize,
    /// Calls after which a connection is retired; 0 is never.
    retires: usize,
    /// Data frames of no bytes around each message.
    empty_frames: bool,
}

const POLITE: Manners = Manners { concurrent: 1000, refuses: 0, retires: 0, empty_frames: false };

/// What the upstream has seen.
#[derive(Default)]
struct Seen {
    calls: Cell<usize>,
    connections: Cell<usize>,
    refused: Cell<usize>,
}

fn add(cell: &Cell<usize>) -> usize {
    cell.set(cell.get() + 1);
    cell.get()
}

async fn upstream(manners: Manners) -> (SocketAddr, Rc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Rc::<Seen>::default();
    let shared = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            add(&shared.connections);
            tokio::task::spawn_local(connection(socket, manners, Rc::clone(&shared)));
        }
    });
    (address, seen)
}

async fn connection(socket: TcpStream, manners: Manners, seen: Rc<Seen>) {
    let Ok(mut connection) =
        h2::server::Builder::new().max_concurrent_streams(manners.concurrent).handshake(socket).await
    else {
        return;
    };
    let mut served = 0;
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let call = add(&seen.calls);
        served += 1;
        if served == manners.retires {
            connection.graceful_shutdown();
        }
        if manners.refuses > 0 && call.is_multiple_of(manners.refuses) {
            add(&seen.refused);
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        tokio::task::spawn_local(async move {
            let _ = echo(request, respond, manners).await;
        });
    }
}

async fn echo(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    manners: Manners,
) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut answer = respond.send_response(head, false)?;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        answer.send_data(piece, false)?;
        if manners.empty_frames {
            answer.send_data(Bytes::new(), false)?;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    answer.send_trailers(trailers)
}

/// One unary call as a streaming client makes it: head, message and end in frames of their own.
async fn call(send: &SendRequest<Bytes>, number: usize) -> Result<(), String> {
    let text = |what: &'static str| move |error: h2::Error| format!("call {number}, {what}: {error}");
    let mut send = send.clone().ready().await.map_err(text("no stream"))?;
    let request = Request::post("http://grpc.test/test.Echo/Say")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|error| error.to_string())?;
    let (response, mut body) = send.send_request(request, false).map_err(text("head not sent"))?;
    let message = Bytes::from(format!("message {number}"));
    body.send_data(message.clone(), false).map_err(text("message not sent"))?;
    if number.is_multiple_of(3) {
        tokio::task::yield_now().await;
        body.send_data(Bytes::new(), false).map_err(text("nothing not sent"))?;
    }
    body.send_data(Bytes::new(), true).map_err(text("end not sent"))?;
    let response = response.await.map_err(text("no head"))?;
    let status = response.status();
    let mut answer = response.into_body();
    let mut got = Vec::new();
    while let Some(piece) = answer.data().await {
        let piece = piece.map_err(text("broken in its body"))?;
        answer.flow_control().release_capacity(piece.len()).map_err(text("window"))?;
        got.extend_from_slice(&piece);
    }
    let trailers = answer.trailers().await.map_err(text("broken in its trailers"))?.unwrap_or_default();
    let grpc = trailers.get("grpc-status").cloned();
    if status == 200 && got == message && grpc.as_ref().is_some_and(|status| status == "0") {
        return Ok(());
    }
    Err(format!("call {number}: status {status}, {} bytes, grpc-status {grpc:?}", got.len()))
}

/// Every stream of every connection calls again and again; all that went wrong.
async fn clients(gateway: SocketAddr) -> Vec<String> {
    let mut tasks = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let socket = TcpStream::connect(gateway).await.unwrap();
        let (send, driver) = h2::client::handshake(socket).await.unwrap();
        tokio::task::spawn_local(driver);
        for stream in 0..STREAMS {
            let send = send.clone();
            tasks.spawn_local(async move {
                let mut wrong = Vec::new();
                for turn in 0..CALLS {
                    let number = (connection * STREAMS + stream) * CALLS + turn;
                    wrong.extend(call(&send, number).await.err());
                }
                wrong
            });
        }
    }
    tasks.join_all().await.concat()
}

/// All calls through a gateway to such an upstream; what that has seen.
fn no_call_is_lost(manners: Manners) -> Rc<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (address, seen) = upstream(manners).await;
        let config = format!(
            r#"
_format_version: "3.0"
services:
- {{ name: s, url: "grpc://{address}", routes: [ {{ name: r, protocols: [ grpc ], paths: [ / ] }} ] }}
"#
        );
        let gateway = tokio::task::spawn_blocking(move || Gateway::with_config(config).unwrap()).await.unwrap();
        let wrong = tokio::time::timeout(DEADLINE, clients(gateway.addresses().proxy)).await.unwrap();
        assert!(wrong.is_empty(), "{} calls went wrong: {:#?}", wrong.len(), wrong.iter().take(10).collect::<Vec<_>>());
        assert!(seen.calls.get() >= CONNECTIONS * STREAMS * CALLS);
        seen
    })
}

#[test]
fn by_an_upstream_that_sends_frames_with_nothing_in_them() {
    let seen = no_call_is_lost(Manners { empty_frames: true, ..POLITE });
    assert_eq!(seen.connections.get(), 1, "all calls share a connection");
}

#[test]
fn by_an_upstream_that_takes_few_calls_at_once() {
    let seen = no_call_is_lost(Manners { concurrent: 20, ..POLITE });
    let connections = seen.connections.get();
    assert!((2..20).contains(&connections), "{connections} connections for {} calls at once", CONNECTIONS * STREAMS);
}

#[test]
fn by_an_upstream_that_refuses_some() {
    let seen = no_call_is_lost(Manners { refuses: 50, ..POLITE });
    assert!(seen.refused.get() > 10);
}

#[test]
fn by_an_upstream_that_retires_its_connections() {
    let seen = no_call_is_lost(Manners { retires: 100, ..POLITE });
    assert!(seen.connections.get() > 10);
}
