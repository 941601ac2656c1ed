//! What only real sockets show: resets, answers under a client that still sends, and how often the
//! kernel is asked.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use gibbon_http::client::{Answer, ClientSettings, Connection, Timeouts};
use gibbon_http::{
    BodyLength, ConnInfo, HeadError, Protocol, RequestBody, Responder, Server, ServerSettings, Service, serve,
};
use gibbon_message::{Headers, Method, RequestHead, ResponseHead};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use crate::rig::{Seen, scripted};

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// Both ends of a TCP connection.
async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), accepted.unwrap().0)
}

async fn connect() -> (TcpStream, Rc<Seen>) {
    let (client, accepted) = tcp_pair().await;
    let seen = Rc::<Seen>::default();
    let server = scripted(ServerSettings::default(), &seen);
    tokio::task::spawn_local(serve(accepted, Vec::new(), Protocol::Http1, (), server));
    (client, seen)
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it never came true");
}

#[test]
fn the_service_learns_that_the_client_has_reset_the_connection() {
    run(async {
        let (mut client, seen) = connect().await;
        client.write_all(b"GET /wait-closed HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        until(|| !seen.requests.borrow().is_empty()).await;
        client.set_zero_linger().unwrap();
        drop(client);
        until(|| !seen.notes.borrow().is_empty()).await;
        assert_eq!(seen.notes.borrow()[0], "Broken");
    });
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    run(async {
        let (client, _seen) = connect().await;
        let (mut read, mut write) = client.into_split();
        let sending = tokio::task::spawn_local(async move {
            let _ = write.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n").await;
            for _ in 0..200 {
                if write.write_all(&[b'x'; 10_000]).await.is_err() {
                    break;
                }
            }
        });
        let mut output = String::new();
        read.read_to_string(&mut output).await.unwrap();
        assert!(output.starts_with("HTTP/1.1 400 "), "{output}");
        sending.await.unwrap();
    });
}

/// Counts the calls that reach the stream below with a result.
struct Counted {
    stream: TcpStream,
    calls: Rc<Calls>,
}

#[derive(Default)]
struct Calls {
    reads: Cell<u32>,
    writes: Cell<u32>,
}

impl Calls {
    fn take(&self) -> (u32, u32) {
        (self.reads.take(), self.writes.take())
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if polled.is_ready() {
            self.calls.reads.set(self.calls.reads.get() + 1);
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.calls.writes.set(self.calls.writes.get() + 1);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.calls.writes.set(self.calls.writes.get() + 1);
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Forwards to one upstream connection.
struct Relay {
    upstream: std::cell::RefCell<Connection<Counted>>,
}

impl Service for Relay {
    type Info = ();

    #[allow(clippy::await_holding_refcell_ref)] // one connection, one request at a time
    async fn call(
        self: &Rc<Self>,
        _: &ConnInfo<()>,
        head: &mut RequestHead,
        mut body: RequestBody<'_>,
        mut out: Responder<'_>,
    ) {
        let mut upstream = self.upstream.borrow_mut();
        let timeouts = Timeouts { read: Duration::from_secs(20), send: Duration::from_secs(20) };
        let (mut writer, mut reader) = upstream.exchange(timeouts);
        writer.head(&head.method, &head.target, &head.headers, body.length()).unwrap();
        while let Some(chunk) = writer.flush_while(std::pin::pin!(body.chunk())).await.unwrap().unwrap() {
            writer.data(chunk).await.unwrap();
        }
        writer.finish(None).await.unwrap();
        let mut answer = ResponseHead::default();
        let Answer::Final(length) = reader.head(&mut answer, &head.method).await.unwrap() else { return };
        out.head(&answer, length).unwrap();
        while length != BodyLength::None
            && let Some(chunk) = out.flush_while(std::pin::pin!(reader.chunk())).await.unwrap().unwrap()
        {
            out.data(chunk).await.unwrap();
        }
        out.finish(reader.trailers()).await.unwrap();
    }

    async fn refuse(self: &Rc<Self>, _: &ConnInfo<()>, _: HeadError, _: &RequestHead, _: Responder<'_>) {}
}

#[test]
fn a_relayed_exchange_takes_two_reads_and_two_writes() {
    run(async {
        let (mut client, accepted) = tcp_pair().await;
        let (outgoing, mut upstream) = tcp_pair().await;
        let (down, up) = (Rc::<Calls>::default(), Rc::<Calls>::default());
        let seen = Rc::<Seen>::default();
        let template = scripted(ServerSettings::default(), &seen);
        let settings = Rc::new(ClientSettings::default());
        let outgoing = Counted { stream: outgoing, calls: up.clone() };
        let upstream_side = Connection::new(outgoing, &template.worker, settings);
        let server = Rc::new(Server {
            worker: template.worker.clone(),
            settings: template.settings.clone(),
            service: Rc::new(Relay { upstream: upstream_side.into() }),
            drain: template.drain.clone(),
        });
        let accepted = Counted { stream: accepted, calls: down.clone() };
        tokio::task::spawn_local(serve(accepted, Vec::new(), Protocol::Http1, (), server));

        let sized: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let chunked: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let large = [&b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"[..], &[b'x'; 10_000]].concat();
        let get: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let post: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        for (request, answer) in [(get, sized), (get, chunked), (get, &large), (post, sized)] {
            client.write_all(request).await.unwrap();
            let mut buffer = vec![0; 20_000];
            let mut got = upstream.read(&mut buffer).await.unwrap();
            while got < request.len() {
                got += upstream.read(&mut buffer[got..]).await.unwrap();
            }
            upstream.write_all(answer).await.unwrap();
            let mut got = 0;
            while got < answer.len() {
                got += client.read(&mut buffer).await.unwrap();
            }
            let text = String::from_utf8_lossy(&answer[..40]);
            assert_eq!((down.take(), up.take()), ((1, 1), (1, 1)), "{text}");
        }
    });
}

#[test]
fn a_stream_is_passed_on_piece_by_piece() {
    run(async {
        let (client, accepted) = tcp_pair().await;
        let (outgoing, mut upstream) = tcp_pair().await;
        let seen = Rc::<Seen>::default();
        let template = scripted(ServerSettings::default(), &seen);
        let outgoing = Counted { stream: outgoing, calls: Rc::default() };
        let upstream_side = Connection::new(outgoing, &template.worker, Rc::new(ClientSettings::default()));
        let server = Rc::new(Server {
            worker: template.worker.clone(),
            settings: template.settings.clone(),
            service: Rc::new(Relay { upstream: upstream_side.into() }),
            drain: template.drain.clone(),
        });
        tokio::task::spawn_local(serve(accepted, Vec::new(), Protocol::Http1, (), server));
        let mut consumer = Connection::new(client, &template.worker, Rc::new(ClientSettings::default()));
        let timeouts = Timeouts { read: Duration::from_secs(20), send: Duration::from_secs(20) };
        let (mut writer, mut reader) = consumer.exchange(timeouts);
        let mut headers = Headers::new();
        headers.append("Host", "a");
        writer.head(&Method::Get, b"/events", &headers, BodyLength::None).unwrap();
        writer.finish(None).await.unwrap();
        upstream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let mut head = ResponseHead::default();
        assert_eq!(reader.head(&mut head, &Method::Get).await, Ok(Answer::Final(BodyLength::Unknown)));
        for event in ["data: 1\n\n", "data: two\n\n", "data: 3\n\n"] {
            upstream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
            assert_eq!(reader.chunk().await.unwrap(), Some(event.as_bytes()));
        }
        upstream.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(reader.chunk().await.unwrap(), None);
    });
}
