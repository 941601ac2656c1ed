//! Takes connections from a listening socket for one worker: under limits, with back-off when the system has
//! no descriptors left, and counted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use tokio::net::{TcpListener, UnixListener};

use crate::bind::{BoundSocket, ListenAddress};
use crate::counters::Counters;
use crate::limit::{ConnectionLimits, Permit, Refusal};
use crate::socket::Socket;

/// How long to wait before asking again when the system is out of descriptors or memory. Asking at once would
/// spin: the connection stays in the queue and the listener stays ready.
const FIRST_BACK_OFF: Duration = Duration::from_millis(5);
const LONGEST_BACK_OFF: Duration = Duration::from_millis(500);

/// A listener of one worker.
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
    address: ListenAddress,
    limits: Option<Arc<ConnectionLimits>>,
    counters: Arc<Counters>,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Counts a connection as open until dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    permit: Option<Permit>,
    counters: Arc<Counters>,
}

impl OpenConnection {
    pub(crate) fn new(permit: Option<Permit>, counters: Arc<Counters>) -> Self {
        counters.active.add(1);
        Self { permit, counters }
    }

    /// Ends the count on this worker; the permit goes on to the next.
    pub(crate) fn into_permit(mut self) -> Option<Permit> {
        self.permit.take()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.counters.active.subtract(1);
    }
}

impl Listener {
    /// Serves a bound socket on the current runtime. `counters` are this worker's own.
    pub fn new(bound: BoundSocket, limits: Option<Arc<ConnectionLimits>>, counters: Arc<Counters>) -> io::Result<Self> {
        let address = bound.address().clone();
        let inner = match address {
            ListenAddress::Ip(_) => Inner::Tcp(TcpListener::from_std(bound.into_tcp())?),
            ListenAddress::Unix(_) => Inner::Unix(UnixListener::from_std(bound.into_unix())?),
        };
        Ok(Self { inner, address, limits, counters })
    }

    /// Where it listens, the real port included.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The next connection that may stay. Those above a limit are closed and counted, passing failures are
    /// waited out; an error is one that will not pass, such as a listener that was shut down.
    pub async fn accept(&self) -> io::Result<Socket> {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            match self.accept_any().await {
                Ok(socket) => {
                    self.counters.accepted.add(1);
                    back_off = FIRST_BACK_OFF;
                    if let Some(socket) = self.admit(socket) {
                        return Ok(socket);
                    }
                }
                Err(error) => {
                    self.counters.accept_errors.add(1);
                    match after(&error) {
                        Next::Retry => {}
                        Next::Wait => {
                            tokio::time::sleep(back_off).await;
                            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
                        }
                        Next::GiveUp => return Err(error),
                    }
                }
            }
        }
    }

    async fn accept_any(&self) -> io::Result<Socket> {
        match &self.inner {
            Inner::Tcp(listener) => {
                let (stream, peer): (_, SocketAddr) = listener.accept().await?;
                Ok(Socket::tcp(stream, peer))
            }
            Inner::Unix(listener) => Ok(Socket::unix(listener.accept().await?.0)),
        }
    }

    fn admit(&self, mut socket: Socket) -> Option<Socket> {
        let permit = match &self.limits {
            None => None,
            Some(limits) => match limits.admit(socket.peer().ip()) {
                Ok(permit) => Some(permit),
                Err(Refusal::TooManyInAll) => {
                    self.counters.refused_total.add(1);
                    return None;
                }
                Err(Refusal::TooManyFromAddress) => {
                    self.counters.refused_per_address.add(1);
                    return None;
                }
            },
        };
        socket.set_open(OpenConnection::new(permit, self.counters.clone()));
        Some(socket)
    }
}

enum Next {
    Retry,
    Wait,
    GiveUp,
}

/// What to do after a failed `accept`: accept(2) reports the errors of the connection it would have returned,
/// which say nothing about the listener.
fn after(error: &io::Error) -> Next {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Next::Wait,
        Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => Next::GiveUp,
        _ => Next::Retry,
    }
}
