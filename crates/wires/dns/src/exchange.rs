//! Asking servers: over UDP, over TCP if the answer does not fit, and the next server if one does not answer.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::message::{Question, answer_to, question};
use crate::{DnsError, Settings};

/// A server that did not answer is asked last for this long, so that not every look-up waits for it.
const SHUN_MS: u64 = 10_000;
/// Largest UDP answer read. Without EDNS servers send at most 512 bytes, but not all keep to it.
const MAX_UDP: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Servers {
    servers: Vec<Server>,
    attempts: u32,
    timeout: Duration,
    rotate: bool,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    shunned_until_ms: AtomicU64,
}

impl Servers {
    pub fn new(settings: &Settings) -> Self {
        let server = |address: &SocketAddr| Server { address: *address, shunned_until_ms: AtomicU64::new(0) };
        Self {
            servers: settings.servers.iter().map(server).collect(),
            attempts: settings.attempts.max(1),
            timeout: settings.timeout,
            rotate: settings.rotate,
            turn: AtomicUsize::new(0),
        }
    }

    /// Asks until a server answers. An answer that only says that the server cannot help is kept for the case that
    /// the others do no better.
    pub async fn ask(&self, name: &str, wanted: Question, now_ms: u64) -> Result<Message, DnsError> {
        let order = self.in_order(now_ms);
        let mut outcome = Err(DnsError::NoServers);
        let mut helpless = 0;
        for server in order.iter().cycle().take(if order.is_empty() { 0 } else { self.attempts as usize }) {
            // A new id and a new port for each attempt: a late answer to the last one must not be taken for this.
            match timeout(self.timeout, exchange(server.address, name, wanted)).await {
                Ok(Ok(message)) => {
                    server.shunned_until_ms.store(0, Ordering::Relaxed);
                    let cannot_help = is_helpless(&message);
                    outcome = Ok(message);
                    helpless += 1;
                    if !cannot_help || helpless >= order.len() {
                        return outcome;
                    }
                }
                Ok(Err(Failure::BadName)) => return Err(DnsError::BadName),
                Ok(Err(Failure::Io(protocol, error))) => {
                    outcome = self.failed(server, protocol, error.to_string(), outcome, now_ms);
                }
                Err(_) => outcome = self.failed(server, "UDP", "timeout".into(), outcome, now_ms),
            }
        }
        outcome
    }

    /// Servers to ask, the ones that lately did not answer at the end.
    fn in_order(&self, now_ms: u64) -> Vec<&Server> {
        let mut order: Vec<&Server> = self.servers.iter().collect();
        if self.rotate && !order.is_empty() {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % order.len();
            order.rotate_left(turn);
        }
        order.sort_by_key(|server| server.shunned_until_ms.load(Ordering::Relaxed) > now_ms);
        order
    }

    fn failed(
        &self,
        server: &Server,
        protocol: &'static str,
        reason: String,
        before: Result<Message, DnsError>,
        now_ms: u64,
    ) -> Result<Message, DnsError> {
        server.shunned_until_ms.store(now_ms.saturating_add(SHUN_MS), Ordering::Relaxed);
        // Any answer is better news than none.
        before.or(Err(DnsError::NoReply { protocol, server: server.address, reason }))
    }
}

enum Failure {
    BadName,
    Io(&'static str, io::Error),
}

/// Whether another server might know better: this one failed or will not serve us.
fn is_helpless(message: &Message) -> bool {
    matches!(
        message.metadata.response_code,
        ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp | ResponseCode::FormErr
    )
}

async fn exchange(server: SocketAddr, name: &str, wanted: Question) -> Result<Message, Failure> {
    let (asked, bytes) = question(name, wanted).map_err(|_| Failure::BadName)?;
    let message = over_udp(server, &asked, &bytes).await.map_err(|error| Failure::Io("UDP", error))?;
    if !message.metadata.truncation {
        return Ok(message);
    }
    over_tcp(server, &asked, &bytes).await.map_err(|error| Failure::Io("TCP", error))
}

async fn over_udp(server: SocketAddr, asked: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    // A connected socket hears only this server, and hears at once if nobody listens there.
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; MAX_UDP];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(message) = buffer.get(..length).and_then(|bytes| answer_to(asked, bytes)) {
            return Ok(message);
        }
    }
}

async fn over_tcp(server: SocketAddr, asked: &Message, bytes: &[u8]) -> io::Result<Message> {
    let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect(server).await?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    stream.write_all(&framed).await?;
    // The length is 16 bits, so the buffer is bounded by the protocol.
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    answer_to(asked, &buffer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer to the question"))
}
