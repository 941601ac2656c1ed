//! Upstreams on plain sockets: one that echoes what arrived, and a set that misbehaves on purpose.
//!
//! Each connection is handled by a function over raw bytes, so that a test sees exactly what the gateway sent and
//! sends exactly what it means to. Requests are kept in the order of arrival and can be waited for.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::socket::{setsockopt, sockopt};

use crate::client::PATIENCE;
use crate::ports;
use crate::reader::{Fields, Reader, is_timeout, lossy};

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The head byte for byte, with its empty line.
    pub raw_head: Vec<u8>,
    /// First word of the request line.
    pub method: String,
    /// Second word of the request line.
    pub target: String,
    /// Third word of the request line.
    pub version: String,
    /// Field lines in order and spelling.
    pub headers: Fields,
    /// The body with its framing removed.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Fields,
    /// Which connection of this upstream it came on, counted from 0.
    pub connection: usize,
}

impl Request {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }
}

/// One accepted connection, in the hands of a handler.
pub struct Connection {
    reader: Reader<TcpStream>,
    number: usize,
    shared: Arc<Shared>,
}

impl Connection {
    /// Reads one whole request and keeps it for the test; none when the peer closed between requests.
    ///
    /// # Errors
    /// When the connection ends inside a request, or its framing is wrong.
    pub fn read_request(&mut self) -> Result<Option<Request>> {
        let Some(mut request) = self.read_head()? else {
            return Ok(None);
        };
        (request.body, request.trailers) = self.read_body(&request.headers)?;
        self.keep(&request);
        Ok(Some(request))
    }

    /// Reads a head only and leaves the body unread.
    ///
    /// # Errors
    /// When the connection ends inside the head.
    pub fn read_head(&mut self) -> Result<Option<Request>> {
        if self.reader.buffer.is_empty() && !self.reader.fill()? {
            return Ok(None);
        }
        let raw_head = self.reader.read_until(b"\r\n\r\n")?;
        let text = lossy(&raw_head);
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let (method, target, version) = (word(), word(), word());
        Ok(Some(Request {
            method,
            target,
            version,
            headers: Fields::parse(lines)?,
            body: Vec::new(),
            trailers: Fields::default(),
            connection: self.number,
            raw_head,
        }))
    }

    /// Records a request that was read piece by piece.
    pub fn keep(&self, request: &Request) {
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push_back(request.clone());
        self.shared.arrived.notify_all();
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer closed.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        Ok(self.reader.stream.write_all(bytes.as_ref())?)
    }

    /// A complete answer with Content-Length.
    ///
    /// # Errors
    /// When the peer closed.
    pub fn answer(&mut self, status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Result<()> {
        let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n", body.as_ref().len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.send([head.as_bytes(), body.as_ref()].concat())
    }

    /// Closes with a TCP reset instead of an orderly end.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn reset(self) -> Result<()> {
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.reader.stream, sockopt::Linger, &linger)?;
        Ok(())
    }

    /// Waits until the peer closes or says something unasked, or the upstream is dropped.
    pub fn hold(&mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            match self.reader.fill() {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) if self.shared.stop.load(Ordering::Relaxed) => return,
                Err(error) if is_timeout(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Which connection this is, counted from 0.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    fn read_body(&mut self, headers: &Fields) -> Result<(Vec<u8>, Fields)> {
        if headers.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            let chunked = self.reader.read_chunked()?;
            return Ok((chunked.body, chunked.trailers));
        }
        let length = headers.get("content-length").unwrap_or("0");
        Ok((self.reader.read_length(length)?, Fields::default()))
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn read_exact(&mut self, count: usize) -> Result<Vec<u8>> {
        self.reader.read_exact(count)
    }
}

#[derive(Default)]
struct Shared {
    seen: Mutex<VecDeque<Request>>,
    arrived: Condvar,
    connections: AtomicUsize,
    stop: AtomicBool,
}

/// A server on a loopback port that the system chose. Dropping it stops accepting; open connections end with the test.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Serves every connection with a function of the test's own. An error ends the connection and nothing else:
    /// what the gateway made of it is for the test to judge.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn serve<F>(handler: F) -> Result<Self>
    where
        F: Fn(Connection) -> Result<()> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let upstream = Self { address, shared: Arc::clone(&shared) };
        let handler = Arc::new(handler);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(socket) = socket else { continue };
                let _ = socket.set_nodelay(true);
                let _ = socket.set_read_timeout(Some(PATIENCE));
                let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                let connection = Connection { reader: Reader::new(socket), number, shared: Arc::clone(&shared) };
                let handler = Arc::clone(&handler);
                std::thread::spawn(move || handler(connection));
            }
        });
        Ok(upstream)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Takes the requests that arrived so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Waits for the next request that nobody took yet.
    ///
    /// # Errors
    /// When none arrives within the patience.
    pub fn next_request(&self) -> Result<Request> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(request) = seen.pop_front() {
                return Ok(request);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no request arrived at {}", self.address);
            }
            seen = self.shared.arrived.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Wakes the accepting thread, which then sees the flag.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// Answers every request with 200 and its own body back, the target in `X-Target`.
