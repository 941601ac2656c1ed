//! Proxies datagrams: a session per client address, each with its own socket to the upstream, bounded in number
//! and ended when silent or when the expected answers have come.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use crate::bind::BoundSocket;

/// The largest datagram there is.
const LARGEST: usize = 65_535;
/// Datagrams kept for a client while its session is being routed; more are dropped, as a full queue would.
const WAITING: usize = 16;

/// What bounds the sessions of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpSessionLimits {
    /// Sessions open at once on this worker; datagrams of further clients are dropped and counted.
    pub sessions: usize,
}

/// A client's first datagram, to be routed by.
#[derive(Debug, Clone)]
pub struct UdpStart {
    pub client: SocketAddr,
    pub local: SocketAddr,
    pub datagram: Vec<u8>,
}

/// Where a session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpTarget {
    pub address: SocketAddr,
    /// Ends the session when no datagram has passed for so long.
    pub idle: Duration,
    /// Ends the session when so many datagrams have been answered; absent leaves it to the idle time.
    pub responses: Option<u64>,
}

/// What a session moved, once it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpSessionTotals {
    pub client: SocketAddr,
    pub target: Option<SocketAddr>,
    pub datagrams_in: u64,
    pub bytes_in: u64,
    pub datagrams_out: u64,
    pub bytes_out: u64,
    pub duration: Duration,
}

/// A UDP listener of one worker.
#[derive(Debug)]
pub struct UdpListener {
    socket: Rc<UdpSocket>,
    local: SocketAddr,
    sessions: Rc<RefCell<HashMap<SocketAddr, Rc<Session>>>>,
    refused: Cell<u64>,
}

#[derive(Debug)]
struct Session {
    client: SocketAddr,
    upstream: RefCell<Upstream>,
    active: Cell<Instant>,
    began: Instant,
    datagrams_in: Cell<u64>,
    bytes_in: Cell<u64>,
    datagrams_out: Cell<u64>,
    bytes_out: Cell<u64>,
}

#[derive(Debug)]
enum Upstream {
    Routing(Vec<Vec<u8>>),
    Open(Rc<UdpSocket>),
}

impl UdpListener {
    /// Serves a bound datagram socket on the current runtime.
    pub fn new(bound: BoundSocket) -> io::Result<Self> {
        let socket = UdpSocket::from_std(bound.into_udp())?;
        let local = socket.local_addr()?;
        Ok(Self { socket: Rc::new(socket), local, sessions: Rc::default(), refused: Cell::new(0) })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Sessions open now.
    pub fn open_sessions(&self) -> usize {
        self.sessions.borrow().len()
    }

    /// Datagrams dropped because too many sessions were open.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Serves clients until dropped or until the socket fails. `route` names the target of a new session, or
    /// nothing to drop its datagrams; `ended` is told of each session that had one. Must run within a
    /// `LocalSet`: sessions are local tasks.
    pub async fn serve<R, F, E>(&self, limits: UdpSessionLimits, route: R, ended: E) -> io::Result<()>
    where
        R: Fn(UdpStart) -> F,
        F: Future<Output = Option<UdpTarget>> + 'static,
        E: Fn(UdpSessionTotals) + Clone + 'static,
    {
        let mut buffer = vec![0; LARGEST];
        loop {
            let (length, client) = match self.socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                // An earlier answer that a client refused; it says nothing about the socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let known = self.sessions.borrow().get(&client).cloned();
            if let Some(session) = known {
                session.forward(datagram);
                continue;
            }
            if self.open_sessions() >= limits.sessions {
                self.refused.set(self.refused.get() + 1);
                continue;
            }
            let session = Rc::new(Session::new(client));
            self.sessions.borrow_mut().insert(client, session.clone());
            session.forward(datagram);
            let start = UdpStart { client, local: self.local, datagram: datagram.to_vec() };
            let routed = route(start);
            let (listener, sessions, ended) = (self.socket.clone(), self.sessions.clone(), ended.clone());
            tokio::task::spawn_local(async move {
                let target = match routed.await {
                    Some(target) => session.run(target, &listener).await.map(|()| target.address).ok(),
                    None => None,
                };
                sessions.borrow_mut().remove(&client);
                ended(session.totals(target));
            });
        }
    }
}

impl Session {
    fn new(client: SocketAddr) -> Self {
        let now = Instant::now();
        Self {
            client,
            upstream: RefCell::new(Upstream::Routing(Vec::new())),
            active: Cell::new(now),
            began: now,
            datagrams_in: Cell::new(0),
            bytes_in: Cell::new(0),
            datagrams_out: Cell::new(0),
            bytes_out: Cell::new(0),
        }
    }

    /// Sends a client's datagram on, or keeps it while the session is being routed. A full socket buffer drops
    /// it, as the network would.
    fn forward(&self, datagram: &[u8]) {
        match &mut *self.upstream.borrow_mut() {
            Upstream::Routing(waiting) if waiting.len() < WAITING => waiting.push(datagram.to_vec()),
            Upstream::Routing(_) => return,
            Upstream::Open(socket) => {
                let _ = socket.try_send(datagram);
            }
        }
        self.datagrams_in.set(self.datagrams_in.get() + 1);
        self.bytes_in.set(self.bytes_in.get() + datagram.len() as u64);
        self.active.set(Instant::now());
    }

    async fn run(&self, target: UdpTarget, listener: &UdpSocket) -> io::Result<()> {
        let any = if target.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = Rc::new(UdpSocket::bind(any).await?);
        socket.connect(target.address).await?;
        let before = std::mem::replace(&mut *self.upstream.borrow_mut(), Upstream::Open(socket.clone()));
        if let Upstream::Routing(waiting) = before {
            for datagram in waiting {
                let _ = socket.send(&datagram).await;
            }
        }
        self.answer(target, &socket, listener).await
    }

    async fn answer(&self, target: UdpTarget, upstream: &UdpSocket, listener: &UdpSocket) -> io::Result<()> {
        let mut buffer = vec![0; LARGEST];
        loop {
            tokio::select! {
                received = upstream.recv(&mut buffer) => {
                    let Ok(length) = received else { return Ok(()) };
                    let _ = listener.send_to(buffer.get(..length).unwrap_or_default(), self.client).await;
                    self.datagrams_out.set(self.datagrams_out.get() + 1);
                    self.bytes_out.set(self.bytes_out.get() + length as u64);
                    self.active.set(Instant::now());
                    if target.responses.is_some_and(|expected| self.datagrams_out.get() >= expected) {
                        return Ok(());
                    }
                }
                () = sleep_until(self.active.get() + target.idle) => {
                    if self.active.get().elapsed() >= target.idle {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn totals(&self, target: Option<SocketAddr>) -> UdpSessionTotals {
        UdpSessionTotals {
            client: self.client,
            target,
            datagrams_in: self.datagrams_in.get(),
            bytes_in: self.bytes_in.get(),
            datagrams_out: self.datagrams_out.get(),
            bytes_out: self.bytes_out.get(),
            duration: self.began.elapsed(),
        }
    }
}
