//! Reads a client's greeting off a transport. A connection that has sent nothing yet holds no buffer here, and
//! one that never finishes its greeting holds a bounded one: clients that only connect are the cheapest flood.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use rustls::server::{AcceptedAlert, Acceptor};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::StartHandshake;

use crate::error::HandshakeError;
use crate::hello::HELLO_LIMIT;

/// How a connection began.
pub(crate) enum Greeting<S> {
    Hello(Box<StartHandshake<S>>),
    /// Not with a TLS record.
    Plain {
        io: S,
        read: Vec<u8>,
    },
}

/// A greeting fits; more than one read is rare.
const READ_SIZE: usize = 4096;

thread_local! {
    /// Where bytes land between the system and the library; used within one poll only.
    static LANDING: RefCell<[u8; READ_SIZE]> = const { RefCell::new([0; READ_SIZE]) };
}

/// A fatal alert, decode_error, as a whole record (RFC 8446, section 6).
const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

enum Progress {
    Unfinished,
    Hello(Box<rustls::server::Accepted>),
    Plain(Vec<u8>),
    Refused(rustls::Error, Vec<u8>),
}

/// Reads until the greeting is complete. The caller bounds the time.
pub(crate) async fn read<S>(mut io: S) -> Result<Greeting<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut reader = Reader::default();
    loop {
        let progress = poll_fn(|cx| {
            LANDING.with_borrow_mut(|landing| {
                let mut read = ReadBuf::new(landing);
                ready!(Pin::new(&mut io).poll_read(cx, &mut read))?;
                Poll::Ready(reader.take(read.filled()))
            })
        });
        match progress.await? {
            Progress::Unfinished => {}
            Progress::Hello(accepted) => {
                return Ok(Greeting::Hello(Box::new(StartHandshake::from_parts(*accepted, io))));
            }
            Progress::Plain(read) => return Ok(Greeting::Plain { io, read }),
            Progress::Refused(error, alert) => {
                // Telling the peer is a courtesy: if it cannot be told, the first error is the one that counts.
                let _ = io.write_all(&alert).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error).into());
            }
        }
    }
}

/// What has been read so far, in the library's keeping.
#[derive(Default)]
struct Reader {
    acceptor: Option<Box<Acceptor>>,
    taken: usize,
}

impl Reader {
    fn take(&mut self, mut bytes: &[u8]) -> io::Result<Progress> {
        let Some(first) = bytes.first() else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        if self.taken == 0 && !may_be_tls(*first) {
            return Ok(Progress::Plain(bytes.to_vec()));
        }
        self.taken += bytes.len();
        if self.taken > HELLO_LIMIT {
            return Ok(Progress::Refused(rustls::Error::PeerSentOversizedRecord, DECODE_ERROR.to_vec()));
        }
        let acceptor = self.acceptor.get_or_insert_default();
        while !bytes.is_empty() {
            acceptor.read_tls(&mut bytes)?;
        }
        match acceptor.accept() {
            Ok(None) => Ok(Progress::Unfinished),
            Ok(Some(accepted)) => Ok(Progress::Hello(Box::new(accepted))),
            Err((error, alert)) => Ok(Progress::Refused(error, bytes_of(alert))),
        }
    }
}

/// A TLS record of type handshake, or what SSL 2 began with: nginx draws the same line.
fn may_be_tls(first: u8) -> bool {
    first == 0x16 || first & 0x80 != 0
}

/// The library prepares no alert for bytes that are no record at all.
fn bytes_of(mut alert: AcceptedAlert) -> Vec<u8> {
    let mut bytes = Vec::new();
    match alert.write_all(&mut bytes) {
        Ok(()) if !bytes.is_empty() => bytes,
        _ => DECODE_ERROR.to_vec(),
    }
}