///
/// # Errors
/// When no port can be bound.
pub fn echo() -> Result<Upstream> {
    Upstream::serve(|mut connection| {
        while let Some(request) = connection.read_request()? {
            connection.answer(200, &[("X-Target", &request.target)], &request.body)?;
        }
        Ok(())
    })
}

/// Answers every request with fixed bytes, sent as they are.
///
/// # Errors
/// When no port can be bound.
pub fn raw(answer: impl Into<Vec<u8>>) -> Result<Upstream> {
    let answer = answer.into();
    Upstream::serve(move |mut connection| {
        while connection.read_request()?.is_some() {
            connection.send(&answer)?;
        }
        Ok(())
    })
}

/// Sends fixed bytes in answer to a request and then closes: half a head, half a body, a chunk cut short.
///
/// # Errors
/// When no port can be bound.
pub fn raw_then_close(answer: impl Into<Vec<u8>>) -> Result<Upstream> {
    let answer = answer.into();
    Upstream::serve(move |mut connection| {
        if connection.read_request()?.is_some() {
            connection.send(&answer)?;
        }
        Ok(())
    })
}

/// Promises `promised` bytes, sends `sent` of them and resets the connection.
///
/// # Errors
/// When no port can be bound.
pub fn reset_mid_body(promised: usize, sent: usize) -> Result<Upstream> {
    Upstream::serve(move |mut connection| {
        if connection.read_request()?.is_some() {
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n"))?;
            connection.send(vec![b'x'; sent])?;
            connection.reset()?;
        }
        Ok(())
    })
}

/// Resets each connection as soon as a request head arrived.
///
/// # Errors
/// When no port can be bound.
pub fn reset_at_once() -> Result<Upstream> {
    Upstream::serve(|mut connection| {
        if let Some(request) = connection.read_head()? {
            connection.keep(&request);
            connection.reset()?;
        }
        Ok(())
    })
}

/// Sends `head` one byte at a time, `pause` between two of them, and then holds the connection.
///
/// # Errors
/// When no port can be bound.
pub fn slow_head(head: impl Into<Vec<u8>>, pause: Duration) -> Result<Upstream> {
    let head = head.into();
    Upstream::serve(move |mut connection| {
        if connection.read_request()?.is_some() {
            for byte in &head {
                connection.send([*byte])?;
                std::thread::sleep(pause);
            }
            connection.hold();
        }
        Ok(())
    })
}

/// Takes a request and never answers.
///
/// # Errors
/// When no port can be bound.
pub fn silent() -> Result<Upstream> {
    Upstream::serve(|mut connection| {
        connection.read_request()?;
        connection.hold();
        Ok(())
    })
}

/// Closes each connection without a word after it answered `requests` of them with 200 (keep-alive promised).
///
/// # Errors
/// When no port can be bound.
pub fn close_after(requests: usize) -> Result<Upstream> {
    Upstream::serve(move |mut connection| {
        for _ in 0..requests {
            let Some(request) = connection.read_request()? else {
                break;
            };
            connection.answer(200, &[], &request.body)?;
        }
        Ok(())
    })
}

/// Answers 200 with one header of `bytes` bytes.
///
/// # Errors
/// When no port can be bound.
pub fn big_header(bytes: usize) -> Result<Upstream> {
    raw(format!("HTTP/1.1 200 OK\r\nX-Big: {}\r\nContent-Length: 0\r\n\r\n", "b".repeat(bytes)))
}

/// Sends these interim answers, then 200 with the request's body.
///
/// # Errors
/// When no port can be bound.
pub fn interim(statuses: &'static [u16]) -> Result<Upstream> {
    Upstream::serve(move |mut connection| {
        while let Some(request) = connection.read_request()? {
            for status in statuses {
                connection.send(format!("HTTP/1.1 {status} Interim\r\nX-Interim: {status}\r\n\r\n"))?;
            }
            connection.answer(200, &[], &request.body)?;
        }
        Ok(())
    })
}

/// An address that refuses connections.
///
/// # Errors
/// When no port can be reserved.
pub fn refusing() -> Result<SocketAddr> {
    Ok(ports::free_tcp_address()?)
}
