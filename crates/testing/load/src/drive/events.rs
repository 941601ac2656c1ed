//! Server-sent events: how long each takes from the upstream, which stamps it, through the gateway to us.

use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Job;
use super::connector::{Connector, Link};
use super::http1::{Input, read_head};
use crate::upstream::EPOCH;

/// What stands before an event's time stamp.
pub(crate) const MARK: &[u8] = b"data: ";

/// One connection: the request, then events until it breaks or the drive is over.
pub(super) async fn read(job: &Job, connector: &Connector) -> Result<(), &'static str> {
    match connector.open().await? {
        Link::Plain(stream) => on(stream, job).await,
        Link::Tls(stream) => on(stream, job).await,
    }
}

async fn on<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, job: &Job) -> Result<(), &'static str> {
    let (mut out, mut input) = (Vec::new(), Input::new());
    job.writer.write(&mut out);
    stream.write_all(&out).await.map_err(|_| "connection broken while sending")?;
    stream.flush().await.map_err(|_| "connection broken while sending")?;
    if read_head(&mut stream, &mut input, false).await?.status != job.writer.expect {
        return Err("no stream");
    }
    while !job.tally.is_over() {
        // Chunk sizes may stand between events, never inside one of the upstream's: it sends each with one write.
        while let Some((since, length)) = event(input.filled()) {
            input.consume(length);
            job.tally.answered(since, length);
        }
        if input.read(&mut stream).await? == 0 {
            return Err("a stream ended");
        }
    }
    Ok(())
}

/// The first whole event: when it was sent, and the bytes up to its end.
fn event(bytes: &[u8]) -> Option<(Instant, usize)> {
    let start = memmem::find(bytes, MARK)? + MARK.len();
    let rest = bytes.get(start..)?;
    let length = memmem::find(rest, b"\n\n")?;
    let stamp = std::str::from_utf8(rest.get(..length)?).ok()?.trim().parse().ok()?;
    Some((*EPOCH + Duration::from_nanos(stamp), start + length + 2))
}
