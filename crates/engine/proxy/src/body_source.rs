//! The request body between the wire and whoever wants it whole: a plugin, or the forwarding station
//! of a route with request buffering. Small bodies stay in memory, larger ones go to a nameless file.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use gibbon_http::{BodyError, BodyLength};
use gibbon_pdk::{BodyLimit, Exchange, Fault, FaultKind, RequestBody, Retry, Source, SpooledBody};

use crate::settings::ProxySettings;

/// The unread body of one exchange.
pub struct BodySource<'s, 'c> {
    wire: Option<gibbon_http::RequestBody<'c>>,
    settings: &'s ProxySettings,
    sent: Sent,
}

/// What of a streamed body was passed on, as long as that is little: a gRPC upstream may say that it has not looked
/// at a call (REFUSED_STREAM, GOAWAY), and then the call goes elsewhere.
#[derive(Default)]
pub struct Sent {
    bytes: Vec<u8>,
    /// Some of it was not kept.
    lost: bool,
}

impl Sent {
    /// Keeps a piece, or gives up on all of them at `limit` bytes.
    pub fn keep(&mut self, piece: &[u8], limit: usize) {
        self.lost |= self.bytes.len() + piece.len() > limit;
        if self.lost {
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// What earlier tries have passed on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<'s, 'c> BodySource<'s, 'c> {
    #[must_use]
    pub fn new(wire: gibbon_http::RequestBody<'c>, settings: &'s ProxySettings) -> Self {
        BodySource { wire: Some(wire), settings, sent: Sent::default() }
    }

    /// A source for exchanges that have no body on a wire (TLS handshakes, streams).
    #[must_use]
    pub fn absent(settings: &'s ProxySettings) -> Self {
        BodySource { wire: None, settings, sent: Sent::default() }
    }

    /// The state of the body before anybody read of it.
    #[must_use]
    pub fn initial(&self) -> RequestBody {
        match self.length() {
            BodyLength::None => RequestBody::Empty,
            _ => RequestBody::Unread,
        }
    }

    #[must_use]
    pub fn length(&self) -> BodyLength {
        self.wire.as_ref().map_or(BodyLength::None, gibbon_http::RequestBody::length)
    }

    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.wire.as_ref().map_or(0, gibbon_http::RequestBody::bytes_received)
    }

    /// The wire itself, for streaming.
    pub fn wire(&mut self) -> Option<&mut gibbon_http::RequestBody<'c>> {
        self.wire.as_mut()
    }

    /// The wire, what was streamed off it before, and how much of that may be kept.
    pub fn streamed(&mut self) -> Option<(&mut gibbon_http::RequestBody<'c>, &mut Sent, usize)> {
        self.wire.as_mut().map(|wire| (wire, &mut self.sent, self.settings.body_buffer))
    }

    /// Whether a streamed body can be sent once more from its beginning.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        !self.sent.lost
    }

    /// Gives up on sending a streamed body once more.
    pub fn forget(&mut self) {
        self.sent = Sent { bytes: Vec::new(), lost: true };
    }

    /// Gives the wire away (an upgrade needs it).
    pub fn take(&mut self) -> Option<gibbon_http::RequestBody<'c>> {
        self.wire.take()
    }

    /// Refuses a body that is announced as too large, before a byte of it is read.
    ///
    /// # Errors
    /// 413, the status of `client_max_body_size`.
    pub fn check_announced(&self) -> Result<(), Fault> {
        match self.length() {
            BodyLength::Exact(length) if self.settings.max_body > 0 && length > self.settings.max_body => {
                Err(too_large())
            }
            _ => Ok(()),
        }
    }

    /// Reads the whole body into `x.body`. Does nothing if that was done before.
    ///
    /// # Errors
    /// 413 above `client_max_body_size`, a plugin's answer above its own limit, 408 or 400 for a client that is too slow or breaks the framing.
    pub async fn buffer(&mut self, x: &mut Exchange) -> Result<(), Fault> {
        if !x.body.is_unread() {
            return Ok(());
        }
        let Some(wire) = self.wire.as_mut() else {
            x.body = RequestBody::Empty;
            return Ok(());
        };
        let mut spool = Spool::new(self.settings, x.body_limit);
        while let Some(chunk) = wire.chunk().await.map_err(body_fault)? {
            spool.add(chunk)?;
        }
        x.body = spool.finish();
        Ok(())
    }
}

/// A body that grows, first in memory, then in a file.
struct Spool<'s> {
    settings: &'s ProxySettings,
    limit: Option<BodyLimit>,
    memory: BytesMut,
    file: Option<File>,
    len: u64,
}

impl<'s> Spool<'s> {
    fn new(settings: &'s ProxySettings, limit: Option<BodyLimit>) -> Self {
        Spool { settings, limit, memory: BytesMut::new(), file: None, len: 0 }
    }

    fn add(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        self.len += chunk.len() as u64;
        if self.settings.max_body > 0 && self.len > self.settings.max_body {
            return Err(too_large());
        }
        if let Some(limit) = self.limit.filter(|limit| self.len > limit.bytes) {
            let cause = "the body is larger than a plugin allows";
            let fault = Fault::new(FaultKind::Status(limit.status), Source::Downstream, Retry::Never, cause);
            return Err(fault.with_message(limit.message));
        }
        if self.file.is_none() && self.len <= self.settings.body_buffer as u64 {
            self.memory.extend_from_slice(chunk);
            return Ok(());
        }
        self.write(chunk).map_err(|e| {
            Fault::internal(format!("cannot buffer a request body in '{}': {e}", self.settings.body_dir.display()))
        })
    }

    /// Page-cache writes of at most one read buffer each: far below the half millisecond a worker may take.
    fn write(&mut self, chunk: &[u8]) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(nameless_file(&self.settings.body_dir)?),
        };
        if !self.memory.is_empty() {
            file.write_all(&self.memory)?;
            self.memory = BytesMut::new();
        }
        file.write_all(chunk)
    }

    fn finish(self) -> RequestBody {
        match self.file {
            Some(file) => RequestBody::Spooled(SpooledBody { file: Arc::new(file), len: self.len }),
            None if self.len == 0 => RequestBody::Whole(Bytes::new()),
            None => RequestBody::Whole(self.memory.freeze()),
        }
    }
}

/// A file that has no name and is gone with its last descriptor, also after a crash.
fn nameless_file(dir: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    match options.clone().custom_flags(nix::fcntl::OFlag::O_TMPFILE.bits()).open(dir) {
        Ok(file) => Ok(file),
        // File systems without O_TMPFILE: create and unlink.
        Err(_) => {
            let path = dir.join(format!("body-{}-{:x}", std::process::id(), std::ptr::from_ref(&options) as usize));
            let file = options.create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
    }
}

fn too_large() -> Fault {
    Fault::new(FaultKind::Status(413), Source::Downstream, Retry::Never, "client intended to send too large body")
}

/// A broken request body, as a fault of the client.
#[must_use]
pub fn body_fault(error: BodyError) -> Fault {
    let kind = match error.status() {
        499 => FaultKind::ClientAborted,
        status => FaultKind::Status(status),
    };
    Fault::new(kind, Source::Downstream, Retry::Never, error.to_string())
}
