//! A service whose answers the path chooses, and a client that speaks raw bytes to it.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use gibbon_http::{
    BodyLength, ConnInfo, ConnectionEnd, Drain, HeadError, Protocol, RequestBody, Responder, Server, ServerSettings,
    Service, Worker, serve,
};
use gibbon_message::{Headers, RequestHead, ResponseHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Runs a test on one thread, on a clock that jumps when everything waits.
pub fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// What the service saw and how things ended.
#[derive(Default)]
pub struct Seen {
    /// One line per request: method, target, header fields that matter, body.
    pub requests: RefCell<Vec<String>>,
    pub notes: RefCell<Vec<String>>,
}

pub struct Scripted {
    pub seen: Rc<Seen>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Scripted {
    fn note(&self, note: impl Into<String>) {
        self.seen.notes.borrow_mut().push(note.into());
    }

    async fn read_all(&self, body: &mut RequestBody<'_>) -> Result<Vec<u8>, gibbon_http::BodyError> {
        let mut all = Vec::new();
        while let Some(chunk) = body.chunk().await? {
            all.extend_from_slice(chunk);
        }
        if let Some(trailers) = body.trailers() {
            for (name, value) in trailers.iter() {
                self.note(format!("trailer {}={}", text(name), text(value)));
            }
        }
        Ok(all)
    }
}

pub fn head_of(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::new(status);
    for (name, value) in fields {
        head.headers.append(name, value);
    }
    head
}

impl Service for Scripted {
    type Info = ();

    async fn call(
        self: &Rc<Self>,
        _: &ConnInfo<()>,
        head: &mut RequestHead,
        mut body: RequestBody<'_>,
        mut out: Responder<'_>,
    ) {
        let path = text(head.path());
        let line = format!("{} {} {}", head.method, text(&head.target), text(head.host().unwrap_or(b"-")));
        self.seen.requests.borrow_mut().push(line);
        let result = match path.as_str() {
            "/ignore-body" => answer(&mut out, &head_of(200, &[]), BodyLength::Exact(2), &[b"ok"]).await,
            "/chunked" => answer(&mut out, &head_of(200, &[]), BodyLength::Unknown, &[b"one", b"", b"three"]).await,
            "/trailers" => {
                let mut trailers = Headers::new();
                trailers.append("X-T", "end");
                out.head(&head_of(200, &[]), BodyLength::Unknown).unwrap();
                out.data(b"body").await.unwrap();
                out.finish(Some(&trailers)).await
            }
            "/large" => answer(&mut out, &head_of(200, &[]), BodyLength::Exact(100_000), &[&[b'x'; 100_000]]).await,
            "/none" => answer(&mut out, &head_of(200, &[]), BodyLength::None, &[]).await,
            "/204" => answer(&mut out, &head_of(204, &[]), BodyLength::None, &[]).await,
            "/304" => answer(&mut out, &head_of(304, &[("Content-Length", "7")]), BodyLength::None, &[]).await,
            "/short" => answer(&mut out, &head_of(200, &[]), BodyLength::Exact(9), &[b"ab"]).await,
            "/long" => answer(&mut out, &head_of(200, &[]), BodyLength::Exact(1), &[b"ab"]).await,
            "/abort" => {
                out.head(&head_of(200, &[]), BodyLength::Unknown).unwrap();
                out.data(b"part").await.unwrap();
                out.abort();
                return;
            }
            "/silent" => return,
            "/hints" => {
                let mut hints = Headers::new();
                hints.append("Link", "</a>");
                out.informational(103, &hints).await.unwrap();
                answer(&mut out, &head_of(200, &[]), BodyLength::Exact(2), &[b"ok"]).await
            }
            "/close" => {
                out.close_after();
                answer(&mut out, &head_of(200, &[]), BodyLength::Exact(2), &[b"ok"]).await
            }
            "/upgrade" => {
                let head = head_of(101, &[("Connection", "upgrade"), ("Upgrade", "echo")]);
                let mut tunnel = out.upgrade(&head, body).await.unwrap();
                let mut bytes = [0; 64];
                loop {
                    let read = tunnel.read(&mut bytes).await.unwrap();
                    if read == 0 {
                        return;
                    }
                    tunnel.write_all(&bytes[..read]).await.unwrap();
                }
            }
            "/wait-closed" => {
                let gone = body.closed().await;
                self.note(format!("{gone:?}"));
                answer(&mut out, &head_of(200, &[]), BodyLength::Exact(2), &[b"ok"]).await
            }
            _ => match self.read_all(&mut body).await {
                Ok(all) => answer(&mut out, &head_of(200, &[]), BodyLength::Exact(all.len() as u64), &[&all]).await,
                Err(error) => {
                    self.note(format!("body: {error}"));
                    let status = if error.status() == 499 { return } else { error.status() };
                    answer(&mut out, &head_of(status, &[]), BodyLength::Exact(0), &[]).await
                }
            },
        };
        if let Err(error) = result {
            self.note(format!("send: {error}"));
        }
    }

    async fn refuse(
        self: &Rc<Self>,
        _: &ConnInfo<()>,
        error: HeadError,
        partial: &RequestHead,
        mut out: Responder<'_>,
    ) {
        self.note(format!("refused {} {}: {error}", partial.method, text(&partial.target)));
        let status = match error.status() {
            494 | 497 => 400,
            status => status,
        };
        let _ = answer(&mut out, &head_of(status, &[]), BodyLength::Exact(0), &[]).await;
    }
}

async fn answer(
    out: &mut Responder<'_>,
    head: &ResponseHead,
    length: BodyLength,
    parts: &[&[u8]],
) -> Result<(), gibbon_http::SendError> {
    out.head(head, length)?;
    for part in parts {
        out.data(part).await?;
    }
    out.finish(None).await
}

/// One connection to a scripted service.
pub struct Client {
    pub io: DuplexStream,
    pub end: tokio::task::JoinHandle<ConnectionEnd>,
    pub seen: Rc<Seen>,
    pub worker: Rc<Worker>,
    pub drain: Drain,
}

pub fn connect(settings: ServerSettings, protocol: Protocol) -> Client {
    let (io, server_io) = tokio::io::duplex(64 * 1024);
    let seen = Rc::<Seen>::default();
    let server = scripted(settings, &seen);
    let (worker, drain) = (server.worker.clone(), server.drain.clone());
    let end = tokio::task::spawn_local(serve(server_io, Vec::new(), protocol, (), server));
    Client { io, end, seen, worker, drain }
}

pub fn scripted(settings: ServerSettings, seen: &Rc<Seen>) -> Rc<Server<Scripted>> {
    let worker = Worker::new();
    tokio::task::spawn_local(worker.clone().run());
    Rc::new(Server {
        worker,
        settings: Rc::new(settings),
        service: Rc::new(Scripted { seen: seen.clone() }),
        drain: Drain::new(),
    })
}

/// Bytes of the future that serves a TCP connection.
pub fn size_of_connection() -> usize {
    let server = scripted(ServerSettings::default(), &Rc::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    size_of_val(&serve(stream, Vec::new(), Protocol::Http1, (), server))
}

impl Client {
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.io.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Everything until the server closes.
    pub async fn read_to_end(&mut self) -> String {
        let mut all = Vec::new();
        let _ = self.io.read_to_end(&mut all).await;
        text(&all)
    }

    /// Exactly what is expected, no more.
    pub async fn expect(&mut self, expected: &str) {
        let mut got = vec![0; expected.len()];
        let read = tokio::time::timeout(Duration::from_secs(600), self.io.read_exact(&mut got)).await;
        assert!(matches!(read, Ok(Ok(_))), "{read:?}, got {:?}", text(&got));
        assert_eq!(text(&got), expected);
    }

    pub fn requests(&self) -> Vec<String> {
        self.seen.requests.borrow().clone()
    }

    pub fn notes(&self) -> Vec<String> {
        self.seen.notes.borrow().clone()
    }
}

/// Sends `input`, ends the sending side, and returns all that comes back.
pub async fn talk(input: impl AsRef<[u8]>) -> (String, Client) {
    let mut client = connect(ServerSettings::default(), Protocol::Http1);
    client.send(input).await;
    client.io.shutdown().await.unwrap();
    let output = client.read_to_end().await;
    (output, client)
}
