//! From an accepted socket to a stream: looking at the greeting without consuming it, and TLS with its counters.

use gibbon_tls::{Certificate, Greeted, HandshakeError, Peeked, ServerTls, Started, client_hello};
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

/// A connection to a TLS listener whose greeting has arrived.
pub enum TlsGreeting {
    Tls(Started<Socket>),
    /// As [`TlsArrival::Plain`].
    Plain(Socket),
}

/// Makes the TLS handshake on an accepted socket, within the listener's time, and counts the outcome.
pub async fn accept_tls(socket: Socket, tls: &ServerTls, counters: &Counters) -> Result<TlsArrival, HandshakeError> {
    match greet_tls(socket, tls, counters).await? {
        TlsGreeting::Tls(started) => Ok(TlsArrival::Tls(finish_tls(started, tls, None, counters).await?)),
        TlsGreeting::Plain(socket) => Ok(TlsArrival::Plain(socket)),
    }
}

/// The first half of [`accept_tls`]: the greeting is there, nothing is answered yet.
pub async fn greet_tls(
    mut socket: Socket,
    tls: &ServerTls,
    counters: &Counters,
) -> Result<TlsGreeting, HandshakeError> {
    socket.expect_records(true);
    match counted(tls.start(socket).await, counters)? {
        Greeted::Tls(started) => Ok(TlsGreeting::Tls(started)),
        Greeted::Plain { io: mut socket, read } => {
            counters.plain_on_tls.add(1);
            socket.expect_records(false);
            socket.unread(&read);
            Ok(TlsGreeting::Plain(socket))
        }
    }
}

/// The second half: answers by the settings of `tls`, with this certificate or else the one its source names.
pub async fn finish_tls(
    started: Started<Socket>,
    tls: &ServerTls,
    certificate: Option<&Certificate>,
    counters: &Counters,
) -> Result<Stream, HandshakeError> {
    let finished = match certificate {
        Some(certificate) => started.finish_with(tls, certificate).await,
        None => started.finish(tls).await,
    };
    let stream = counted(finished, counters)?;
    counters.tls_handshakes.add(1);
    if stream.info().resumed {
        counters.tls_resumed.add(1);
    }
    Ok(Stream::ServerTls(stream))
}

fn counted<T>(outcome: Result<T, HandshakeError>, counters: &Counters) -> Result<T, HandshakeError> {
    outcome.inspect_err(|error| counters.tls_failed(error.failure))
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
