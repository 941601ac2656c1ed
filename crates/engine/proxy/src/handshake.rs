//! Station 2: the TLS handshake of a client, with the certificate phase between its greeting and our answer. Which
//! certificate is shown is decided in `certificates`; who the client may be, by the plugins behind.

use std::rc::Rc;
use std::time::Duration;

use gibbon_net::{Counters, Socket, TlsArrival, TlsGreeting, finish_tls, greet_tls};
use gibbon_pdk::{Client, HandshakeWishes, Phase, TlsFacts};
use gibbon_plan::Chain;
use gibbon_tls::{ClientHello, Departure, HandshakeError, ServerTls};
use tokio::time::timeout;

use crate::body_source::BodySource;
use crate::serve::stream_client;
use crate::walk::{self, Waiting, Walked};
use crate::worker::Worker;

/// How long plugins may keep a client waiting in its handshake, all together: as long as the handshake itself.
const PHASE_TIME: Duration = Duration::from_secs(60);

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum NoSession {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("the certificate phase: {0}")]
    Plugin(Box<str>),
}

/// Makes the handshake on a socket, or finds that no TLS is spoken on it.
pub async fn accept(
    worker: &Rc<Worker>,
    socket: Socket,
    tls: &ServerTls,
    counters: &Counters,
) -> Result<TlsArrival, NoSession> {
    let global = Rc::clone(&worker.pin().global);
    if !global.phases.contains(Phase::Certificate) {
        return Ok(gibbon_net::accept_tls(socket, tls, counters).await?);
    }
    let client = stream_client(&socket, &worker.settings);
    match greet_tls(socket, tls, counters).await? {
        TlsGreeting::Plain(socket) => Ok(TlsArrival::Plain(socket)),
        TlsGreeting::Tls(started) => {
            // Boxed: most listeners never come here, and every arriving connection would carry it.
            let wishes = Box::pin(phase(worker, &global, client, started.hello())).await?;
            let departure = Departure { ask_client: wishes.client_certificate, no_resumption: wishes.no_resumption };
            let departing = (departure != Departure::default()).then(|| tls.departing(departure));
            Ok(TlsArrival::Tls(finish_tls(started, departing.as_ref().unwrap_or(tls), None, counters).await?))
        }
    }
}

/// Runs the certificate phase of the global plugins; what they wish for.
async fn phase(
    worker: &Rc<Worker>,
    global: &Chain,
    client: Client,
    hello: &ClientHello,
) -> Result<HandshakeWishes, NoSession> {
    let mut x = worker.take_exchange();
    x.id = gibbon_pdk::RequestId(worker.ids.next());
    x.started_ns = worker.node.clock.wall_ns();
    x.latencies.start = worker.node.clock.monotonic_ns();
    x.client = client;
    x.client.tls = Some(Rc::new(TlsFacts { sni: hello.sni.as_deref().map(Box::from), ..TlsFacts::default() }));
    let mut nothing = BodySource::absent(&worker.settings);
    let walked = walk::global(Waiting::Certificate, global, &mut x, &worker.host, &mut nothing);
    let ended = timeout(PHASE_TIME, walked).await;
    let wishes = x.handshake;
    worker.give_back(x);
    match ended {
        Ok(Walked::On) => Ok(wishes),
        Ok(Walked::Reply(_)) => Err(NoSession::Plugin("a plugin ended the connection".into())),
        Ok(Walked::Fault(fault)) => Err(NoSession::Plugin(fault.cause.to_string().into())),
        Err(_) => Err(NoSession::Plugin(format!("not done after {} s", PHASE_TIME.as_secs()).into())),
    }
}
