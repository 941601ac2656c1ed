//! The upstreams: one listener per behaviour, on ports that the system chooses, all in the stand's one thread.

mod fixed;
mod grpc;
mod streams;
mod websocket;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Where the stand's time stamps begin.
pub(crate) static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

const BACKLOG: u32 = 8192;
/// How long the slow upstream thinks.
const SLOW: Duration = Duration::from_millis(20);
/// Pause between two events of a stream, and between two pieces of a language model's answer.
const EVENT_EVERY: Duration = Duration::from_millis(100);

/// Starts every upstream; their ports by name.
///
/// # Errors
/// When no port can be bound.
pub fn start() -> Result<BTreeMap<&'static str, u16>> {
    LazyLock::force(&EPOCH);
    let fixed = |body: Vec<u8>, kind, close, delay| Rc::new(fixed::Answer::new(&body, kind, close, delay));
    let text = "text/plain";
    let small = fixed(vec![b'x'; 200], text, false, None);
    let medium = fixed(vec![b'x'; 10 * 1024], text, false, None);
    let closing = fixed(vec![b'x'; 200], text, true, None);
    let slow = fixed(vec![b'x'; 200], text, false, Some(SLOW));
    let chat = fixed(streams::CHAT.as_bytes().to_vec(), "application/json", false, None);
    let message = fixed(streams::MESSAGE.as_bytes().to_vec(), "application/json", false, None);
    let block = fixed(streams::block().into_bytes(), "text/event-stream", false, None);
    Ok(BTreeMap::from([
        ("small", listen(move |socket| fixed::serve(socket, Rc::clone(&small)))?),
        ("medium", listen(move |socket| fixed::serve(socket, Rc::clone(&medium)))?),
        ("closing", listen(move |socket| fixed::serve(socket, Rc::clone(&closing)))?),
        ("slow", listen(move |socket| fixed::serve(socket, Rc::clone(&slow)))?),
        ("chat", listen(move |socket| fixed::serve(socket, Rc::clone(&chat)))?),
        ("chat-stream", listen(streams::chat)?),
        ("chat-block", listen(move |socket| fixed::serve(socket, Rc::clone(&block)))?),
        ("chat-held", listen(streams::held)?),
        ("message", listen(move |socket| fixed::serve(socket, Rc::clone(&message)))?),
        ("events", listen(streams::events)?),
        ("websocket", listen(websocket::echo)?),
        ("grpc", listen(grpc::echo)?),
    ]))
}

/// Accepts connections for ever; a broken one ends alone.
fn listen<F, S>(serve: F) -> Result<u16>
where
    F: Fn(TcpStream) -> S + 'static,
    S: Future<Output = Result<()>> + 'static,
{
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    let port = listener.local_addr()?.port();
    tokio::task::spawn_local(async move {
        loop {
            let Ok((socket, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = socket.set_nodelay(true);
            let serving = serve(socket);
            tokio::task::spawn_local(async move {
                let _ = serving.await;
            });
        }
    });
    Ok(port)
}
