//! Opens listening sockets: one per worker where the kernel shall spread connections, one for all otherwise.
//! A socket once opened is never closed and reopened: reload and upgrade adopt it (see `handover`).

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use crate::handover::Inherited;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    Ip(SocketAddr),
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKind {
    Stream,
    Datagram,
}

/// TCP keep-alive probes on accepted connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keepalive {
    /// As the system has it.
    #[default]
    System,
    Off,
    /// Absent figures as the system has them.
    On {
        idle: Option<Duration>,
        interval: Option<Duration>,
        count: Option<u32>,
    },
}

/// A listening address with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenSpec {
    pub address: ListenAddress,
    pub kind: SocketKind,
    /// One socket per worker; the kernel spreads connections over them.
    pub reuseport: bool,
    /// Connections the kernel completes ahead of us; capped by net.core.somaxconn.
    pub backlog: u32,
    /// Wake us only once the client has sent something (TCP_DEFER_ACCEPT).
    pub deferred: bool,
    /// An IPv6 wildcard takes no IPv4 connections.
    pub ipv6only: bool,
    pub keepalive: Keepalive,
    /// The queue of connections that sent data with their first packet (RFC 7413); absent turns it off.
    pub fastopen: Option<u32>,
    pub receive_buffer: Option<usize>,
    pub send_buffer: Option<usize>,
}

impl ListenSpec {
    /// A TCP listener with nginx's defaults.
    pub fn tcp(address: SocketAddr) -> Self {
        Self {
            address: ListenAddress::Ip(address),
            kind: SocketKind::Stream,
            reuseport: false,
            backlog: 511,
            deferred: false,
            ipv6only: true,
            keepalive: Keepalive::System,
            fastopen: None,
            receive_buffer: None,
            send_buffer: None,
        }
    }

    pub fn udp(address: SocketAddr) -> Self {
        Self { kind: SocketKind::Datagram, ..Self::tcp(address) }
    }

    pub fn unix(path: impl Into<PathBuf>) -> Self {
        let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { address: ListenAddress::Unix(path.into()), ..Self::tcp(anywhere) }
    }
}

/// A listening address could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", remedy(.cause))]
pub struct BindError {
    pub address: ListenAddress,
    #[source]
    pub cause: io::Error,
}

fn remedy(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; stop it or choose another port".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, a unix socket a writable folder".to_owned()
        }
        _ => cause.to_string(),
    }
}

/// A listening socket, not yet served by anybody.
#[derive(Debug)]
pub struct BoundSocket {
    pub(crate) socket: Socket,
    kind: SocketKind,
    requested: ListenAddress,
    address: ListenAddress,
}

impl BoundSocket {
    /// Where it really listens: the port is known even if any was asked for.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// What was asked for; a new process recognises the socket by it.
    pub fn requested(&self) -> &ListenAddress {
        &self.requested
    }

    pub fn kind(&self) -> SocketKind {
        self.kind
    }

    /// A second handle to the same socket, to keep across a reload or to hand to a new process.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            kind: self.kind,
            requested: self.requested.clone(),
            address: self.address.clone(),
        })
    }

    pub(crate) fn into_tcp(self) -> TcpListener {
        self.socket.into()
    }

    pub(crate) fn into_unix(self) -> UnixListener {
        self.socket.into()
    }

    pub(crate) fn into_udp(self) -> UdpSocket {
        self.socket.into()
    }

    pub(crate) fn adopted(socket: Socket, kind: SocketKind, requested: ListenAddress) -> Self {
        let address = actual_address(&socket, &requested);
        Self { socket, kind, requested, address }
    }
}

impl AsFd for BoundSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<BoundSocket> for OwnedFd {
    fn from(bound: BoundSocket) -> OwnedFd {
        bound.socket.into()
    }
}

