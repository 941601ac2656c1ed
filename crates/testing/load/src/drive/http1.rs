//! HTTP/1.1 load: requests one after another on a connection, or a connection for each.

use std::time::Instant;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Job;
use super::connector::{Connector, Link};
use crate::command::Protocol;
use crate::requests::Writer;
use crate::response::{Body, Head, answer_head, chunked_length};

/// Answers up to this size are read with one call; larger ones in pieces. A read that does not fill the buffer spares
/// the event loop a second one that would find nothing.
const BUFFER: usize = 64 * 1024;
/// A chunked answer must fit in here.
const MAX_CHUNKED: usize = 16 << 20;

/// One connection until the gateway closes it or the drive is over.
pub(super) async fn keep_alive(job: &Job, connector: &Connector) -> Result<(), &'static str> {
    match connector.open().await? {
        Link::Plain(stream) => ask_again_and_again(stream, job).await,
        Link::Tls(stream) => ask_again_and_again(stream, job).await,
    }
}

/// One connection for one request, opening included in its latency.
pub(super) async fn one_each(job: &Job, connector: &Connector) -> Result<(), &'static str> {
    let since = job.arrivals.next().await;
    let link = connector.open().await?;
    if job.drive.protocol == Protocol::Resume && !link.is_resumed() {
        // The first one of each task, before the window opens; a gateway that does not resume shows as errors.
        job.tally.failed("session not resumed");
    }
    match link {
        Link::Plain(stream) => ask_once(stream, job, since).await,
        Link::Tls(stream) => ask_once(stream, job, since).await,
    }
}

/// Opens a connection and gets one right answer on it; none if either fails.
pub(super) async fn open_and_ask(connector: &Connector, writer: &Writer) -> Option<Link> {
    let (mut link, mut out, mut input) = (connector.open().await.ok()?, Vec::new(), Input::new());
    writer.write(&mut out);
    let head = match &mut link {
        Link::Plain(stream) => exchange(stream, &out, &mut input, false).await,
        Link::Tls(stream) => exchange(stream, &out, &mut input, false).await,
    };
    head.ok().filter(|(head, _)| head.status == writer.expect && !head.close).map(|_| link)
}

async fn ask_again_and_again<S>(mut stream: S, job: &Job) -> Result<(), &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut out, mut input) = (Vec::new(), Input::new());
    while !job.tally.is_over() {
        let since = job.arrivals.next().await;
        job.writer.write(&mut out);
        let (head, bytes) = exchange(&mut stream, &out, &mut input, job.writer.head_only).await?;
        count(job, &head, bytes, since);
        if head.close {
            return Ok(());
        }
    }
    Ok(())
}

async fn ask_once<S>(mut stream: S, job: &Job, since: Instant) -> Result<(), &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut out, mut input) = (Vec::new(), Input::new());
    job.writer.write(&mut out);
    let (head, bytes) = exchange(&mut stream, &out, &mut input, job.writer.head_only).await?;
    count(job, &head, bytes, since);
    // The gateway was asked to close and does so first: else our ports would rest in TIME_WAIT until none is left.
    while stream.read(&mut input.bytes).await.is_ok_and(|count| count > 0) {}
    Ok(())
}

fn count(job: &Job, head: &Head, bytes: usize, since: Instant) {
    if head.status == job.writer.expect {
        job.tally.answered(since, bytes);
    } else {
        job.tally.failed(&format!("status {}", head.status));
    }
}

/// What was read and not yet used.
pub(super) struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

impl Input {
    pub fn new() -> Self {
        Self { bytes: vec![0; BUFFER], filled: 0 }
    }

    pub fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// Forgets the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.bytes.copy_within(count.min(self.filled)..self.filled, 0);
        self.filled -= count.min(self.filled);
    }

    /// Reads once, growing the buffer when it is full; the number of bytes, 0 at the end.
    pub async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Result<usize, &'static str> {
        if self.filled == self.bytes.len() {
            if self.filled >= MAX_CHUNKED {
                return Err("an answer too large to count");
            }
            self.bytes.resize(self.filled * 2, 0);
        }
        let space = self.bytes.get_mut(self.filled..).unwrap_or_default();
        let count = stream.read(space).await.map_err(|_| "connection broken while reading")?;
        self.filled += count;
        Ok(count)
    }
}

/// Sends a request and reads its answer whole; the number of body bytes.
async fn exchange<S>(
    stream: &mut S,
    request: &[u8],
    input: &mut Input,
    head_only: bool,
) -> Result<(Head, usize), &'static str>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await.map_err(|_| "connection broken while sending")?;
    stream.flush().await.map_err(|_| "connection broken while sending")?;
    let head = read_head(stream, input, head_only).await?;
    let bytes = match head.body {
        Body::Length(length) => discard(stream, input, length).await?,
        Body::Chunked => read_chunked(stream, input).await?,
        Body::UntilClose => read_to_end(stream, input).await?,
    };
    if input.filled > 0 {
        return Err("more bytes than the answer has");
    }
    Ok((head, bytes))
}

/// Reads heads until one is final.
pub(super) async fn read_head<S>(stream: &mut S, input: &mut Input, head_only: bool) -> Result<Head, &'static str>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(head) = answer_head(input.filled(), head_only) {
            input.consume(head.length);
            if head.status >= 200 || head.status == 101 {
                return Ok(head);
            }
        } else if input.read(stream).await? == 0 {
            return Err("closed without an answer");
        }
    }
}

async fn discard<S: AsyncRead + Unpin>(
    stream: &mut S,
    input: &mut Input,
    length: usize,
) -> Result<usize, &'static str> {
    let mut left = length;
    loop {
        let step = left.min(input.filled);
        input.consume(step);
        left -= step;
        if left == 0 {
            return Ok(length);
        }
        if input.read(stream).await? == 0 {
            return Err("closed in the middle of a body");
        }
    }
}

async fn read_chunked<S: AsyncRead + Unpin>(stream: &mut S, input: &mut Input) -> Result<usize, &'static str> {
    loop {
        if let Some((length, content)) = chunked_length(input.filled()) {
            input.consume(length);
            return Ok(content);
        }
        if input.read(stream).await? == 0 {
            return Err("closed in the middle of a body");
        }
    }
}

async fn read_to_end<S: AsyncRead + Unpin>(stream: &mut S, input: &mut Input) -> Result<usize, &'static str> {
    let mut bytes = 0;
    loop {
        bytes += input.filled;
        input.filled = 0;
        if input.read(stream).await? == 0 {
            return Ok(bytes);
        }
    }
}
