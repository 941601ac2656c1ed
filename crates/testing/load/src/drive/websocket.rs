//! WebSocket load: 64-byte messages there and back.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Job;
use super::connector::{Connector, Link};
use super::http1::{Input, read_head};

/// What asks for the upgrade; the key may be constant, since nobody caches a benchmark.
pub(super) const HEADERS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const PAYLOAD: usize = 64;

/// One connection: the upgrade, then messages until it breaks or the drive is over.
pub(super) async fn echo(job: &Job, connector: &Connector) -> Result<(), &'static str> {
    match connector.open().await? {
        Link::Plain(stream) => on(stream, job).await,
        Link::Tls(stream) => on(stream, job).await,
    }
}

async fn on<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, job: &Job) -> Result<(), &'static str> {
    let (mut out, mut input) = (Vec::new(), Input::new());
    job.writer.write(&mut out);
    send(&mut stream, &out).await?;
    if read_head(&mut stream, &mut input, false).await?.status != 101 {
        return Err("no upgrade");
    }
    // Text, final, masked with zeros: a mask that changes nothing is a mask all the same.
    let mut message = vec![0x81, 0x80 | PAYLOAD as u8, 0, 0, 0, 0];
    message.resize(6 + PAYLOAD, b'x');
    while !job.tally.is_over() {
        let since = job.arrivals.next().await;
        send(&mut stream, &message).await?;
        while input.filled().len() < 2 + PAYLOAD {
            if input.read(&mut stream).await? == 0 {
                return Err("closed in the middle of a conversation");
            }
        }
        if input.filled().first() != Some(&0x81) {
            return Err("not the message that was sent");
        }
        input.consume(2 + PAYLOAD);
        job.tally.answered(since, PAYLOAD);
    }
    Ok(())
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), &'static str> {
    stream.write_all(bytes).await.map_err(|_| "connection broken while sending")?;
    stream.flush().await.map_err(|_| "connection broken while sending")
}
