//! An upstream that answers every request with the same bytes.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::response::{Body, chunked_length, request_head};

const BUFFER: usize = 64 * 1024;

/// What it answers.
pub(super) struct Answer {
    bytes: Vec<u8>,
    close: bool,
    delay: Option<Duration>,
}

impl Answer {
    pub fn new(body: &[u8], kind: &str, close: bool, delay: Option<Duration>) -> Self {
        let connection = if close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nServer: stand\r\nContent-Type: {kind}\r\n{connection}Content-Length: {}\r\n\r\n",
            body.len()
        );
        Self { bytes: [head.as_bytes(), body].concat(), close, delay }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(mut socket: TcpStream, answer: Rc<Answer>) -> Result<()> {
    let mut input = Requests::new();
    while input.next(&mut socket).await? {
        if let Some(delay) = answer.delay {
            tokio::time::sleep(delay).await;
        }
        socket.write_all(&answer.bytes).await?;
        if answer.close {
            break;
        }
    }
    Ok(())
}

/// Reads requests and forgets them.
pub(super) struct Requests {
    bytes: Vec<u8>,
    filled: usize,
}

impl Requests {
    pub fn new() -> Self {
        Self { bytes: vec![0; BUFFER], filled: 0 }
    }

    /// Waits for the next whole request; false when the peer closed between two.
    pub async fn next(&mut self, socket: &mut TcpStream) -> Result<bool> {
        let head = loop {
            if let Some(head) = request_head(self.filled()) {
                break head;
            }
            if !self.read(socket).await? {
                ensure!(self.filled == 0, "closed in the middle of a head");
                return Ok(false);
            }
        };
        self.consume(head.length);
        match head.body {
            Body::Length(length) => self.discard(socket, length).await?,
            Body::Chunked | Body::UntilClose => self.discard_chunked(socket).await?,
        }
        Ok(true)
    }

    async fn discard(&mut self, socket: &mut TcpStream, mut left: usize) -> Result<()> {
        loop {
            let step = left.min(self.filled);
            self.consume(step);
            left -= step;
            if left == 0 {
                return Ok(());
            }
            ensure!(self.read(socket).await?, "closed in the middle of a body");
        }
    }

    async fn discard_chunked(&mut self, socket: &mut TcpStream) -> Result<()> {
        loop {
            if let Some((length, _)) = chunked_length(self.filled()) {
                self.consume(length);
                return Ok(());
            }
            ensure!(self.read(socket).await?, "closed in the middle of a body");
        }
    }

    fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.bytes.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    async fn read(&mut self, socket: &mut TcpStream) -> Result<bool> {
        if self.filled == self.bytes.len() {
            self.bytes.resize(self.filled * 2, 0);
        }
        let count = socket.read(self.bytes.get_mut(self.filled..).unwrap_or_default()).await?;
        self.filled += count;
        Ok(count > 0)
    }
}
