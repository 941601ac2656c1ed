//! A connected TCP or unix socket, with room for bytes that were read ahead of whoever reads next.

use std::cell::{OnceCell, RefCell};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::accept::OpenConnection;
use crate::counters::Counters;
use crate::limit::Permit;
use crate::proxy_protocol::ProxyHeader;

/// Who is at the other end, or which end is ours. Unix sockets have no address worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    Ip(SocketAddr),
    Unix,
}

impl PeerAddress {
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }

    pub fn port(self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Unix => None,
        }
    }
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connected socket.
#[derive(Debug)]
pub struct Socket {
    kind: Kind,
    peer: PeerAddress,
    local: OnceCell<PeerAddress>,
    ahead: Vec<u8>,
    /// Read a whole TLS record at a time, whatever is asked for: the TLS library asks for 4 KiB.
    by_record: bool,
    proxy_header: Option<Box<ProxyHeader>>,
    /// Counts the connection as open until it is dropped.
    open: Option<OpenConnection>,
}

impl Socket {
    pub fn tcp(stream: TcpStream, peer: SocketAddr) -> Self {
        Self::new(Kind::Tcp(stream), PeerAddress::Ip(peer))
    }

    pub fn unix(stream: UnixStream) -> Self {
        Self::new(Kind::Unix(stream), PeerAddress::Unix)
    }

    fn new(kind: Kind, peer: PeerAddress) -> Self {
        Self { kind, peer, local: OnceCell::new(), ahead: Vec::new(), by_record: false, proxy_header: None, open: None }
    }

    /// The socket's other end. A PROXY protocol header does not change it: see [`Socket::proxy_header`].
    pub fn peer(&self) -> PeerAddress {
        self.peer
    }

    /// Our end; asked of the system once, when first wanted.
    pub fn local(&self) -> PeerAddress {
        *self.local.get_or_init(|| match &self.kind {
            Kind::Tcp(stream) => stream.local_addr().map_or(PeerAddress::Unix, PeerAddress::Ip),
            Kind::Unix(_) => PeerAddress::Unix,
        })
    }

    /// The header the peer sent ahead of the connection, if the listener expects one. Whether to believe it is
    /// the caller's decision.
    pub fn proxy_header(&self) -> Option<&ProxyHeader> {
        self.proxy_header.as_deref()
    }

    pub(crate) fn set_proxy_header(&mut self, header: ProxyHeader) {
        self.proxy_header = Some(Box::new(header));
    }

    /// Gives bytes back: whoever reads next sees them first.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.ahead.splice(0..0, bytes.iter().copied());
    }

    /// Bytes that were read ahead and not consumed.
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Reads some more bytes ahead, to be examined before anybody consumes them. Returns how many; 0 at the end.
    /// The caller bounds how often.
    pub async fn read_ahead(&mut self) -> io::Result<usize> {
        const CHUNK: usize = 2048;
        self.ahead.reserve(CHUNK);
        match &mut self.kind {
            Kind::Tcp(stream) => stream.read_buf(&mut self.ahead).await,
            Kind::Unix(stream) => stream.read_buf(&mut self.ahead).await,
        }
    }

    /// Says whether TLS is expected from now on.
    pub(crate) fn expect_records(&mut self, expected: bool) {
        self.by_record = expected;
    }

    pub(crate) fn consume_ahead(&mut self, count: usize) {
        if count >= self.ahead.len() {
            self.ahead = Vec::new();
        } else {
            self.ahead.drain(..count);
        }
    }

    pub(crate) fn set_open(&mut self, open: OpenConnection) {
        self.open = Some(open);
    }
}

/// A socket on its way from one worker to another: accepted there, to be served here. Nothing is lost, whatever
/// was read ahead included.
#[derive(Debug)]
pub struct DetachedSocket {
    kind: DetachedKind,
    peer: PeerAddress,
    ahead: Vec<u8>,
    proxy_header: Option<Box<ProxyHeader>>,
    permit: Option<Permit>,
}

#[derive(Debug)]
enum DetachedKind {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Takes the socket off this worker's runtime and count.
    pub fn detach(self) -> io::Result<DetachedSocket> {
        let kind = match self.kind {
            Kind::Tcp(stream) => DetachedKind::Tcp(stream.into_std()?),
            Kind::Unix(stream) => DetachedKind::Unix(stream.into_std()?),
        };
        let permit = self.open.and_then(OpenConnection::into_permit);
        Ok(DetachedSocket { kind, peer: self.peer, ahead: self.ahead, proxy_header: self.proxy_header, permit })
    }
}

impl DetachedSocket {
    /// Puts the socket on the current runtime; `counters` are this worker's.
    pub fn attach(self, counters: &Arc<Counters>) -> io::Result<Socket> {
        let kind = match self.kind {
            DetachedKind::Tcp(stream) => Kind::Tcp(TcpStream::from_std(stream)?),
            DetachedKind::Unix(stream) => Kind::Unix(UnixStream::from_std(stream)?),
        };
        let open = Some(OpenConnection::new(self.permit, counters.clone()));
        Ok(Socket { ahead: self.ahead, proxy_header: self.proxy_header, open, ..Socket::new(kind, self.peer) })
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            let count = this.ahead.len().min(buffer.remaining());
            if let Some(front) = this.ahead.get(..count) {
                buffer.put_slice(front);
            }
            this.consume_ahead(count);
            return Poll::Ready(Ok(()));
        }
        if this.by_record && buffer.remaining() < RECORD {
            return this.poll_read_record(cx, buffer);
        }
        this.kind.poll_read(cx, buffer)
    }
}

/// The longest TLS record on the wire (RFC 8446, section 5.2), rounded up.
const RECORD: usize = 17 * 1024;

thread_local! {
    /// Where records land; used within one poll only.
    static LANDING: RefCell<Box<[u8]>> = RefCell::new(vec![0; RECORD].into_boxed_slice());
}

impl Socket {
    /// One system call for a whole record: what the reader does not take now waits in `ahead`.
    fn poll_read_record(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        LANDING.with_borrow_mut(|landing| {
            let mut read = ReadBuf::new(landing);
            ready!(self.kind.poll_read(cx, &mut read))?;
            let (now, later) = read.filled().split_at(read.filled().len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.ahead.extend_from_slice(later);
            Poll::Ready(Ok(()))
        })
    }
}

impl Kind {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Kind::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Kind::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.kind {
            Kind::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Kind::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