/// Opens the sockets of an address for so many workers: as many sockets if the kernel shall spread connections,
/// otherwise one that the workers share by [`BoundSocket::try_clone`]. Sockets inherited for this address are
/// taken first, all of them even if workers have become fewer, because each may hold waiting connections.
pub fn bind(spec: &ListenSpec, workers: usize, inherited: &mut Inherited) -> Result<Vec<BoundSocket>, BindError> {
    let failed = |cause| BindError { address: spec.address.clone(), cause };
    let wanted = if spec.reuseport && matches!(spec.address, ListenAddress::Ip(_)) { workers.max(1) } else { 1 };
    let mut sockets = inherited.claim(&spec.address, spec.kind);
    for adopted in &sockets {
        configure(&adopted.socket, spec).and_then(|()| listen(&adopted.socket, spec)).map_err(failed)?;
    }
    while sockets.len() < wanted {
        let address = sockets.first().map_or(&spec.address, BoundSocket::address).clone();
        sockets.push(open(spec, &address).map_err(failed)?);
    }
    Ok(sockets)
}

fn open(spec: &ListenSpec, address: &ListenAddress) -> io::Result<BoundSocket> {
    let kind = match spec.kind {
        SocketKind::Stream => Type::STREAM,
        SocketKind::Datagram => Type::DGRAM,
    };
    let socket = match address {
        ListenAddress::Ip(address) => open_ip(spec, *address, kind)?,
        ListenAddress::Unix(path) => open_unix(spec, path, kind)?,
    };
    let actual = actual_address(&socket, address);
    Ok(BoundSocket { socket, kind: spec.kind, requested: spec.address.clone(), address: actual })
}

fn open_ip(spec: &ListenSpec, address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if kind == Type::STREAM {
        // Connections of a predecessor in TIME_WAIT must not keep us from starting.
        socket.set_reuse_address(true)?;
    }
    if spec.reuseport {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(spec.ipv6only)?;
    }
    configure(&socket, spec)?;
    socket.bind(&SockAddr::from(address))?;
    listen(&socket, spec)?;
    Ok(socket)
}

fn open_unix(spec: &ListenSpec, path: &Path, kind: Type) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    remove_if_abandoned(path, &address, kind)?;
    let socket = Socket::new(Domain::UNIX, kind, None)?;
    configure(&socket, spec)?;
    socket.bind(&address)?;
    // Who may connect is decided by the folder's permissions, as with nginx.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    listen(&socket, spec)?;
    Ok(socket)
}

/// A crash leaves the file behind. Only a socket nobody answers on is removed, never another kind of file.
fn remove_if_abandoned(path: &Path, address: &SockAddr, kind: Type) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    let probe = Socket::new(Domain::UNIX, kind, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

/// Options that accepted connections inherit, so that accepting one costs no further call.
fn configure(socket: &Socket, spec: &ListenSpec) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if let Some(size) = spec.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if let Some(size) = spec.send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    if spec.kind == SocketKind::Datagram || matches!(spec.address, ListenAddress::Unix(_)) {
        return Ok(());
    }
    socket.set_tcp_nodelay(true)?;
    match spec.keepalive {
        Keepalive::System => {}
        Keepalive::Off => socket.set_keepalive(false)?,
        Keepalive::On { idle, interval, count } => {
            socket.set_keepalive(true)?;
            let mut probes = TcpKeepalive::new();
            if let Some(idle) = idle {
                probes = probes.with_time(idle);
            }
            if let Some(interval) = interval {
                probes = probes.with_interval(interval);
            }
            if let Some(count) = count {
                probes = probes.with_retries(count);
            }
            socket.set_tcp_keepalive(&probes)?;
        }
    }
    Ok(())
}

fn listen(socket: &Socket, spec: &ListenSpec) -> io::Result<()> {
    if spec.kind == SocketKind::Datagram {
        return Ok(());
    }
    if matches!(spec.address, ListenAddress::Ip(_)) {
        if spec.deferred {
            nix::sys::socket::setsockopt(socket, crate::option::DeferAccept, &1)?;
        }
        if let Some(queue) = spec.fastopen {
            let queue = i32::try_from(queue).unwrap_or(i32::MAX);
            nix::sys::socket::setsockopt(socket, crate::option::FastOpen, &queue)?;
        }
    }
    socket.listen(i32::try_from(spec.backlog).unwrap_or(i32::MAX))
}

fn actual_address(socket: &Socket, requested: &ListenAddress) -> ListenAddress {
    let actual = socket.local_addr().ok().and_then(|address| address.as_socket());
    actual.map_or_else(|| requested.clone(), ListenAddress::Ip)
}
