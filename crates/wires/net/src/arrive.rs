//! From an accepted socket to a stream: looking at the greeting without consuming it, and TLS with its counters.

use gibbon_tls::{Accepted, HandshakeError, Peeked, ServerTls, client_hello};
use tokio::time::{Instant, timeout_at};

use crate::counters::Counters;
use crate::socket::Socket;
use crate::stream::Stream;

/// What a connection to a TLS listener turned out to be.
pub enum TlsArrival {
    Tls(Stream),
    /// Not TLS, most likely plain HTTP. What was read is read again by whoever reads next.
    Plain(Socket),
}

/// Makes the TLS handshake on an accepted socket, within the listener's time, and counts the outcome.
pub async fn accept_tls(socket: Socket, tls: &ServerTls, counters: &Counters) -> Result<TlsArrival, HandshakeError> {
    match tls.accept(socket).await {
        Ok(Accepted::Tls(stream)) => {
            counters.tls_handshakes.add(1);
            if stream.info().resumed {
                counters.tls_resumed.add(1);
            }
            Ok(TlsArrival::Tls(Stream::ServerTls(stream)))
        }
        Ok(Accepted::Plain { io: mut socket, read }) => {
            counters.plain_on_tls.add(1);
            socket.unread(&read);
            Ok(TlsArrival::Plain(socket))
        }
        Err(error) => {
            counters.tls_failed(error.failure);
            Err(error)
        }
    }
}

/// Looks at a connection's TLS greeting without consuming it, to route by server name. A connection that ends
/// or stays silent until the deadline without a whole greeting counts as not TLS.
pub async fn peek_client_hello(socket: &mut Socket, deadline: Instant) -> std::io::Result<Peeked> {
    loop {
        match client_hello(socket.ahead()) {
            Peeked::NeedMore => {}
            verdict => return Ok(verdict),
        }
        let read = timeout_at(deadline, socket.read_ahead()).await.unwrap_or(Ok(0))?;
        if read == 0 {
            return Ok(Peeked::NotTls);
        }
    }
}
