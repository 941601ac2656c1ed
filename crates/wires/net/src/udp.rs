//! Proxies datagrams: a session per client address, each with its own socket to the upstream, bounded in number
//! and ended when silent or when the expected answers have come.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use crate::bind::BoundSocket;
use crate::datagram::{DatagramSocket, Path};

/// The largest datagram there is.
const LARGEST: usize = 65_535;
/// Datagrams kept for a client while its session is being routed; more are dropped, as a full queue would.
const WAITING: usize = 16;
/// A datagram may answer several earlier ones; a session reads so many at once before others have their turn.
const BURST: usize = 32;

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
    /// The address it was sent to, known even if the listener is bound to a wildcard.
    pub local: SocketAddr,
    pub datagram: Vec<u8>,
}

/// Where a session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpTarget {
    pub address: SocketAddr,
    /// Ends the session when no datagram has passed for so long.
    pub idle: Duration,
    /// Ends the session after so many answers; absent leaves it to the idle time.
    pub responses: Option<u64>,
}

/// What a session moved, once it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpSessionTotals {
    pub client: SocketAddr,
    pub local: SocketAddr,
    /// Absent if the session was not routed, or its target could not be reached.
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
    shared: Rc<Shared>,
    refused: Cell<u64>,
}

/// What the listener and its sessions have in common.
#[derive(Debug)]
struct Shared {
    socket: DatagramSocket,
    sessions: RefCell<HashMap<Path, Rc<Session>>>,
    /// Answers pass through here, one at a time; a session of its own buffer would weigh 64 KiB.
    answers: RefCell<Box<[u8]>>,
}

#[derive(Debug)]
struct Session {
    path: Path,
    upstream: RefCell<Upstream>,
    began: Instant,
    active: Cell<Instant>,
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
        let shared = Shared {
            socket: DatagramSocket::new(bound)?,
            sessions: RefCell::default(),
            answers: RefCell::new(vec![0; LARGEST].into_boxed_slice()),
        };
        Ok(Self { shared: Rc::new(shared), refused: Cell::new(0) })
    }

    /// Where it listens, the real port included.
    pub fn local(&self) -> SocketAddr {
        self.shared.socket.bound()
    }

    /// Sessions open now.
    pub fn open_sessions(&self) -> usize {
        self.shared.sessions.borrow().len()
    }

    /// Datagrams dropped because too many sessions were open.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Serves clients until dropped or until the socket fails. `route` names the target of a new session, or
    /// nothing to drop its datagrams; `ended` is told of each session. Must run within a `LocalSet`: sessions
    /// are local tasks, which outlive this call until they end by themselves.
    pub async fn serve<R, F, E>(&self, limits: UdpSessionLimits, route: R, ended: E) -> io::Result<()>
    where
        R: Fn(UdpStart) -> F,
        F: Future<Output = Option<UdpTarget>> + 'static,
        E: Fn(UdpSessionTotals) + Clone + 'static,
    {
        let mut buffer = vec![0; LARGEST];
        loop {
            let (length, path) = match self.shared.socket.receive(&mut buffer).await {
                Ok(received) => received,
                // An earlier answer that a client refused; it says nothing about the socket.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let datagram = buffer.get(..length).unwrap_or_default();
            let known = self.shared.sessions.borrow().get(&path).cloned();
            if let Some(session) = known {
                session.forward(datagram);
            } else if self.open_sessions() >= limits.sessions {
                self.refused.set(self.refused.get() + 1);
            } else {
                self.begin(path, datagram, &route, ended.clone());
            }
        }
    }

    fn begin<R, F, E>(&self, path: Path, datagram: &[u8], route: &R, ended: E)
    where
        R: Fn(UdpStart) -> F,
        F: Future<Output = Option<UdpTarget>> + 'static,
        E: Fn(UdpSessionTotals) + 'static,
    {
        let session = Rc::new(Session::new(path));
        session.forward(datagram);
        self.shared.sessions.borrow_mut().insert(path, session.clone());
        let routed = route(UdpStart { client: path.client, local: path.local, datagram: datagram.to_vec() });
        let shared = self.shared.clone();
        tokio::task::spawn_local(async move {
            let target = match routed.await {
                Some(target) => session.run(target, &shared).await.map(|()| target.address).ok(),
                None => None,
            };
            shared.sessions.borrow_mut().remove(&path);
            ended(session.totals(target));
        });
    }
}

impl Session {
    fn new(path: Path) -> Self {
        let now = Instant::now();
        Self {
            path,
            upstream: RefCell::new(Upstream::Routing(Vec::new())),
            began: now,
            active: Cell::new(now),
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

    async fn run(&self, target: UdpTarget, shared: &Shared) -> io::Result<()> {
        let any = if target.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = Rc::new(UdpSocket::bind(any).await?);
        socket.connect(target.address).await?;
        socket.writable().await?;
        let before = std::mem::replace(&mut *self.upstream.borrow_mut(), Upstream::Open(socket.clone()));
        if let Upstream::Routing(waiting) = before {
            for datagram in waiting {
                let _ = socket.try_send(&datagram);
            }
        }
        self.answer(target, &socket, shared).await;
        Ok(())
    }

    /// Passes answers back until enough have come or nothing has passed for the idle time. The timer is set
    /// again only when it fires.
    async fn answer(&self, target: UdpTarget, upstream: &UdpSocket, shared: &Shared) {
        let silence = sleep_until(self.active.get() + target.idle);
        tokio::pin!(silence);
        loop {
            tokio::select! {
                // An error is that the target's machine reported nobody listening there.
                ready = upstream.ready(Interest::READABLE | Interest::ERROR) => match ready {
                    Ok(ready) if !ready.is_error() => {
                        if self.pass_back(target, upstream, shared) {
                            return;
                        }
                    }
                    _ => return,
                },
                () = &mut silence => {
                    let due = self.active.get() + target.idle;
                    if Instant::now() >= due {
                        return;
                    }
                    silence.as_mut().reset(due);
                }
            }
        }
    }

    /// Passes back what has arrived; whether that was the last.
    fn pass_back(&self, target: UdpTarget, upstream: &UdpSocket, shared: &Shared) -> bool {
        let mut buffer = shared.answers.borrow_mut();
        for _ in 0..BURST {
            match upstream.try_recv(&mut buffer) {
                Ok(length) => {
                    shared.socket.answer(buffer.get(..length).unwrap_or_default(), self.path);
                    self.datagrams_out.set(self.datagrams_out.get() + 1);
                    self.bytes_out.set(self.bytes_out.get() + length as u64);
                    self.active.set(Instant::now());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
            if target.responses.is_some_and(|expected| self.datagrams_out.get() >= expected) {
                return true;
            }
        }
        false
    }

    fn totals(&self, target: Option<SocketAddr>) -> UdpSessionTotals {
        UdpSessionTotals {
            client: self.path.client,
            local: self.path.local,
            target,
            datagrams_in: self.datagrams_in.get(),
            bytes_in: self.bytes_in.get(),
            datagrams_out: self.datagrams_out.get(),
            bytes_out: self.bytes_out.get(),
            duration: self.began.elapsed(),
        }
    }
}
