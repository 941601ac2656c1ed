//! Reading HTTP/1 from a byte stream: heads, field lines, bodies by length, chunks with their trailers.
//!
//! Shared by the client, which reads answers, and the upstreams, which read requests. It is strict (a chunk ends in
//! CRLF, a field line has a colon) because what it judges is what the gateway wrote.

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};

/// A head or chunk line longer than this is an error of the peer, not something to buffer without end.
const MAX_LINE: usize = 1 << 20;

/// Field lines in the order and spelling in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The first value of a field, its name compared without regard to case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every value of a field, in order.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self> {
        lines
            .map(|line| {
                let (name, value) = line.split_once(':').with_context(|| format!("no colon in field line {line:?}"))?;
                Ok((name.to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_>>()
            .map(Self)
    }
}

/// A body sent in chunks.
#[derive(Debug, Default)]
pub(crate) struct Chunked {
    pub body: Vec<u8>,
    pub sizes: Vec<usize>,
    pub trailers: Fields,
}

/// A stream and what was read of it but not yet used.
pub(crate) struct Reader<S> {
    pub stream: S,
    pub buffer: Vec<u8>,
}

impl<S: Read> Reader<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Reads what is there; false at the end of the stream.
    pub fn fill(&mut self) -> Result<bool> {
        let mut piece = [0; 16384];
        let count = self.stream.read(&mut piece).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let start = self.buffer.get(..self.buffer.len().min(500)).unwrap_or_default();
                anyhow::Error::new(error).context(format!("nothing came in time; so far {:?}", lossy(start)))
            }
            _ => error.into(),
        })?;
        self.buffer.extend_from_slice(piece.get(..count).unwrap_or_default());
        Ok(count > 0)
    }

    pub fn read_exact(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < count {
            ensure!(self.fill()?, "connection closed after {} of {count} bytes", self.buffer.len());
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Up to and including a separator.
    pub fn read_until(&mut self, separator: &[u8]) -> Result<Vec<u8>> {
        let mut searched: usize = 0;
        loop {
            // A separator may have begun at the end of what was searched before.
            let from = searched.saturating_sub(separator.len());
            let window = self.buffer.get(from..).unwrap_or_default();
            if let Some(at) = window.windows(separator.len()).position(|w| w == separator) {
                return self.read_exact(from + at + separator.len());
            }
            searched = self.buffer.len();
            ensure!(searched < MAX_LINE, "no {:?} within {MAX_LINE} bytes", lossy(separator));
            if !self.fill()? {
                bail!("connection closed in the middle of {:?}", lossy(&self.buffer));
            }
        }
    }

    /// A line without its CRLF.
    pub fn read_line(&mut self) -> Result<String> {
        let raw = self.read_until(b"\r\n")?;
        Ok(lossy(&raw).trim_end_matches("\r\n").to_owned())
    }

    /// A chunked body to the end of its trailers.
    pub fn read_chunked(&mut self) -> Result<Chunked> {
        let mut out = Chunked::default();
        loop {
            let line = self.read_line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).with_context(|| format!("chunk size {line:?}"))?;
            if size == 0 {
                break;
            }
            out.body.extend(self.read_exact(size)?);
            out.sizes.push(size);
            ensure!(self.read_exact(2)? == b"\r\n", "chunk of {size} bytes does not end in CRLF");
        }
        let mut lines = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                out.trailers = Fields::parse(lines.iter().map(String::as_str))?;
                return Ok(out);
            }
            lines.push(line);
        }
    }

    /// A body of as many bytes as a Content-Length says.
    pub fn read_length(&mut self, value: &str) -> Result<Vec<u8>> {
        let length = value.parse().with_context(|| format!("Content-Length {value:?}"))?;
        self.read_exact(length)
    }
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether an error is a wait that ran out.
pub(crate) fn is_timeout(error: &anyhow::Error) -> bool {
    io_kind(error).is_some_and(|kind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
}

/// Whether an error is the peer's TCP reset.
pub(crate) fn is_reset(error: &anyhow::Error) -> bool {
    io_kind(error) == Some(io::ErrorKind::ConnectionReset)
}

fn io_kind(error: &anyhow::Error) -> Option<io::ErrorKind> {
    error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind)
}
