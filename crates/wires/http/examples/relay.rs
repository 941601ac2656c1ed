//! A plain relay to one fixed upstream: `relay LISTEN UPSTREAM`, as `relay 127.0.0.1:8000 127.0.0.1:9000`.
//!
//! It shows how the two sides go together and is what to measure: a proxied GET on keep-alive takes
//! four system calls (read, write, read, write) beside those of the event loop.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use gibbon_http::client::{Answer, ClientError, ClientSettings, Connection, Pool, PoolSettings, Timeouts};
use gibbon_http::{
    BodyLength, ConnInfo, Drain, HeadError, Protocol, RequestBody, Responder, SendError, Server, ServerSettings,
    Service, Worker, serve,
};
use gibbon_message::{RequestHead, ResponseHead};
use tokio::net::{TcpListener, TcpStream};

const TIMEOUTS: Timeouts = Timeouts { read: Duration::from_secs(60), send: Duration::from_secs(60) };

struct Relay {
    upstream: SocketAddr,
    worker: Rc<Worker>,
    settings: Rc<ClientSettings>,
    pool: Rc<Pool<SocketAddr, Connection<TcpStream>>>,
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error("connecting: {0}")]
    Connect(#[from] std::io::Error),
    #[error("upstream: {0}")]
    Upstream(#[from] ClientError),
    #[error("client: {0}")]
    Client(#[from] SendError),
    #[error("client: {0}")]
    Body(#[from] gibbon_http::BodyError),
}

impl Relay {
    async fn connection(&self) -> std::io::Result<Connection<TcpStream>> {
        if let Some(connection) = self.pool.take(&self.upstream) {
            return Ok(connection);
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        Ok(Connection::new(stream, &self.worker, self.settings.clone()))
    }

    async fn forward(
        &self,
        head: &mut RequestHead,
        body: &mut RequestBody<'_>,
        out: &mut Responder<'_>,
    ) -> Result<(), RelayError> {
        let mut connection = self.connection().await?;
        head.headers.set("Connection", "keep-alive");
        {
            let (mut writer, mut reader) = connection.exchange(TIMEOUTS);
            writer.head(&head.method, &head.target, &head.headers, body.length())?;
            while !body.is_end()
                && let Some(chunk) = body.chunk().await?
            {
                writer.data(chunk).await?;
            }
            writer.finish(None).await?;
            let mut answer = ResponseHead::default();
            let length = loop {
                match reader.head(&mut answer, &head.method).await? {
                    Answer::Informational => out.informational(answer.status, &answer.headers).await?,
                    Answer::Upgrade => return Ok(()),
                    Answer::Final(length) => break length,
                }
            };
            out.head(&answer, length)?;
            while length != BodyLength::None
                && let Some(chunk) = out.flush_while(std::pin::pin!(reader.chunk())).await??
            {
                out.data(chunk).await?;
            }
            out.finish(reader.trailers()).await?;
        }
        if connection.reusable() {
            self.pool.put(&self.upstream, connection);
        }
        Ok(())
    }
}

impl Service for Relay {
    type Info = ();

    async fn call(
        self: &Rc<Self>,
        _: &ConnInfo<()>,
        head: &mut RequestHead,
        mut body: RequestBody<'_>,
        mut out: Responder<'_>,
    ) {
        if let Err(error) = self.forward(head, &mut body, &mut out).await {
            eprintln!("{error}");
            if out.begun() {
                return out.abort();
            }
            let _ = out.head(&ResponseHead::new(502), BodyLength::None);
            let _ = out.finish(None).await;
        }
    }

    async fn refuse(self: &Rc<Self>, _: &ConnInfo<()>, _: HeadError, _: &RequestHead, mut out: Responder<'_>) {
        let _ = out.head(&ResponseHead::new(400), BodyLength::None);
        let _ = out.finish(None).await;
    }
}

async fn relay(listen: SocketAddr, upstream: SocketAddr) -> std::io::Result<()> {
    let worker = Worker::new();
    let pool = Rc::new(Pool::new(PoolSettings::default()));
    let sweeper = pool.clone();
    tokio::task::spawn_local(worker.clone().run());
    tokio::task::spawn_local(async move { sweeper.run().await });
    let service = Relay { upstream, worker: worker.clone(), settings: Rc::new(ClientSettings::default()), pool };
    let server = Rc::new(Server {
        worker,
        settings: Rc::new(ServerSettings { keepalive_requests: u64::MAX, ..ServerSettings::default() }),
        service: Rc::new(service),
        drain: Drain::new(),
    });
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let protocol = Protocol::Http1OrH2cPriorKnowledge;
        tokio::task::spawn_local(serve(stream, Vec::new(), protocol, (), server.clone()));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut address = |what: &str| arguments.next().ok_or(format!("usage: relay LISTEN UPSTREAM ({what} is missing)"));
    let (listen, upstream) = (address("LISTEN")?.parse()?, address("UPSTREAM")?.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, relay(listen, upstream))?;
    Ok(())
}
